"""Matching queries and plans on whole stations, which those share that agree.

`planners.matching.match` takes what plans need to be divisible. Stations are not: the first query
pays for a GPU instance as a whole, and those that can do with the same join for nothing. So what
counts is which stations to open. They are opened one set after the other: always the set that lets
the most worth be served for what it takes of the pools, as in greedy algorithms for covering with a
budget (Khuller, Moss and Naor, 1999). As there, it is tried from several beginnings, the stations
that stand among them, and the best result counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planners.matching.filling import LEAST_SHARE, SLACK, Filling, Stock
from planners.matching.packing import Packing, as_arrays
from planners.matching.problem import Cards, Floats, Integers

BEGINNINGS = 16
"""Sets of stations that are tried as the first, those that could serve the most."""

INSTEAD = 3
"""Sets that are tried instead of a sort of station that is closed, in each of two orders."""

ROUNDS = 8
"""Most sorts of station that are exchanged in the end, one after the other."""


@dataclass(frozen=True)
class WholeStations:
    """Q queries, M plans, N operators, S sorts of station, R pools.

    Args:
        queries: how many there are, Q.
        query: query of each plan, shape (M,).
        worth: what serving a query by it is worth, above 0, shape (M,).
        station: the sort of station that each operator uses, -1 for none, shape (M, N); a plan uses
            a sort once at most.
        filled: share of one station that the query fills, at most 1, shape (M, N).
        sent: what it takes of the pools beside stations, shape (M, R).
        pool: pool that a sort draws on, shape (S,).
        units: how much of it one station takes, shape (S,).
        instances: GPU instances that one station takes of the cards, 0 for none, shape (S,).
        profile: for these, the cards that they are on and the number of their profile there,
            shape (S, 2).
        load: what fills stations of each sort whatever is chosen, in stations, shape (S,).
        capacity: what there is of the pools for these queries and that load, shape (R,).
        cards: the GPUs of each node that has some.
    """

    queries: int
    query: Integers
    worth: Floats
    station: Integers
    filled: Floats
    sent: Floats
    pool: Integers
    units: Floats
    instances: Integers
    profile: Integers
    load: Floats
    capacity: Floats
    cards: Sequence[Cards] = ()

    @cached_property
    def order(self) -> Integers:
        """Plans by set of stations, and in each those that fill little first, shape (M,)."""
        return np.lexsort((-self.worth, self.filled.max(axis=1), self._sets))

    @cached_property
    def stock(self) -> Stock:
        """The plans in that order, and what there is."""
        member = self._sets[self.order]
        begin = np.flatnonzero(np.diff(member, prepend=-1))
        return Stock(
            np.append(begin, len(member)),
            member,
            self.query[self.order],
            self.worth[self.order],
            self.filled[self.order],
            self.sent[self.order],
            self.station[self.order[begin]],
            self.pool,
            self.units,
            self.instances,
            self.profile,
            self.capacity,
            self._cut[1],
        )

    def filling(self) -> Filling:
        """Return stations that serve nobody yet."""
        return self._blank.copy()

    @cached_property
    def _blank(self) -> Filling:
        return Filling(self.stock, self.queries, self.load, self._cut[0])

    @cached_property
    def _cut(self) -> tuple[Integers, Integers]:
        packings = [Packing(each, np.ones(each.layouts.shape[1])) for each in self.cards]
        return as_arrays(packings)

    @cached_property
    def _sets(self) -> Integers:
        return _numbered(self.station)


def share_stations(problem: WholeStations, current: Integers) -> Integers:
    """Choose plans of as much worth as possible whose whole stations the pools have.

    Args:
        problem: the problem.
        current: row of the plan that serves each query, -1 for none, shape (Q,). They need not fit.

    Returns:
        Row of the plan of each query, -1 for none, shape (Q,).
    """
    nobody = np.full(problem.queries, -1, dtype=np.int64)
    if not len(problem.query):
        return nobody
    place = np.argsort(problem.order)
    now = np.where(current < 0, -1, place[current])
    firsts = _promising(*problem.filling().gains(), BEGINNINGS // 2)
    best, most = nobody, 0.0
    starts: list[tuple[Integers, int | None]] = [(now, None), (nobody, None)]
    for start, first in [*starts, *((nobody, first) for first in firsts)]:
        filling = problem.filling()
        filling.keep(start)
        if first is not None:
            filling.open(first)
        filling.fill()
        total = filling.total
        if total > most + SLACK:
            best, most = filling.chosen, total
    for _ in range(ROUNDS):
        better = _exchanged(problem, best, most)
        if better is None:
            break
        best, most = better
    return np.where(best < 0, -1, problem.order[best])


def _promising(gains: Floats, shares: Floats, many: int) -> list[int]:
    """Return the sets that gain most for what they take, and those that gain most, many of each."""
    by_score = np.argsort(-gains / np.maximum(shares, LEAST_SHARE), kind="stable")
    by_gain = np.argsort(-gains, kind="stable")
    return list(dict.fromkeys([*by_score[:many].tolist(), *by_gain[:many].tolist()]))


def _exchanged(
    problem: WholeStations, chosen: Integers, most: float
) -> tuple[Integers, float] | None:
    """Return what is best once one sort of station gives way to a set of others, if it is better.

    Args:
        problem: the problem.
        chosen: plan of each query by its place in the stock, -1 for none, shape (Q,).
        most: what that is worth.
    """
    best, stock = None, problem.stock
    uses = np.where((chosen >= 0)[:, None], stock.sets[stock.member[np.maximum(chosen, 0)]], -1)
    for sort in np.unique(uses[uses >= 0]).tolist():
        filling = problem.filling()
        filling.keep(np.where((uses == sort).any(axis=1), -1, chosen))
        gains, shares = filling.gains()
        gains = np.where((stock.sets == sort).any(axis=1), 0.0, gains)
        for first in _promising(gains, shares, INSTEAD):
            if gains[first] <= 0:
                continue
            trial = filling.copy()
            trial.open(first)
            trial.fill()
            if trial.total > most + SLACK:
                best, most = (trial.chosen, trial.total), trial.total
    return best


def best_of_each_set(query: Integers, station: Integers, worth: Floats) -> Integers:
    """Return the rows of the plans of largest worth among those of a query that use the same.

    Args:
        query: query of each plan, shape (M,).
        station: what its operators use, shape (M, N).
        worth: what it is worth, shape (M,).

    Returns:
        Row numbers, shape (at most M,).
    """
    same = _numbered(np.column_stack([query, station]))
    order = np.lexsort((-worth, same))
    first = np.flatnonzero(np.diff(same[order], prepend=-1))
    return order[first]


def _numbered(rows: Integers) -> Integers:
    """Return the number of each row among the different ones in ascending order, shape (M,).

    As the inverse of ``np.unique`` does, which compares whole rows and takes far longer.

    Args:
        rows: the rows, shape (M, K).
    """
    order = np.lexsort(rows.T[::-1])
    differs = np.zeros(len(rows), dtype=np.int64)
    differs[1:] = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    number = np.empty_like(differs)
    number[order] = np.cumsum(differs)
    return number
