"""Rows in the order of time, query and number, however their times lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.dataplane.base.request_rows import NUMBER, QUERY, VISIT
from sim.dataplane.blocks.lists import sort_rows
from sim.dataplane.blocks.tables import RowPool

LATE = 10**15


def is_sorted(times_ns, queries, rng):
    """Sort rows of these times and queries, and tell whether they are in order, each of them."""
    n = len(times_ns)
    pool = RowPool(1)
    while len(pool.rows) < n:
        pool.grow()
    which = rng.permutation(len(pool.rows))[:n]
    pool.rows[which, QUERY], pool.rows[which, NUMBER], pool.rows[which, VISIT] = (
        queries,
        np.arange(n),
        0,
    )
    pool.keys[:n], pool.row_ids[:n] = times_ns, which
    sort_rows(pool.rows, pool.keys, pool.row_ids, n)
    order = np.lexsort((np.arange(n), queries, times_ns))
    return (pool.row_ids[:n] == which[order]).all() and (pool.keys[:n] == times_ns[order]).all()


@given(
    n=st.sampled_from((1, 2, 30, 500, 5000)),
    span_ns=st.sampled_from((1000, 10**8, 10**18)),
    runs=st.integers(1, 50),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100)
def test_rows_of_several_origins_are_sorted(n, span_ns, runs, seed):
    """Each origin has its own in order."""
    rng = np.random.default_rng(seed)
    origins = np.array_split(rng.integers(0, span_ns, n), runs)
    times_ns = np.concatenate([np.sort(each) for each in origins])
    assert is_sorted(times_ns, rng.integers(0, 5, n), rng)


@pytest.mark.parametrize("n", [300, 5000])
def test_rows_that_crowd_are_sorted(n):
    """All but one fall into one place where times are told apart by their leading digit."""
    rng = np.random.default_rng(0)
    times_ns = rng.integers(0, 10**6, n)
    times_ns[n // 2] = LATE
    assert is_sorted(times_ns, rng.integers(0, 5, n), rng)
