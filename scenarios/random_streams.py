"""Counter-based random streams, which are identified by names.

The key of a stream names what is drawn, such as ``(seed, "query", 17, "device")``. It does not
depend on the order in which the simulation draws. So planners' choices and other queries do not
change any draws, and two planners with the same seed get the same world.
"""

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

Name = str | int
WORDS = np.dtype("<u8")
"""The type of a key's words; its byte order is the same on every machine."""


class _Key(ISeedSequence):
    """A key for Philox, in the form of a seed sequence.

    ``Philox(key=...)`` would read system entropy without using it. This would take four times as
    long as everything else.

    Args:
        digest: the 16 bytes of the key.
    """

    def __init__(self, digest: bytes) -> None:
        self._words = np.frombuffer(digest, WORDS).astype(np.uint64, copy=False)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        """Return the key as two words of 64 bits; Philox requests no other form."""
        assert n_words == len(self._words)
        assert np.dtype(dtype) == np.uint64
        return self._words


def stream(seed: int, *names: Name) -> np.random.Generator:
    """Return the random stream that belongs to a seed and names.

    Philox is counter-based: element *i* of a stream depends on the key and on *i* alone.

    Args:
        seed: the run's seed.
        names: what the stream is used for, from the general to the particular.

    Returns:
        A new generator at the beginning of the stream.
    """
    words = "\x1f".join([str(seed), *[f"{type(name).__name__}:{name}" for name in names]])
    digest = blake2b(words.encode(), digest_size=16).digest()
    key: Any = _Key(digest)  # NumPy's stubs accept only its own seed sequences.
    return np.random.Generator(np.random.Philox(key))
