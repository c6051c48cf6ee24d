"""Matching queries and plans on whole stations, which those share that agree.

`planners.matching.match` takes what plans need to be divisible. Stations are not: the first query
pays for a GPU instance as a whole, and those that can do with the same join for nothing. So what
counts is which stations to open. They are opened one set after the other: always the set that lets
the most worth be served for what it takes of the pools, as in greedy algorithms for covering with a
budget (Khuller, Moss and Naor, 1999). As there, it is tried from several beginnings, the stations
that stand among them, and the best result counts.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planners.matching.packing import Move, Packing
from planners.matching.problem import Cards, Floats, Integers

SLACK = 1e-9
BEGINNINGS = 16
"""Sets of stations that are tried as the first, those that could serve the most."""

INSTEAD = 3
"""Sets that are tried instead of a sort of station that is closed, in each of two orders."""

ROUNDS = 8
"""Most sorts of station that are exchanged in the end, one after the other."""

LEAST_SHARE = 1e-3
"""Share of the pools that a set counts with at least, for there is no dividing by nothing."""


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
    def begin(self) -> Integers:
        """Where each set begins in that order, shape (B,)."""
        return np.flatnonzero(np.diff(self._sets[self.order], prepend=-1))

    @cached_property
    def members(self) -> Integers:
        """Number of plans of each set, shape (B,)."""
        return np.diff(np.append(self.begin, len(self.query)))

    @cached_property
    def sets(self) -> Integers:
        """Sorts of station of each set, -1 for none, shape (B, N)."""
        return self.station[self.order[self.begin]]

    @cached_property
    def _sets(self) -> Integers:
        return np.unique(self.station, axis=0, return_inverse=True)[1].reshape(-1)


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
    blank = _Filling(problem)
    gains, shares = blank.gains()
    promising = np.argsort(-gains / np.maximum(shares, LEAST_SHARE), kind="stable")
    largest = np.argsort(-gains, kind="stable")
    half = BEGINNINGS // 2
    firsts = dict.fromkeys([*promising[:half].tolist(), *largest[:half].tolist()])
    best, most = nobody, 0.0
    starts: list[tuple[Integers, int | None]] = [(current, None), (nobody, None)]
    for start, first in [*starts, *((nobody, first) for first in firsts)]:
        filling = _Filling(problem)
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
    return best


def _exchanged(
    problem: WholeStations, chosen: Integers, most: float
) -> tuple[Integers, float] | None:
    """Return what is best once one sort of station gives way to a set of others, if it is better.

    Args:
        problem: the problem.
        chosen: row of the plan of each query, -1 for none, shape (Q,).
        most: what that is worth.
    """
    best = None
    uses = np.where((chosen >= 0)[:, None], problem.station[np.maximum(chosen, 0)], -1)
    for sort in np.unique(uses[uses >= 0]).tolist():
        left = np.where((uses == sort).any(axis=1), -1, chosen)
        filling = _Filling(problem)
        filling.keep(left)
        gains, shares = filling.gains()
        gains = np.where((problem.sets == sort).any(axis=1), 0.0, gains)
        by_score = np.argsort(-gains / np.maximum(shares, LEAST_SHARE), kind="stable")
        by_gain = np.argsort(-gains, kind="stable")
        for first in dict.fromkeys([*by_score[:INSTEAD].tolist(), *by_gain[:INSTEAD].tolist()]):
            if gains[first] <= 0:
                continue
            trial = filling.copy()
            trial.open(first)
            trial.fill()
            if trial.total > most + SLACK:
                best, most = (trial.chosen, trial.total), trial.total
    return best


class _Filling:
    """Stations while they are opened, and queries while they are served.

    Args:
        problem: the problem; nobody is served yet.
    """

    def __init__(self, problem: WholeStations) -> None:
        self._problem = problem
        self._load = problem.load.copy()
        self._whole = np.ceil(self._load - SLACK)
        self._used = np.zeros(len(problem.capacity))
        np.add.at(self._used, problem.pool, self._whole * problem.units)
        self._most = problem.capacity + SLACK
        self._packings = [Packing(each, np.ones(each.layouts.shape[1])) for each in problem.cards]
        self._take(np.arange(len(self._whole)), self._whole)
        self._in_vain = np.zeros(len(problem.begin), dtype=bool)
        self.chosen: Integers = np.full(problem.queries, -1, dtype=np.int64)

    def copy(self) -> "_Filling":
        """Return the same, to go on from."""
        made = copy(self)
        made._load, made._whole, made._used = self._load.copy(), self._whole.copy(), self._used
        made._packings = [each.copy() for each in self._packings]
        made._in_vain = self._in_vain.copy()
        made.chosen = self.chosen.copy()
        return made

    @property
    def total(self) -> float:
        """Worth of what is served."""
        return float(self._problem.worth[self.chosen[self.chosen >= 0]].sum())

    def keep(self, rows: Integers) -> None:
        """Serve queries by given plans as far as there is room, -1 for none, shape (Q,)."""
        for row in rows[rows >= 0].tolist():
            self._serve(row)

    def fill(self) -> None:
        """Open sets of stations until none that there is room for serves anybody more."""
        while True:
            gains, shares = self.gains()
            gains = np.where(self._in_vain, 0.0, gains)
            best = int((gains / np.maximum(shares, LEAST_SHARE)).argmax())
            if gains[best] <= 0:
                return
            self._in_vain[best] = not self.open(best)

    def gains(self) -> tuple[Floats, Floats]:
        """Return what each set would serve if one more of its stations were open, as needed.

        Returns:
            The worth, 0 where there is no room, and the share of the pools taken, (B,) each.
        """
        problem = self._problem
        rows, begin = problem.order, problem.begin
        opened = self._opened(problem.sets)
        takes = np.zeros((len(begin), len(self._used)))
        sorts = np.where(problem.sets < 0, 0, problem.sets)
        amounts = opened * problem.units[sorts]
        for operator in range(sorts.shape[1]):
            np.add.at(
                takes,
                (np.arange(len(begin)), problem.pool[sorts[:, operator]]),
                amounts[:, operator],
            )
        possible = (self._used + takes <= self._most).all(axis=1)
        free = self.chosen[problem.query[rows]] < 0
        fills = np.where(free[:, None], problem.filled[rows], 0.0)
        total = np.cumsum(fills, axis=0)
        before = np.vstack([np.zeros((1, fills.shape[1])), total])[begin]
        within = total - np.repeat(before, problem.members, axis=0)
        room = np.where(
            problem.sets < 0, np.inf, self._whole[sorts] + opened - self._load[sorts] + SLACK
        )
        fits = free & (within <= np.repeat(room, problem.members, axis=0)).all(axis=1)
        gains = np.add.reduceat(np.where(fits, problem.worth[rows], 0.0), begin)
        shares = (takes / np.maximum(problem.capacity, SLACK)).max(axis=1, initial=0.0)
        return np.where(possible, gains, 0.0), shares

    def _opened(self, sets: Integers) -> Floats:
        """Return which stations of a set must be opened: those where its smallest finds no room."""
        problem = self._problem
        sorts = np.where(sets < 0, 0, sets)
        free = self.chosen[problem.query[problem.order]] < 0
        fills = np.where(free[:, None], problem.filled[problem.order], np.inf)
        least = np.minimum.reduceat(fills, problem.begin, axis=0)
        least = np.where(np.isfinite(least), least, 0.0)
        full = self._load[sorts] + least > self._whole[sorts] + SLACK
        return np.asarray((sets >= 0) & full, dtype=np.float64)

    def open(self, number: int) -> bool:
        """Serve by one set as many as its stations hold, opened where full; tell if any."""
        problem = self._problem
        begin = int(problem.begin[number])
        rows = problem.order[begin : begin + int(problem.members[number])].tolist()
        some = False
        for row in rows:
            if self.chosen[problem.query[row]] < 0 and self._serve(row, grow=not some):
                some = True
        return some

    def _take(self, sorts: Integers, many: Floats) -> bool:
        """Take the instances of some stations, all or none; tell if there was room on cards.

        Args:
            sorts: their sorts, shape (k,).
            many: how many of each, shape (k,).
        """
        problem = self._problem
        undo: list[tuple[Packing, Move]] = []
        for sort, count in zip(sorts.tolist(), many.tolist(), strict=True):
            for _ in range(round(count) * int(problem.instances[sort])):
                card, profile = problem.profile[sort].tolist()
                move = self._packings[card].take(profile)
                if move is None:
                    for packing, done in reversed(undo):
                        packing.give_back(done)
                    return False
                undo.append((self._packings[card], move))
        return True

    def _serve(self, row: int, grow: bool = True) -> bool:
        """Serve a query by a plan if there is room; tell if so.

        Args:
            row: the plan.
            grow: whether stations may be opened for it.
        """
        problem = self._problem
        sorts, fills = problem.station[row], problem.filled[row]
        sorts, fills = sorts[sorts >= 0], fills[sorts >= 0]
        more = np.ceil(self._load[sorts] + fills - SLACK) - self._whole[sorts]
        more = np.maximum(0.0, more)
        if more.any() and not grow:
            return False
        used = self._used + problem.sent[row]
        np.add.at(used, problem.pool[sorts], more * problem.units[sorts])
        if (used > self._most).any() or not self._take(sorts, more):
            return False
        self._used = used
        self._load[sorts] += fills
        self._whole[sorts] += more
        self.chosen[problem.query[row]] = row
        return True


def best_of_each_set(query: Integers, station: Integers, worth: Floats) -> Integers:
    """Return the rows of the plans of largest worth among those of a query that use the same.

    Args:
        query: query of each plan, shape (M,).
        station: what its operators use, shape (M, N).
        worth: what it is worth, shape (M,).

    Returns:
        Row numbers, shape (at most M,).
    """
    _, same = np.unique(np.column_stack([query, station]), axis=0, return_inverse=True)
    order = np.lexsort((-worth, same.reshape(-1)))
    first = np.flatnonzero(np.diff(same.reshape(-1)[order], prepend=-1))
    return order[first]
