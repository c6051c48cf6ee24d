"""Matching queries and plans: a multi-dimensional multiple-choice knapsack.

First, prices of the pools are computed by minimising the `Dual`. At these prices, most queries
either have one plan that is clearly the best, or have no plan that is worth its price. A linear
program decides for the other queries. Then GPU instances are packed on cards, and plans that still
fit are added. Running time grows roughly linearly with the number of plans.
"""

from dataclasses import dataclass

import numpy as np

from planners.common.lbfgsb import minimum
from planners.matching.packing import Move, Packing
from planners.matching.problem import Problem
from scenarios.numerics import Floats, Ints

CORRECTIONS = 20
"""Number of earlier L-BFGS steps from which the curvature is estimated."""


class Dual:
    """The Lagrangian dual of a matching problem, as a function of prices of whole pools.

        bound(prices) =   sum over queries of max(0, max over its plans of weight - demand . prices)
                        + sum over plain pools of capacity . price
                        + sum over nodes of cards * max over layouts of layout . prices

    At any prices, the bound is an upper bound of the optimum and of its LP relaxation. At the best
    prices, it equals the value of the relaxation. If all maxima are replaced by soft maxima
    (Nesterov 2005), the gradient contains shares of plans and layouts that approximately solve the
    relaxation.
    """

    def __init__(self, problem: Problem) -> None:
        from scipy.sparse import diags_array  # noqa: PLC0415 -- takes long to import

        supply = problem.supply
        self._problem = problem
        self.unit = np.where(supply.most > 0, supply.most, 1.0)
        self._share = (problem.taken @ diags_array(1 / self.unit)).tocsr()
        self._shares_of_pool = self._share.T.tocsr()
        self._size = np.diff(np.append(problem.first, len(problem.query)))
        self._plain = (supply.plain & (supply.most > 0)).astype(np.float64)
        self._cards = [
            (cards.pools, cards.count * cards.layouts / self.unit[cards.pools])
            for cards in supply.cards
        ]

    def reduced(self, scaled: Floats) -> Floats:
        """Return each plan's reduced weight: its weight minus its price, of shape (M,)."""
        return np.asarray(self._problem.weight - self._share @ scaled)

    def bound(self, scaled: Floats) -> float:
        """Return an upper bound of the total weight of any matching."""
        gains = np.maximum(self._problem.best(self.reduced(scaled)), 0.0)
        supplied = float(self._plain @ scaled)
        for pools, share in self._cards:
            supplied += float((share @ scaled[pools]).max())
        return float(gains.sum()) + supplied

    def minimise(self, scaled: Floats, smooth: float, rounds: int) -> Floats:
        """Return prices of shape (R,) that lower the bound with soft maxima at ``smooth``."""
        return minimum(
            lambda prices: self._smoothed(prices, smooth),
            scaled,
            np.zeros(len(scaled)),
            np.full(len(scaled), np.inf),
            rounds,
            CORRECTIONS,
        )

    def shares(self, scaled: Floats, smooth: float) -> Floats:
        """Return the share of each plan in the solution with soft maxima, of shape (M,)."""
        return self._shares(scaled, smooth)[1]

    def _shares(self, scaled: Floats, smooth: float) -> tuple[float, Floats]:
        """Return the sum of the queries' soft maxima, and the shares of plans."""
        reduced = self.reduced(scaled) / smooth
        top = np.maximum(self._problem.best(reduced), 0.0)
        odds = np.exp(reduced - np.repeat(top, self._size))
        total = np.add.reduceat(odds, self._problem.first) + np.exp(-top)
        return smooth * float((top + np.log(total)).sum()), odds / np.repeat(total, self._size)

    def _smoothed(self, scaled: Floats, smooth: float) -> tuple[float, Floats]:
        """Return the bound with soft maxima, and its gradient."""
        gains, shares = self._shares(scaled, smooth)
        value = gains + float(self._plain @ scaled)
        gradient = self._plain - self._shares_of_pool @ shares
        for pools, share in self._cards:
            worth = share @ scaled[pools] / smooth
            top = worth.max()
            odds = np.exp(worth - top)
            total = odds.sum()
            value += smooth * float(top + np.log(total))
            gradient[pools] += odds @ share / total
        return value, np.asarray(gradient)


SLACK = 1e-9
TEMPERATURES = (0.05, 0.01)
"""Temperatures of the soft maxima, relative to the largest weight; a warm start uses only the last.
"""

