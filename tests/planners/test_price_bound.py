"""The LP bound by prices: against HiGHS, which solves the whole linear program."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from planners.reference import price_bound
from planners.reference.price_bound import Demands, bound, shares


def made_up(seed, queries, scarcity):
    """Return queries with up to nine plans each, which need up to four resources."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 10, queries)
    share = rng.lognormal(0, 1, (counts.sum(), 4)) * (rng.random((counts.sum(), 4)) < 0.6)
    return Demands(
        np.concatenate([[0], np.cumsum(counts)]),
        share * scarcity / max(1, queries),
        rng.random(queries),
        rng.integers(0, 3, queries),
    )


def optimum(of):
    """Return the value of the linear program."""
    plans = len(of.share)
    if not plans:
        return 0.0
    own = np.repeat(np.eye(len(of.weight)), np.diff(of.begin), axis=1)
    rows, right = np.vstack([of.share.T, own]), np.concatenate([np.ones(4), of.weight])
    return -linprog(-np.ones(plans), A_ub=rows, b_ub=right).fun


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    queries=st.integers(0, 40),
    scarcity=st.sampled_from((0.1, 1.0, 5.0, 50.0)),
    small=st.booleans(),
)
def test_property_prices_bound_the_linear_program_closely(seed, queries, scarcity, small):
    of = made_up(seed, queries, scarcity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(price_bound, "SMALL", 10**9 if small else 0)
        found = bound(of)
    exact = optimum(of)
    assert found.served >= exact - 1e-7
    assert found.reached <= exact + 1e-7
    assert found.served - exact <= 2 * price_bound.GAP * max(1e-9, of.weight.sum()) + 1e-7


def test_any_price_is_a_bound(monkeypatch):
    """It remains one where the search for prices ends after its first step."""
    monkeypatch.setattr(price_bound, "ROUNDS", 1)
    monkeypatch.setattr(price_bound, "SMALL", 0)
    of = made_up(3, 30, 50.0)
    exact = optimum(of)
    assert bound(of).served >= exact
    assert bound(of, np.array([0.5, 1.0, 0.0, 3.0])).served >= exact


def test_one_resource_serves_the_smallest_demands_first():
    """Of demands of 0.5, 0.3, 0.4 and 0.1, the last three leave 0.2 for the first."""
    share = np.array([[0.5], [0.3], [0.4], [0.1]])
    of = Demands(np.arange(5), share, np.ones(4), np.zeros(4, dtype=np.int64))
    found = bound(of)
    assert found.served == pytest.approx(3.4)
    assert found.prices == pytest.approx([2.0])  # what a tenth more would serve, in queries


def test_a_resource_that_does_not_exist_serves_nobody():
    demand = np.array([[0.1, 0.0], [0.0, 2.0]])
    of = Demands(
        np.array([0, 1, 2]),
        shares(demand, np.array([0.0, 4.0])),
        np.ones(2),
        np.zeros(2, dtype=np.int64),
    )
    assert bound(of).served == pytest.approx(1.0, abs=1e-3)
