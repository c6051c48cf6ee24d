"""The LP bound of the planning model for thousands of queries, by prices of shared resources.

Queries share resources only: cores and cards of each node, and the backhaul. So, by weak duality
of linear programs, any prices l >= 0 of the resources bound the number of queries that can be
served at once:

    bound(l) = sum over r of l_r C_r  +  sum over q of w_q max(0, max over p of 1 - l . d_qp)

C_r is the capacity of resource r, d_qp is what plan p of query q takes, and w_q is the share of the
time for which the query is present. The least bound over l is the value of the linear program

    max  sum of x_qp    s.t.  sum over p of x_qp <= w_q,   sum of x_qp d_qp <= C,   x >= 0.

It also bounds averages over a period: if what is served changes in its course, averages of x
satisfy the constraints with averages of C.

HiGHS solves small problems at once. For large ones, the prices are found by Dantzig-Wolfe
decomposition ("Decomposition principle for linear programs", Operations Research 8, 1960): a small
program combines the replies of groups of queries to earlier prices; its dual values are the next
prices. Wherever this stops, the bound is valid.
"""

from typing import NamedTuple

import numpy as np

from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints

GAP = 1e-3
"""Largest relative difference between the bound and a solution, at which the search ends."""

ROUNDS = 40
"""Largest number of prices that are tried."""

SMALL = 1500
"""With at most this many plans, HiGHS solves the linear program at once."""

LARGEST = 1e6
"""Largest demand, as a multiple of a resource's capacity; it stands for the lack of a resource."""


class Demands(NamedTuple):
    """What the plans of Q queries take of R resources; T plans in all."""

    begin: Ints  # first plan of each query, and the end, of shape (Q + 1,)
    share: Floats  # demand of each plan, divided by the capacity, of shape (T, R)
    weight: Floats  # share of the time for which each query is present, of shape (Q,)
    group: Ints  # number of each query's group, from 0; queries of a group are alike; (Q,)


class Bound(NamedTuple):
    """An upper bound on the served queries, a number that can be served, and the last prices."""

    served: float
    reached: float
    prices: Floats  # of a resource's whole capacity, in queries, of shape (R,)


def shares(demand: Floats, capacity: Floats) -> Floats:
    """Return demands of shape (T, R) as shares of capacities, (R,), of at most `LARGEST`."""
    return np.minimum(LARGEST, demand / np.maximum(capacity, 1e-300))


def bound(of: Demands, prices: Floats | None = None) -> Bound:
    """Return the bound; ``prices`` are those with which the search begins, of shape (R,)."""
    resources = of.share.shape[1]
    some = of.begin[1:] > of.begin[:-1]
    most = float(of.weight[some].sum())
    zero = np.zeros(resources)
    if not most:
        return Bound(0.0, 0.0, zero)
    groups = int(of.group.max()) + 1
    counts: list[Floats] = []
    usages: list[Floats] = []
    best, best_prices, reached = most, zero, 0.0
    tried = [np.full(resources, 1e-6 / LARGEST)]
    if prices is not None and prices.any() and len(of.share) > SMALL:
        tried.append(prices)
    for _ in range(ROUNDS):
        for each in tried:
            count, usage, value = _reply(of, groups, each)
            counts.append(count)
            usages.append(usage)
            if value < best:
                best, best_prices = value, each
            if (usage.sum(axis=0) <= 1).all():
                reached = max(reached, float(count.sum()))
        if best - reached <= GAP * most:
            break
        if len(of.share) <= SMALL:
            solution, following = _solved(of)
        else:
            solution, following = _combined(np.array(counts), np.array(usages))
        reached = max(reached, solution)
        if best - reached <= GAP * most:
            break
        tried = [following]
    return Bound(best, min(best, reached), best_prices)


def _reply(of: Demands, groups: int, prices: Floats) -> tuple[Floats, Floats, float]:
    """Return how many queries of each group want to be served, (G,), with what, (G, R).

    The last value is the bound at these prices.
    """
    plan, price = _cheapest(of.begin, of.share, prices)
    gain = of.weight * np.maximum(0.0, 1 - price)
    wants: Bools = (plan >= 0) & (price < 1)
    weight, group = of.weight[wants], of.group[wants]
    count: Floats = np.zeros(groups)
    np.add.at(count, group, weight)
    usage = np.zeros((groups, len(prices)))
    np.add.at(usage, group, weight[:, None] * of.share[plan[wants]])
    return count, usage, float(prices.sum() + gain.sum())


def _combined(counts: Floats, usages: Floats) -> tuple[float, Floats]:
    """Return the best combination of replies, of shape (n, G) and (n, G, R), and its prices."""
    from scipy.optimize import linprog  # noqa: PLC0415 -- takes long to import
    from scipy.sparse import coo_array  # noqa: PLC0415

    replies, groups = counts.shape
    resources = usages.shape[2]
    columns = np.arange(replies * groups)
    each = coo_array(
        (np.ones(len(columns)), (resources + columns % groups, columns)),
        shape=(resources + groups, len(columns)),
    ).toarray()
    each[:resources] = usages.reshape(-1, resources).T
    found = linprog(-counts.ravel(), A_ub=each, b_ub=np.ones(len(each)), method="highs-ds")
    return -float(found.fun), np.maximum(0.0, -found.ineqlin.marginals[:resources])


def _solved(of: Demands) -> tuple[float, Floats]:
    """Return the value of the linear program, and the prices of resources, of shape (R,)."""
    from scipy.optimize import linprog  # noqa: PLC0415
    from scipy.sparse import coo_array  # noqa: PLC0415

    plans, resources = of.share.shape
    query = np.repeat(np.arange(len(of.weight)), np.diff(of.begin))
    at, resource = np.nonzero(of.share)
    rows = np.concatenate((resource, resources + query))
    columns = np.concatenate((at, np.arange(plans)))
    values = np.concatenate((of.share[at, resource], np.ones(plans)))
    left = coo_array((values, (rows, columns)), shape=(resources + len(of.weight), plans))
    right = np.concatenate((np.ones(resources), of.weight))
    found = linprog(-np.ones(plans), A_ub=left.tocsr(), b_ub=right, method="highs-ds")
    return -float(found.fun), np.maximum(0.0, -found.ineqlin.marginals[:resources])


@compiled
def _cheapest(begin: Ints, share: Floats, prices: Floats) -> tuple[Ints, Floats]:
    """Return each query's plan of the lowest price and this price, of shape (Q,); -1 and inf."""
    queries = len(begin) - 1
    plan = np.full(queries, -1, dtype=np.int64)
    price = np.full(queries, np.inf)
    for query in range(queries):
        for at in range(begin[query], begin[query + 1]):
            its = 0.0
            for resource in range(len(prices)):
                its += prices[resource] * share[at, resource]
            if its < price[query]:
                plan[query], price[query] = at, its
    return plan, price
