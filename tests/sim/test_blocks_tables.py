"""The block data plane's pool: runs of values that come and go, in an array that grows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scenarios.random_streams import stream
from sim.dataplane.blocks.tables import ValuePool


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 200)), max_size=80))
def test_every_run_keeps_its_values_until_it_is_given_back(steps):
    pool, kept = ValuePool(np.int64), {}
    for number, (come, size) in enumerate(steps):
        if come:
            values = np.arange(size) + 1000 * number
            kept[pool.put(values)] = values
        elif kept:
            at = list(kept)[size % len(kept)]
            pool.give_back(at)
            del kept[at]
        for at, values in kept.items():
            assert (pool.array[at : at + len(values)] == values).all()


def test_a_pool_needs_room_only_for_the_values_in_use():
    rng, pool, kept = stream(0, "lengths"), ValuePool(np.int64), []
    for _ in range(5_000):
        kept.append(pool.put(np.zeros(int(rng.integers(1, 500)), dtype=np.int64)))
        if len(kept) > 20:
            pool.give_back(kept.pop(int(rng.integers(len(kept)))))
    assert len(pool.array) <= 8 * 20 * 500