ROUNDS = 40
SURE = 0.999
"""Prices decide on a query if one of its plans, or choosing none, has at least this share."""

LEAST = 0.01
"""The linear program considers only plans with at least this share."""

MOST_OPEN = 10_000
"""Largest number of plans in the linear program, which takes the least decided queries first."""

AMPLE = 0.99
"""If the queries' part of the bound is at least this share of it, no pool is scarce."""

SHORT = 100.0
"""Penalty, relative to the largest weight, for each missing card in the linear program."""


@dataclass(frozen=True)
class Matching:
    """A matching: the plan that each query gets, and the prices of the pools."""

    chosen: Ints  # row of the plan of each query, -1 for none, of shape (Q,)
    prices: Floats  # price of a unit of each pool, of shape (R,)
    value: float  # sum of the weights of the chosen plans
    bound: float  # no matching, fractional or not, has a larger sum


def match(problem: Problem, prices: Floats | None = None) -> Matching:
    """Match queries and plans; ``prices`` of a similar problem, of shape (R,), reduce the time."""
    if not len(problem.query):
        return Matching(np.empty(0, np.int64), np.zeros(len(problem.supply.capacity)), 0.0, 0.0)
    dual = Dual(problem)
    scaled = np.zeros(len(dual.unit)) if prices is None else prices * dual.unit
    for temperature in TEMPERATURES if prices is None else TEMPERATURES[-1:]:
        scaled = dual.minimise(scaled, temperature * problem.largest, ROUNDS)
    found, bound, reduced = scaled / dual.unit, dual.bound(scaled), dual.reduced(scaled)

    gains = float(np.maximum(problem.best(reduced), 0.0).sum())
    if gains >= AMPLE * bound:
        wanted = _best(problem, reduced)
    else:
        wanted = _settled(problem, dual.shares(scaled, TEMPERATURES[-1] * problem.largest))
    chosen = _Room(problem, found).serve(wanted, reduced)
    return Matching(chosen, found, float(problem.weight[chosen[chosen >= 0]].sum()), bound)


def _best(problem: Problem, reduced: Floats) -> Ints:
    """Return the row of each query's plan of largest reduced weight, or -1 if none is above 0."""
    best = problem.ranked(reduced)[problem.first]
    return np.where((reduced[best] > 0) & (problem.weight[best] > 0), best, -1)


def _settled(problem: Problem, shares: Floats) -> Ints:
    """Choose each query's row, or -1, by the relaxation's approximate shares of shape (M,)."""
    shares = np.where(problem.weight > 0, shares, 0.0)
    most = problem.best(shares)
    sure = np.maximum(most, 1 - np.add.reduceat(shares, problem.first))
    looked_at = shares > LEAST
    order = np.argsort(sure, kind="stable")
    many = np.cumsum(np.add.reduceat(looked_at.astype(np.int64), problem.first)[order])
    unsettled = np.zeros(len(most), dtype=bool)
    unsettled[order[many <= MOST_OPEN]] = True
    unsettled &= sure < SURE
    wanted = np.where(unsettled, -1, _drawn(problem, shares))
    settled = wanted >= 0
    used = np.asarray(problem.taken[wanted[settled]].sum(axis=0))
    rows = np.flatnonzero(unsettled[problem.query] & looked_at)
    picked = rows[_best_shares(problem, rows, used) > 0.5]
    wanted[problem.query[picked]] = picked
    return wanted


def _best_shares(problem: Problem, rows: Ints, used: Floats) -> Floats:
    """Return optimal shares of plans, given the resources ``used`` by other queries.

    The shares have shape (k,) and ``used`` has shape (R,). HiGHS finds a basic solution of the
    linear program, in which few queries are split over plans.
    """
    from scipy.optimize import linprog  # noqa: PLC0415 -- takes long to import
    from scipy.sparse import block_array, coo_array  # noqa: PLC0415

    supply, count = problem.supply, len(rows)
    if not count:
        return np.zeros(0)
    _, number = np.unique(problem.query[rows], return_inverse=True)
    once = coo_array((np.ones(count), (number, np.arange(count))))
    right = [
        np.where(supply.plain, np.maximum(0.0, supply.capacity - used), -used),
        np.ones(once.shape[0]),
        np.array([float(cards.count) for cards in supply.cards]),
    ]
    blocks = [[problem.taken[rows].T], [once]]
    cost = [-problem.weight[rows]]
    if supply.cards:
        layouts = np.concatenate([cards.layouts for cards in supply.cards])
        node = np.repeat(np.arange(len(supply.cards)), [len(each.layouts) for each in supply.cards])
        pool = np.concatenate([np.broadcast_to(c.pools, c.layouts.shape) for c in supply.cards])
        column = np.broadcast_to(np.arange(len(layouts))[:, None], layouts.shape)
        shape = len(supply.capacity), len(layouts)
        gives = coo_array((-layouts.ravel().astype(float), (pool.ravel(), column.ravel())), shape)
        cut = coo_array((np.ones(len(layouts)), (node, np.arange(len(layouts)))))
        missing = coo_array(-np.eye(len(supply.cards)))
        blocks = [[*blocks[0], gives, None], [*blocks[1], None, None], [None, cut, missing]]
        cost += [np.zeros(len(layouts)), np.full(len(supply.cards), SHORT * problem.largest)]
    matrix = block_array(blocks).tocsr()
    limit = np.concatenate(right)
    result = linprog(np.concatenate(cost), matrix, limit[: matrix.shape[0]], method="highs-ds")
    return np.zeros(count) if result.x is None else np.asarray(result.x[:count])


