"""Seconds of one core to match queries with plans, and the gap to the bound of a linear program.

Each query has 8 plans. A plan takes whole cores of a node and one or two GPU instances of the
node's A100s. The matching also decides how these cards are partitioned. Contention is the number of
cards that all queries would need with their smallest plans, divided by the number of available
cards. Contentions of 0.8, 2 and 5 are measured, each by the median time of three runs. The longest
of these three medians is shown. The bound is that of the linear program over queries, resource
pools and layouts of cards, solved by HiGHS. `gap_pct` is the largest gap between a matching and
this bound, in percent. `exponent` is the slope of the logarithm of time over the logarithm of the
number of queries, from 1,600 to 100,000 queries.
"""

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array
from threadpoolctl import threadpool_limits

from planners.matching import Cards, Demand, Problem, Supply, match
from scenarios.cluster import Node
from sim.api.gpu_layouts import gpu_layouts

PLANS = 8
CONTENTION = (0.8, 2.0, 5.0)
SIZES = {"q1600_s": (1_600, 60), "q10000_s": (10_000, 200)}
EXPONENT_AT = (1_600, 12_500, 100_000)
RUNS = 3


def made_up(queries: int, pools: int, contention: float, seed: int) -> Problem:
    """Return an artificial problem; some pools are cores, others GPU instances of six profiles.

    Args:
        queries: number of queries.
        pools: largest number of pools.
        contention: demand for cards, by the leanest plans, over the supply.
        seed: seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    layouts = gpu_layouts(Node("cloud", "a2-highgpu-1g"))
    profiles = list(layouts[0])
    table = np.array([[each[name] for name in profiles] for each in layouts])
    # Share of a card that one instance takes.
    size = 1 / table.max(axis=0)
    by_size = np.argsort(size)
    nodes = max(1, pools // (1 + len(profiles)))
    count = queries * PLANS
    node = rng.integers(nodes, size=count)
    # Plans of a query range from lean to rich.
    rank = np.tile(np.arange(PLANS), queries)
    richest = len(profiles) - 1
    grade = np.minimum(richest, rng.integers(0, 3, count) + rank * richest // PLANS)
    profile = by_size[grade]
    two = rng.random(count) < 0.25
    cores = rng.integers(1, 5, count)
    entries = [
        (np.arange(count), node * (1 + len(profiles)), cores),
        (np.arange(count), node * (1 + len(profiles)) + 1 + profile, 1 + two),
    ]
    row, pool, amount = (np.concatenate(each) for each in zip(*entries, strict=True))
    order = np.lexsort((pool, row))
    start = np.arange(0, 2 * count + 1, 2)
    packed = Demand(start, pool[order].astype(np.int64), amount[order].astype(np.float64))
    weight = 1.0 - 0.05 * size[profile] * (1 + two) - 0.002 * cores
    lean = (size[profile] * (1 + two)).reshape(queries, PLANS).min(axis=1).sum()
    cards = max(nodes, round(lean / contention))
    share = np.full(nodes, cards // nodes) + (np.arange(nodes) < cards % nodes)
    capacity = np.zeros(nodes * (1 + len(profiles)))
    groups = []
    for each in range(nodes):
        first = each * (1 + len(profiles))
        capacity[first] = 12 * share[each]
        groups.append(
            Cards(int(share[each]), np.arange(first + 1, first + 1 + len(profiles)), table)
        )
    query = np.repeat(np.arange(queries), PLANS)
    return Problem(query, weight, packed, Supply(capacity, groups))


def lp_bound(problem: Problem) -> float:
    """Return the optimum of the linear program, with columns for plans and for layouts."""
    query, weight, demand, supply = problem.query, problem.weight, problem.demand, problem.supply
    plans, queries, pools = len(query), int(query[-1]) + 1, len(supply.capacity)
    row_of_plan = np.repeat(np.arange(plans), np.diff(demand.start))
    rows, columns, values = [demand.pool], [row_of_plan], [demand.amount]
    rows.append(pools + query)
    columns.append(np.arange(plans))
    values.append(np.ones(plans))
    right = np.concatenate([supply.capacity, np.ones(queries)])
    column, number = plans, pools + queries
    more = []
    for cards in supply.cards:
        right[cards.pools] = 0.0
        many = len(cards.layouts)
        for at, pool in enumerate(cards.pools.tolist()):
            rows.append(np.full(many, pool))
            columns.append(np.arange(column, column + many))
            values.append(-cards.layouts[:, at].astype(np.float64))
        rows.append(np.full(many, number))
        columns.append(np.arange(column, column + many))
        values.append(np.ones(many))
        more.append(float(cards.count))
        column, number = column + many, number + 1
    matrix = coo_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(number, column),
    ).tocsr()
    objective = np.concatenate([-weight, np.zeros(column - plans)])
    found = linprog(objective, matrix, np.concatenate([right, more]), method="highs")
    return float(-found.fun)


def seconds(queries: int, pools: int, contention: float) -> float:
    """Return the median time of a matching."""
    taken = []
    for seed in range(RUNS):
        given = made_up(queries, pools, contention, seed)
        started = perf_counter()
        match(given)
        taken.append(perf_counter() - started)
    return median(taken)


def measure() -> dict[str, Any]:
    """Return the figures."""
    with threadpool_limits(1):
        match(made_up(100, 60, 1.0, 0))  # Imports what is imported at first use.
        figures: dict[str, Any] = {
            key: max(seconds(*size, contention) for contention in CONTENTION)
            for key, size in SIZES.items()
        }
        gaps = {}
        for key, size in SIZES.items():
            for contention in CONTENTION:
                given = made_up(*size, contention, 0)
                gap = 1 - match(given).value / lp_bound(given)
                gaps[f"{key[1:-2]} queries, contention {contention:g}"] = round(100 * gap, 3)
        figures["gap_pct"] = max(gaps.values())
        times = [seconds(queries, 200, 2.0) for queries in EXPONENT_AT]
        figures["exponent"] = float(np.polyfit(np.log(EXPONENT_AT), np.log(times), 1)[0])
        figures["gaps_pct"] = gaps
        figures["q100000_s"] = times[-1]
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in figures.items()
    }
