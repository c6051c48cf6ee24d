"""Named, counter-based random streams.

A stream is keyed by what it describes, such as ``(seed, "query", 17, "device")``, never by the
order in which the simulation asks for it. So planners' choices and other queries do not shift any
draws, and two planners on one seed face the same world.
"""

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

Name = str | int
WORDS = np.dtype("<u8")
"""The byte order of a key's words, the same on every machine."""


class _Key(ISeedSequence):
    """A key for Philox, as a seed sequence.

    ``Philox(key=...)`` draws system entropy without using it, which takes four times as long as the
    rest.

    Args:
        digest: the 16 bytes of the key.
    """

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest, WORDS).astype(np.uint64, copy=False)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        """Return the key, two words of 64 bits; Philox asks for nothing else."""
        assert n_words == len(self._words)
        assert np.dtype(dtype) == np.uint64
        return self._words


def stream(seed: int, *names: Name) -> np.random.Generator:
    """Return the random stream of a seed that carries these names.

    Philox is counter-based: element *i* of a stream depends on the key and on *i* alone.

    Args:
        seed: the run's seed.
        names: what the stream describes, from the general to the particular.

    Returns:
        A fresh generator at the beginning of its stream.
    """
    words = "\x1f".join([str(seed), *[f"{type(name).__name__}:{name}" for name in names]])
    digest = blake2b(words.encode(), digest_size=16).digest()
    key: Any = _Key(digest)  # NumPy's stubs accept only its own seed sequences.
    return np.random.Generator(np.random.Philox(key))
