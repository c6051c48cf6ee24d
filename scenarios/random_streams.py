"""Named, counter-based random streams.

A stream is keyed by what it describes, such as ``(seed, "query", 17, "device")``, never by the
order in which the simulation asks for it. So no planner's choice and no other query's presence
shifts anybody's draws, and two planners on one seed face the very same world.
"""

from hashlib import blake2b

import numpy as np

Name = str | int


def stream(seed: int, *names: Name) -> np.random.Generator:
    """Return the random stream of a seed that carries these names.

    Philox is counter-based: element *i* of a stream depends on the key and on *i* alone.

    Args:
        seed: the run's seed.
        names: what the stream describes, from the general to the particular.

    Returns:
        A fresh generator at the beginning of its stream.
    """
    words = "\x1f".join([str(seed), *(f"{type(name).__name__}:{name}" for name in names)])
    digest = blake2b(words.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
