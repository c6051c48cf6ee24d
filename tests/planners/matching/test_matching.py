"""Matching against exhaustive search, its own bound, and the capacity of pools and cards."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.matching import lp_bound, made_up
from planners.matching import Cards, Demand, Problem, Supply, match
from scenarios.cluster import Node
from sim.api.gpu_layouts import gpu_layouts

NAMED = gpu_layouts(Node("cloud", "a2-highgpu-1g"))
PROFILES = list(NAMED[0])
LAYOUTS = np.array([[each[name] for name in PROFILES] for each in NAMED])


def problem_of(weights, demands, capacity, cards=()):
    """Return a problem from lists of weights and of demands, one for each query."""
    query = np.repeat(np.arange(len(weights)), [len(each) for each in weights])
    dense = np.array([row for each in demands for row in each], dtype=float)
    return Problem(
        query,
        np.array([w for each in weights for w in each], dtype=float),
        Demand.of(dense.reshape(len(query), -1)),
        Supply(np.array(capacity, dtype=float), cards),
    )


def fits(problem, rows):
    """Tell whether rows fit together, with the instances of all cards put somewhere."""
    used = np.asarray(problem.taken[rows].sum(axis=0)) if len(rows) else 0 * problem.supply.capacity
    plain = problem.supply.plain
    if (used[plain] > problem.supply.capacity[plain] + 1e-6).any():
        return False
    for cards in problem.supply.cards:
        wanted = np.rint(used[cards.pools]).astype(int)
        if not _covers(cards.layouts, tuple(wanted.tolist()), cards.count):
            return False
    return True


def _covers(layouts, wanted, count):
    """Tell whether some of the layouts, ``count`` in all, have the wanted instances."""
    if not any(wanted):
        return True
    if not count:
        return False
    left = {tuple(max(0, a - b) for a, b in zip(wanted, row, strict=True)) for row in layouts}
    return any(_covers(layouts, each, count - 1) for each in left)


@st.composite
def problems(draw):
    """Draw a small problem: two plain pools, and up to two cards of one node."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    count = draw(st.integers(0, 2))
    width = 2 + (len(PROFILES) if count else 0)
    weights, demands = [], []
    for _ in range(draw(st.integers(1, 5))):
        plans = rng.integers(1, 4)
        weights.append(rng.uniform(-0.2, 1.0, plans))
        rows = np.zeros((plans, width))
        rows[:, :2] = rng.integers(0, 3, (plans, 2))
        if count:
            rows[np.arange(plans), 2 + rng.integers(0, len(PROFILES), plans)] = 1
        demands.append(rows)
    capacity = [*rng.integers(0, 5, 2), *[0] * (width - 2)]
    cards = [Cards(count, np.arange(2, width), LAYOUTS)] if count else []
    return problem_of(weights, demands, capacity, cards)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_property_a_matching_fits_and_keeps_below_its_bound(problem):
    found = match(problem)
    rows = found.chosen[found.chosen >= 0]
    assert fits(problem, rows)
    assert (problem.query[rows] == np.flatnonzero(found.chosen >= 0)).all()
    assert (problem.weight[rows] > 0).all()
    assert found.value == pytest.approx(problem.weight[rows].sum())
    options = [
        [-1, *np.flatnonzero((problem.query == query) & (problem.weight > 0)).tolist()]
        for query in range(len(problem.first))
    ]
    chosen = ([row for row in each if row >= 0] for each in product(*options))
    best = max(problem.weight[rows].sum() for rows in chosen if fits(problem, rows))
    assert found.value <= best + 1e-6 <= found.bound + 2e-6
    assert found.value >= 0.5 * best - 1e-6, "far from the optimum even for a few queries"
    for query in np.flatnonzero(found.chosen < 0).tolist():
        for row in np.flatnonzero((problem.query == query) & (problem.weight > 0)).tolist():
            assert not fits(problem, [*rows, row]), "nobody is left out for whom there is room"


def test_one_of_two_queries_on_the_same_machine_takes_its_other_plan():
    problem = problem_of([[1.0, 0.9], [1.0]], [[[1, 0], [0, 1]], [[1, 0]]], [1, 1])
    assert match(problem).chosen.tolist() == [1, 2]


def test_many_small_queries_go_before_one_large_one():
    weights = [[1.0]] * 5
    demands = [[[4]], *[[[1]]] * 4]
    assert match(problem_of(weights, demands, [4])).chosen.tolist() == [-1, 1, 2, 3, 4]


def test_prices_are_of_pools_that_are_short():
    problem = problem_of([[1.0]] * 40, [[[1, 1]]] * 40, [10, 1000])
    found = match(problem)
    assert (found.chosen >= 0).sum() == 10
    assert found.prices[0] == pytest.approx(1.0, rel=0.1)
    assert found.prices[1] == pytest.approx(0.0, abs=1e-3)
    assert found.bound == pytest.approx(10.0, rel=0.02)


def test_cards_are_cut_as_queries_need_them():
    whole, small = PROFILES.index("7g.40gb"), PROFILES.index("1g.5gb")
    rows = np.eye(len(PROFILES))
    weights = [[1.0]] * 8
    demands = [[rows[whole : whole + 1][0]], *[[rows[small]]] * 7]
    cards = [Cards(1, np.arange(len(PROFILES)), LAYOUTS)]
    found = match(problem_of(weights, demands, [0] * len(PROFILES), cards))
    assert found.chosen.tolist() == [-1, *range(1, 8)], "seven small ones or a whole card"
    two = [Cards(2, np.arange(len(PROFILES)), LAYOUTS)]
    assert match(problem_of(weights, demands, [0] * len(PROFILES), two)).value == 8


@pytest.mark.parametrize("contention", [0.8, 2.0, 5.0])
def test_contended_problems_are_solved_within_three_percent_of_the_linear_program(contention):
    """The benchmark holds larger ones to one percent; the fewer the cards, the coarser they are."""
    problem = made_up(400, 30, contention, 1)
    found, bound = match(problem), lp_bound(problem)
    assert 0.97 * bound <= found.value <= bound * (1 + 1e-9)
    assert found.bound >= bound * (1 - 1e-9)


def test_prices_of_an_earlier_matching_make_a_good_start():
    problem = made_up(400, 30, 2.0, 1)
    cold = match(problem)
    warm = match(problem, cold.prices)
    assert warm.value >= 0.97 * cold.value
    assert warm.bound == pytest.approx(cold.bound, rel=0.01)


def test_nothing_to_match_is_no_error():
    none = Demand(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0))
    found = match(Problem(np.zeros(0, np.int64), np.zeros(0), none, Supply(np.ones(2))))
    assert (len(found.chosen), found.value, found.bound) == (0, 0.0, 0.0)


def test_shapes_and_capacities_are_checked():
    one = Demand.of(np.ones((1, 1)))
    with pytest.raises(ValueError, match="2 plans, but 2 weights and 1 demands"):
        Problem(np.arange(2), np.ones(2), one, Supply(np.ones(1)))
    with pytest.raises(ValueError, match="must be 0 or more"):
        Supply(np.array([-1.0]))


def test_plans_of_no_worth_are_never_chosen_whatever_settles_a_query(monkeypatch):
    """With nothing left to the linear program, shares are drawn for all."""
    monkeypatch.setattr("planners.matching.matching.MOST_OPEN", 0)
    weights = [[1.0, -0.001]] * 200
    problem = problem_of(weights, [[[1], [0.01]]] * 200, [50])
    chosen = match(problem).chosen
    assert (chosen >= 0).sum() == 50
    assert (problem.weight[chosen[chosen >= 0]] > 0).all()