def _drawn(problem: Problem, shares: Floats) -> Ints:
    """Return one row for each query, or -1, drawn with its plans' shares as probabilities.

    In place of random numbers, evenly spread multiples of the golden ratio are used.
    """
    count = len(problem.first)
    spread = np.arange(1, count + 1) * ((np.sqrt(5) - 1) / 2) % 1
    total = np.cumsum(shares)
    before = np.concatenate([[0.0], total])[problem.first]
    passed = (total - before[problem.query] <= spread[problem.query]).astype(np.int64)
    row = problem.first + np.add.reduceat(passed, problem.first)
    ends = np.append(problem.first[1:], len(shares))
    return np.where(row < ends, np.minimum(row, len(shares) - 1), -1)


class _Room:
    """The free part of the pools, while plans are chosen one by one."""

    def __init__(self, problem: Problem, prices: Floats) -> None:
        supply = problem.supply
        self._problem = problem
        self._begin = problem.demand.start.tolist()
        self._pool = problem.demand.pool.tolist()
        self._amount = problem.demand.amount.tolist()
        self._free = (supply.capacity * (1 + SLACK) + SLACK).tolist()
        self._instances: dict[int, tuple[Packing, int]] = {}
        self._size = np.zeros(len(supply.capacity))
        for cards in supply.cards:
            packing = Packing(cards, prices[cards.pools])
            for profile, pool in enumerate(cards.pools.tolist()):
                self._instances[pool] = packing, profile
            self._size[cards.pools] = 1 / np.maximum(cards.layouts.max(axis=0), 1)

    def serve(self, wanted: Ints, reduced: Floats) -> Ints:
        """Choose each query's wanted plan if it fits, or else another; return rows of shape (Q,).

        Plans with the largest GPU instances are tried first. Among them, those of larger reduced
        weight come first. Then queries without a plan get the best plan that fits.
        """
        problem = self._problem
        chosen = [-1] * len(wanted)
        rows = wanted[wanted >= 0]
        sizes = (problem.taken @ self._size)[rows]
        for row in rows[np.lexsort((-reduced[rows], -sizes))].tolist():
            if self._take(row):
                chosen[int(problem.query[row])] = row
        ranked = problem.ranked(reduced).tolist()
        first = [*problem.first.tolist(), len(ranked)]
        worth = problem.weight.tolist()
        for number in np.argsort(-problem.best(reduced), kind="stable").tolist():
            if chosen[number] < 0:
                for row in ranked[first[number] : first[number + 1]]:
                    if worth[row] > 0 and self._take(row):
                        chosen[number] = row
                        break
        return np.array(chosen, dtype=np.int64)

    def _take(self, row: int) -> bool:
        """Take all resources of a plan if all of them are free; return whether they were."""
        entries = range(self._begin[row], self._begin[row + 1])
        undo: list[tuple[Packing, Move]] = []
        for at in entries:
            pool, amount = self._pool[at], self._amount[at]
            if pool in self._instances:
                packing, profile = self._instances[pool]
                for _ in range(round(amount)):
                    move = packing.take(profile)
                    if move is None:
                        break
                    undo.append((packing, move))
                else:
                    continue
            elif amount <= self._free[pool]:
                continue
            for each, done in reversed(undo):
                each.give_back(done)
            return False
        for at in entries:
            if self._pool[at] not in self._instances:
                self._free[self._pool[at]] -= self._amount[at]
        return True
