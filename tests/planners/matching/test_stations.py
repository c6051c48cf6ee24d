"""Matching on whole stations: against an exact program, by hand, and within what there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import Bounds, LinearConstraint, milp

from planners.matching.problem import Cards
from planners.matching.stations import WholeStations, best_of_each_set, share_stations
from scenarios.cluster import Node
from sim.api.gpu_layouts import gpu_layouts

NAMED = gpu_layouts(Node("cloud", "a2-highgpu-1g"))
PROFILES = list(NAMED[0])
LAYOUTS = np.array([[each[name] for name in PROFILES] for each in NAMED])


def stations_of(plans, units, capacity, load=None, instances=None, cards=(), queries=None):
    """Return a problem of one pool from plans: query, worth, and what each sort is filled by."""
    width = max((len(fill) for _, _, fill in plans), default=1)
    station = np.full((len(plans), width), -1)
    filled = np.zeros((len(plans), width))
    for row, (_, _, fill) in enumerate(plans):
        for at, (sort, share) in enumerate(fill.items()):
            station[row, at], filled[row, at] = sort, share
    sorts = len(units)
    return WholeStations(
        queries or 1 + max((query for query, _, _ in plans), default=0),
        np.array([query for query, _, _ in plans], dtype=np.int64),
        np.array([worth for _, worth, _ in plans], dtype=float),
        station,
        filled,
        np.zeros((len(plans), 1)),
        np.zeros(sorts, dtype=np.int64),
        np.array(units, dtype=float),
        np.zeros(sorts, np.int64) if instances is None else np.ones(sorts, np.int64),
        np.zeros((sorts, 2), np.int64)
        if instances is None
        else np.column_stack([np.zeros(sorts, np.int64), instances]),
        np.zeros(sorts) if load is None else np.array(load, dtype=float),
        np.array([capacity], dtype=float),
        cards,
    )


def nobody(problem):
    return np.full(problem.queries, -1)


def served(problem, chosen):
    """Check that a choice keeps to what there is; return its worth."""
    rows = chosen[chosen >= 0]
    assert (problem.query[rows] == np.flatnonzero(chosen >= 0)).all()
    load = problem.load.copy()
    for row in rows:
        used = problem.station[row] >= 0
        np.add.at(load, problem.station[row][used], problem.filled[row][used])
    units = np.ceil(load - 1e-9) * problem.units
    taken = np.bincount(problem.pool, units, len(problem.capacity))
    taken = taken + problem.sent[rows].sum(axis=0)
    assert (taken <= problem.capacity + 1e-6).all()
    return float(problem.worth[rows].sum())


def optimum(problem):
    """Return the largest worth that is possible."""
    plans, sorts = len(problem.query), len(problem.units)
    left, right = [], []
    for query in range(problem.queries):
        left.append(np.append(problem.query == query, np.zeros(sorts)))
        right.append(1.0)
    for sort in range(sorts):
        fills = ((problem.station == sort) * problem.filled).sum(axis=1)
        left.append(np.append(fills, -1.0 * (np.arange(sorts) == sort)))
        right.append(-problem.load[sort])
    for pool, capacity in enumerate(problem.capacity):
        left.append(np.append(problem.sent[:, pool], problem.units * (problem.pool == pool)))
        right.append(capacity)
    found = milp(
        -np.append(problem.worth, np.zeros(sorts)),
        integrality=np.ones(plans + sorts),
        bounds=Bounds(0, np.append(np.ones(plans), np.full(sorts, 99.0))),
        constraints=LinearConstraint(np.array(left), -np.inf, np.array(right)),
    )
    return -float(found.fun)


def crowd(seed, queries=16):
    """Return queries of several plans each, on sorts of station that few of them share."""
    rng = np.random.default_rng(seed)
    units = rng.choice([1 / 7, 2 / 7, 3 / 7, 1.0], 12)
    plans = [
        (query, rng.uniform(0.6, 1.0), {int(sort): rng.uniform(0.05, 0.5)})
        for query in range(queries)
        for sort in rng.choice(12, rng.integers(1, 6), replace=False)
    ]
    return stations_of(plans, units, 1.5)


def test_queries_share_a_station_that_is_nobodys_first_choice():
    """Each has a station of its own that is worth a little more; one GPU holds one station."""
    own = [(query, 1.0, {query: 0.2}) for query in range(4)]
    shared = [(query, 0.9, {4: 0.2}) for query in range(4)]
    problem = stations_of(sorted(own + shared, key=lambda plan: plan[0]), [1.0] * 5, 1.0)
    assert served(problem, share_stations(problem, nobody(problem))) == pytest.approx(3.6)


def test_served_queries_give_way_only_to_more_queries():
    """The one that holds the GPU stays if only one other wants it, and goes if two do."""
    plans = [(0, 1.1, {0: 0.2}), (1, 1.0, {1: 0.2}), (2, 1.0, {1: 0.2})]
    one, two = stations_of(plans[:2], [1.0, 1.0], 1.0), stations_of(plans, [1.0, 1.0], 1.0)
    assert share_stations(one, np.array([0, -1])).tolist() == [0, -1]
    assert share_stations(two, np.array([0, -1, -1])).tolist() == [-1, 1, 2]


def test_room_in_stations_of_others_is_free_and_theirs_is_never_taken():
    plans = [(0, 1.0, {0: 0.3}), (1, 1.0, {0: 0.3}), (2, 1.0, {1: 0.1})]
    problem = stations_of(plans, [1.0, 1.0], 1.0, load=[0.5, 0.0])
    assert share_stations(problem, nobody(problem)).tolist() in ([0, -1, -1], [-1, 1, -1])


def test_instances_go_on_cards_as_they_can_be_cut():
    """Two of three sevenths leave a seventh that no third one of them, and nothing larger, uses."""
    three = PROFILES.index("3g.20gb")
    plans = [(query, 1.0, {query: 0.5}) for query in range(3)]
    units, cards = [3 / 7, 3 / 7, 1 / 7], (Cards(1, np.arange(len(PROFILES)), LAYOUTS),)
    names = [three, three, PROFILES.index("1g.5gb")]
    by_shares = stations_of(plans, units, 1.0)
    by_cards = stations_of(plans, units, 1.0, instances=names, cards=cards)
    assert served(by_shares, share_stations(by_shares, nobody(by_shares))) == 3.0
    assert served(by_cards, share_stations(by_cards, nobody(by_cards))) == 2.0


def test_nobody_and_nothing():
    empty = stations_of([], [1.0], 1.0, queries=2)
    assert share_stations(empty, nobody(empty)).tolist() == [-1, -1]


def test_it_is_near_the_optimum_on_crowds():
    ratios = []
    for seed in range(12):
        problem = crowd(seed)
        ratios.append(served(problem, share_stations(problem, nobody(problem))) / optimum(problem))
    assert max(ratios) <= 1 + 1e-9
    assert np.mean(ratios) > 0.97
    assert min(ratios) > 0.9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_it_never_serves_less_than_what_is_in_force(seed):
    problem = crowd(seed, queries=10)
    rng = np.random.default_rng(seed)
    begin = np.flatnonzero(np.diff(problem.query, prepend=-1))
    current = np.where(rng.random(len(begin)) < 0.4, begin, -1)
    chosen = share_stations(problem, current)
    fresh = served(problem, share_stations(problem, nobody(problem)))
    try:
        held = served(problem, current)
    except AssertionError:
        return  # What was in force does not fit.
    assert served(problem, chosen) >= max(held, 0.9 * fresh) - 1e-9


def test_of_plans_on_the_same_stations_the_best_is_kept():
    station = np.array([[0, -1], [0, -1], [1, -1], [0, -1]])
    kept = best_of_each_set(np.array([0, 0, 0, 1]), station, np.array([0.5, 0.9, 0.1, 0.2]))
    assert sorted(kept.tolist()) == [1, 2, 3]


@given(
    arrays(np.int64, st.tuples(st.integers(0, 12), st.just(4)), elements=st.integers(-1, 1)),
    st.data(),
)
def test_of_each_set_the_first_of_the_largest_worth_is_kept(rows, data):
    worth = data.draw(arrays(np.float64, len(rows), elements=st.integers(0, 2)))
    best: dict[tuple[int, ...], int] = {}
    for row, key in enumerate(map(tuple, rows.tolist())):
        if key not in best or worth[row] > worth[best[key]]:
            best[key] = row
    kept = best_of_each_set(rows[:, 0], rows[:, 1:], worth)
    assert kept.tolist() == [best[key] for key in sorted(best)]
