"""Random streams: keyed by seed and names alone."""

from hashlib import blake2b

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scenarios.random_streams import stream


@given(st.integers(0, 2**40), st.integers(0, 1000))
def test_property_a_stream_is_that_of_philox_with_the_hash_of_its_names(seed, query):
    words = "\x1f".join([str(seed), "str:query", f"int:{query}"])
    key = int.from_bytes(blake2b(words.encode(), digest_size=16).digest(), "little")
    told = np.random.Generator(np.random.Philox(key=key))
    assert (stream(seed, "query", query).random(8) == told.random(8)).all()


def test_names_tell_numbers_from_words():
    draws = {stream(0, *names).random() for names in (("a",), (1,), ("1",), ("a", 1), (1, "a"))}
    assert len(draws) == 5
