"""Matching queries and plans on whole stations, which several queries can share.

`planners.matching.match` assumes that demands add up. The demands for stations do not: the first
query takes all resources of a station, and others join without taking more. So the algorithm
decides which stations to open. The stations of each plan form a set. The algorithm opens one set
after the other and always chooses the set that serves the most worth per share of the pools, like
the greedy algorithm of Khuller, Moss and Naor ("The budgeted maximum coverage problem", 1999). The
algorithm runs from several starting points, including the present stations, and the best result is
returned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from planners.matching.packing import Packing, as_arrays
from planners.matching.problem import Cards
from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints

SLACK = 1e-9
"""Tolerance for rounding errors."""

LEAST_SHARE = 1e-3
"""Shares of the pools below this count as this, to avoid division by 0."""


class Stock(NamedTuple):
    """The plans and the capacity: Q queries, M plans, N operators, S kinds of station, R pools.

    Plans with the same set of stations form one of B groups. In each group, plans that need the
    smallest share of a station come first. C nodes have GPU cards, with K instance profiles and at
    most L moves to add an instance.

    Fields without a comment have the meaning that they have in `WholeStations`, with plans in this
    order.
    """

    begin: Ints  # first plan of each set, and the number of plans, of shape (B + 1,)
    member: Ints  # set of each plan, of shape (M,)
    query: Ints
    worth: Floats
    filled: Floats
    sent: Floats
    sets: Ints  # kinds of station in each set, -1 for none, of shape (B, N)
    pool: Ints
    units: Floats
    instances: Ints
    profile: Ints
    capacity: Floats
    # Sets of instances that a card holds before and after one is added, by node and profile,
    # the best way first, -1 behind the last, of shape (C, K, L, 2).
    moves: Ints


class State(NamedTuple):
    """The arrays that change: open stations and served queries."""

    load: Floats  # load of the stations of each kind, in stations, of shape (S,)
    whole: Floats  # number of stations of each kind, of shape (S,)
    used: Floats  # units taken from each pool, of shape (R,)
    holding: Ints  # cards of each node by the set of instances they hold, of shape (C, sets)
    in_vain: Bools  # sets of stations that can serve no more queries, of shape (B,)
    chosen: Ints  # row of the plan of each query, -1 for none, of shape (Q,)


def initial_state(stock: Stock, queries: int, load: Floats, holding: Ints) -> State:
    """Return the state in which no query is served; ``load`` and ``holding`` are as in `State`."""
    whole = np.ceil(load - SLACK)
    used = np.zeros(len(stock.capacity))
    np.add.at(used, stock.pool, whole * stock.units)
    in_vain = np.zeros(len(stock.sets), dtype=np.bool_)
    chosen = np.full(queries, -1, dtype=np.int64)
    state = State(load.copy(), whole, used, holding.copy(), in_vain, chosen)
    for sort, many in enumerate(whole.tolist()):
        _take(stock, state.holding, sort, round(many))
    return state


def copied(state: State) -> State:
    """Return a copy of the state and its arrays."""
    return State._make(array.copy() for array in state)


def total(stock: Stock, state: State) -> float:
    """Return the total worth of the served queries."""
    return float(stock.worth[state.chosen[state.chosen >= 0]].sum())


@compiled
def keep(stock: Stock, state: State, rows: Ints) -> None:
    """Serve queries by given plans that have room; ``rows``, of shape (Q,), is -1 for no plan."""
    for row in rows:
        if row >= 0:
            _serve(stock, state, row, True)


@compiled
def fill(stock: Stock, state: State) -> None:
    """Open sets of stations by largest ratio of gain to share while this serves more queries."""
    sets = len(stock.sets)
    gains, shares, takes = np.empty(sets), np.empty(sets), np.empty((sets, len(state.used)))
    stale, served = np.ones(sets, dtype=np.bool_), state.chosen >= 0
    while True:
        # Values change only with the set's stations and queries, and with the room in pools.
        for number in range(sets):
            if stale[number]:
                gains[number], shares[number] = _weigh_one(stock, state, number, takes[number])
            elif gains[number] > 0 and not _may_take(stock, state, takes[number]):
                gains[number] = 0.0
        opened, best = False, -1
        while not opened:  # A set that cannot be opened changes neither the state nor the values.
            best, most = -1, 0.0
            for number in range(sets):
                score = gains[number] / max(shares[number], LEAST_SHARE)
                if score > most and not state.in_vain[number]:
                    best, most = number, score
            if best < 0:
                return
            opened = open_set(stock, state, best)
            state.in_vain[best] = not opened
        for number in range(sets):
            stale[number] = _share_some(stock.sets[number], stock.sets[best])
        for row in range(len(stock.query)):
            query = stock.query[row]
            if state.chosen[query] >= 0 and not served[query]:
                stale[stock.member[row]] = True
        served[:] = state.chosen >= 0


@compiled
def weigh(stock: Stock, state: State) -> tuple[Floats, Floats]:
    """Return what opening each set's stations would gain, and the share of the pools it takes.

    Both arrays have shape (B,), and computing them takes O(M N + B R). The gain is the worth of the
    queries that would be served, or 0 if the stations do not fit. One more station of a kind is
    opened if even the plan that needs least of this kind does not fit in the open ones. Plans that
    need the smallest share of a station are served first. The share is the largest share of any
    pool.
    """
    gains, shares = np.empty(len(stock.sets)), np.empty(len(stock.sets))
    takes = np.empty(len(state.used))
    for number in range(len(stock.sets)):
        gains[number], shares[number] = _weigh_one(stock, state, number, takes)
    return gains, shares


@compiled
def _weigh_one(stock: Stock, state: State, number: int, takes: Floats) -> tuple[float, float]:
    """Return what `weigh` does for one set; write the units that it takes to ``takes`` (R,)."""
    operators = stock.sets.shape[1]
    least, room, fills = np.full(operators, np.inf), np.empty(operators), np.zeros(operators)
    sorts = stock.sets[number]
    plans = range(stock.begin[number], stock.begin[number + 1])
    for row in plans:
        if state.chosen[stock.query[row]] < 0:
            for operator in range(operators):
                least[operator] = min(least[operator], stock.filled[row, operator])
    takes[:] = 0.0
    for operator in range(operators):
        sort = sorts[operator]
        room[operator] = np.inf
        if sort < 0:
            continue
        smallest = least[operator] if least[operator] < np.inf else 0.0
        load, whole = state.load[sort], state.whole[sort]
        opened = 1.0 if load + smallest > whole + SLACK else 0.0
        takes[stock.pool[sort]] += opened * stock.units[sort]
        room[operator] = whole + opened - load + SLACK
    # `room` is what the stations of each operator have left, `takes` the units of new ones.
    gain, share = 0.0, 0.0
    for pool in range(len(takes)):
        share = max(share, takes[pool] / max(stock.capacity[pool], SLACK))
    if not _may_take(stock, state, takes):
        return gain, share
    for row in plans:
        if state.chosen[stock.query[row]] < 0:
            fits = True
            for operator in range(operators):
                fills[operator] += stock.filled[row, operator]
                fits = fits and fills[operator] <= room[operator]
            if fits:
                gain += stock.worth[row]
    return gain, share


@compiled
def _may_take(stock: Stock, state: State, takes: Floats) -> bool:
    """Return whether pools have room for further units ``takes``, of shape (R,)."""
    for pool in range(len(takes)):
        if state.used[pool] + takes[pool] > stock.capacity[pool] + SLACK:
            return False
    return True


@compiled
def _share_some(first: Ints, second: Ints) -> bool:
    """Return whether two sets have a kind of station in common."""
    for sort in first:
        for other in second:
            if sort >= 0 and sort == other:
                return True
    return False


@compiled
def open_set(stock: Stock, state: State, number: int) -> bool:
    """Serve as many queries as possible on one set of stations; return whether any was served."""
    some = False
    for row in range(stock.begin[number], stock.begin[number + 1]):
        if state.chosen[stock.query[row]] < 0 and _serve(stock, state, row, not some):
            some = True
    return some


@compiled
def _serve(stock: Stock, state: State, row: int, grow: bool) -> bool:
    """Serve a query by a plan if there is room; ``grow`` allows opening new stations."""
    sorts = stock.sets[stock.member[row]]
    used, more = state.used + stock.sent[row], np.zeros(len(sorts))
    for operator, sort in enumerate(sorts):
        if sort >= 0:
            full = np.ceil(state.load[sort] + stock.filled[row, operator] - SLACK)
            more[operator] = max(0.0, full - state.whole[sort])
            used[stock.pool[sort]] += more[operator] * stock.units[sort]
    grows = more.any()
    if (grows and not grow) or (used > stock.capacity + SLACK).any():
        return False
    if grows:
        holding = state.holding.copy()
        for operator, sort in enumerate(sorts):
            if sort >= 0 and not _take(stock, state.holding, sort, int(more[operator])):
                state.holding[:] = holding
                return False
    state.used[:] = used
    for operator, sort in enumerate(sorts):
        if sort >= 0:
            state.load[sort] += stock.filled[row, operator]
            state.whole[sort] += more[operator]
    state.chosen[stock.query[row]] = row
    return True


@compiled
def _take(stock: Stock, holding: Ints, sort: int, many: int) -> bool:
    """Add the GPU instances of ``many`` new stations, by best fit; return whether all fit."""
    node, profile = stock.profile[sort]
    for _ in range(many * stock.instances[sort]):
        moved = False
        for before, after in stock.moves[node, profile]:
            if before < 0:
                break
            if holding[node, before] > 0:
                holding[node, before] -= 1
                holding[node, after] += 1
                moved = True
                break
        if not moved:
            return False
    return True


BEGINNINGS = 16
"""Number of promising sets of stations, each of which is one starting point."""

INSTEAD = 3
"""Number of sets from each of two rankings that are tried in place of a kind of station."""

ROUNDS = 8
"""Largest number of kinds of station that are replaced at the end, one by one."""


@dataclass(frozen=True)
class WholeStations:
    """The problem: Q queries, M plans, N operators, S kinds of station, R pools."""

    queries: int  # number of queries, Q
    query: Ints  # query of each plan, of shape (M,)
    worth: Floats  # worth of serving the query by it, above 0, of shape (M,)
    # Kind of station of each operator, -1 for none, each at most once, of shape (M, N).
    station: Ints
    filled: Floats  # share of one station that the query fills, at most 1, of shape (M, N)
    sent: Floats  # the plan's demand on the pools apart from stations, of shape (M, R)
    pool: Ints  # pool from which each kind of station takes units, of shape (S,)
    units: Floats  # units of the pool that one station takes, of shape (S,)
    instances: Ints  # number of GPU instances that one station takes, of shape (S,)
    profile: Ints  # index in `cards` and number of the profile of these instances, of shape (S, 2)
    load: Floats  # other load of the stations of each kind, in stations, of shape (S,)
    capacity: Floats  # capacity of the pools for these queries and that load, of shape (R,)
    cards: Sequence[Cards] = ()  # the GPUs of each node with GPUs

    @cached_property
    def order(self) -> Ints:
        """The rows of the M plans, sorted by set of stations, then by largest share filled."""
        return np.lexsort((-self.worth, self.filled.max(axis=1), self._sets))

    @cached_property
    def stock(self) -> Stock:
        """The plans in the order of `order`, and the capacity."""
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
        """The initial state; callers must change copies only."""
        return initial_state(self.stock, self.queries, self.load, self._cut[0])

    @cached_property
    def _cut(self) -> tuple[Ints, Ints]:
        packings = [Packing(each, np.ones(each.layouts.shape[1])) for each in self.cards]
        return as_arrays(packings)

    @cached_property
    def _sets(self) -> Ints:
        return _numbered(self.station)


def share_stations(problem: WholeStations, current: Ints) -> Ints:
    """Return the row of each query's plan in the best solution found, or -1 for no plan.

    ``current`` has the rows of the present plans, which need not fit together, or -1 for none. The
    result and ``current`` have shape (Q,).
    """
    nobody = np.full(problem.queries, -1, dtype=np.int64)
    if not len(problem.query):
        return nobody
    place = np.argsort(problem.order)
    now = np.where(current < 0, -1, place[current])
    stock, blank = problem.stock, problem.nobody_served
    firsts = _promising(*weigh(stock, blank), BEGINNINGS // 2)
    best, most = nobody, 0.0
    starts: list[tuple[Ints, int | None]] = [(now, None), (nobody, None)]
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
    """Return the ``many`` sets of most gain per share, and the ``many`` sets of most gain."""
    by_score = np.argsort(-gains / np.maximum(shares, LEAST_SHARE), kind="stable")
    by_gain = np.argsort(-gains, kind="stable")
    return list(dict.fromkeys([*by_score[:many].tolist(), *by_gain[:many].tolist()]))


def _exchanged(problem: WholeStations, chosen: Ints, most: float) -> tuple[Ints, float] | None:
    """Replace one kind of station; return a better solution and its worth, or None."""
    best, stock = None, problem.stock
    uses = np.where((chosen >= 0)[:, None], stock.sets[stock.member[np.maximum(chosen, 0)]], -1)
    for sort in np.unique(uses[uses >= 0]).tolist():
        state = copied(problem.nobody_served)
        keep(stock, state, np.where((uses == sort).any(axis=1), -1, chosen))
        rows = np.flatnonzero(state.chosen[stock.query] < 0)
        left = _some(stock, rows)
        gains, shares = weigh(left, state)
        gains = np.where((stock.sets == sort).any(axis=1), 0.0, gains)
        for first in _promising(gains, shares, INSTEAD):
            if gains[first] <= 0:
                continue
            trial = copied(state)
            trial.chosen[state.chosen >= 0] = len(rows)  # any row; these queries stay as they are
            open_set(left, trial, first)
            fill(left, trial)
            new = (state.chosen < 0) & (trial.chosen >= 0)
            after = np.where(new, np.append(rows, -1)[trial.chosen], state.chosen)
            if (worth := total(stock, trial._replace(chosen=after))) > most + SLACK:
                best, most = (after, worth), worth
    return best


def _some(stock: Stock, rows: Ints) -> Stock:
    """Return a stock with some plans only, given as ascending rows."""
    return stock._replace(
        begin=np.searchsorted(rows, stock.begin),
        member=stock.member[rows],
        query=stock.query[rows],
        worth=stock.worth[rows],
        filled=stock.filled[rows],
        sent=stock.sent[rows],
    )


def best_of_each_set(query: Ints, station: Ints, worth: Floats) -> Ints:
    """Return the row of the best plan for each pair of a query and a set of stations.

    ``query`` and ``worth`` have shape (M,), and ``station`` has shape (M, N). The result has at
    most M rows.
    """
    same = _numbered(np.column_stack([query, station]))
    order = np.lexsort((-worth, same))
    first = np.flatnonzero(np.diff(same[order], prepend=-1))
    return order[first]


def _numbered(rows: Ints) -> Ints:
    """Return the index of each row in the sorted distinct rows, of shape (M,).

    This equals the inverse indices of ``np.unique``, which is far slower on whole rows.
    """
    order = np.lexsort(rows.T[::-1])
    differs = np.zeros(len(rows), dtype=np.int64)
    differs[1:] = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    number = np.empty_like(differs)
    number[order] = np.cumsum(differs)
    return number
