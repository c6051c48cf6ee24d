"""Matching queries and plans on whole stations, which queries share if they agree.

`planners.matching.match` needs divisible demands. Stations are not: the first query pays for the
whole, and others join for nothing. So the choice is which stations to open. They are opened one set
after the other, always the one that lets the most worth be served for what it takes of the pools,
as in greedy algorithms for budgeted covering (Khuller, Moss and Naor, 1999). The best result from
several beginnings counts, the present stations among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planners.common.arrays import Floats, Integers
from planners.matching.filling import (
    LEAST_SHARE,
    SLACK,
    State,
    Stock,
    copied,
    fill,
    initial_state,
    keep,
    open_set,
    total,
    weigh,
)
from planners.matching.packing import Packing, as_arrays
from planners.matching.problem import Cards

BEGINNINGS = 16
"""Sets of stations that are tried as the first, those that could serve the most."""

INSTEAD = 3
"""Sets tried in place of a closed sort of station, in each of two orders."""

ROUNDS = 8
"""Most sorts of station that are exchanged in the end, one after the other."""


@dataclass(frozen=True)
class WholeStations:
    """Q queries, M plans, N operators, S sorts of station, R pools.

    Args:
        queries: number of queries, Q.
        query: query of each plan, shape (M,).
        worth: worth of serving the query by it, above 0, shape (M,).
        station: sort of station of each operator, -1 for none, each at most once, shape (M, N).
        filled: share of one station that the query fills, at most 1, shape (M, N).
        sent: what it takes of the pools besides stations, shape (M, R).
        pool: pool that a sort draws on, shape (S,).
        units: units of the pool that one station takes, shape (S,).
        instances: GPU instances that one station takes of the cards, 0 for none, shape (S,).
        profile: cards of these, and number of their profile there, shape (S, 2).
        load: other load of stations of each sort, in stations, shape (S,).
        capacity: capacity of the pools for these queries and that load, shape (R,).
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
        """The plans in that order, and the capacity."""
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

    @cached_property
    def nobody_served(self) -> State:
        """The initial state; change copies only."""
        return initial_state(self.stock, self.queries, self.load, self._cut[0])

    @cached_property
    def _cut(self) -> tuple[Integers, Integers]:
        packings = [Packing(each, np.ones(each.layouts.shape[1])) for each in self.cards]
        return as_arrays(packings)

    @cached_property
    def _sets(self) -> Integers:
        return _numbered(self.station)


def share_stations(problem: WholeStations, current: Integers) -> Integers:
    """Return the row of each query's plan, or -1, (Q,), of as much worth as possible.

    ``current`` has the rows of the present plans, which need not fit.
    """
    nobody = np.full(problem.queries, -1, dtype=np.int64)
    if not len(problem.query):
        return nobody
    place = np.argsort(problem.order)
    now = np.where(current < 0, -1, place[current])
    stock, blank = problem.stock, problem.nobody_served
    firsts = _promising(*weigh(stock, blank), BEGINNINGS // 2)
    best, most = nobody, 0.0
    starts: list[tuple[Integers, int | None]] = [(now, None), (nobody, None)]
    for start, first in [*starts, *((nobody, first) for first in firsts)]:
        state = copied(blank)
        keep(stock, state, start)
        if first is not None:
            open_set(stock, state, first)
        fill(stock, state)
        if (worth := total(stock, state)) > most + SLACK:
            best, most = state.chosen, worth
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
    """Return the best choice and its worth after replacing a sort of station, if it is better."""
    best, stock = None, problem.stock
    uses = np.where((chosen >= 0)[:, None], stock.sets[stock.member[np.maximum(chosen, 0)]], -1)
    for sort in np.unique(uses[uses >= 0]).tolist():
        state = copied(problem.nobody_served)
        keep(stock, state, np.where((uses == sort).any(axis=1), -1, chosen))
        gains, shares = weigh(stock, state)
        gains = np.where((stock.sets == sort).any(axis=1), 0.0, gains)
        for first in _promising(gains, shares, INSTEAD):
            if gains[first] <= 0:
                continue
            trial = copied(state)
            open_set(stock, trial, first)
            fill(stock, trial)
            if (worth := total(stock, trial)) > most + SLACK:
                best, most = (trial.chosen, worth), worth
    return best


def best_of_each_set(query: Integers, station: Integers, worth: Floats) -> Integers:
    """Return rows of the plans of largest worth among those of a query on the same stations.

    Shapes are (M,), (M, N) for stations, and (M,); the result has at most M rows.
    """
    same = _numbered(np.column_stack([query, station]))
    order = np.lexsort((-worth, same))
    first = np.flatnonzero(np.diff(same[order], prepend=-1))
    return order[first]


def _numbered(rows: Integers) -> Integers:
    """Return the rank of each row among the distinct rows, shape (M,).

    The inverse of ``np.unique``, which takes far longer as it compares whole rows.
    """
    order = np.lexsort(rows.T[::-1])
    differs = np.zeros(len(rows), dtype=np.int64)
    differs[1:] = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    number = np.empty_like(differs)
    number[order] = np.cumsum(differs)
    return number
