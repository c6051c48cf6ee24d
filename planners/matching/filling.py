"""Opening stations and serving queries, in compiled loops, for `planners.matching.stations`."""

from typing import NamedTuple

import numpy as np

from planners.common.arrays import Booleans, Floats, Integers
from scenarios.compiled import compiled

SLACK = 1e-9
"""Tolerance for rounding errors."""

LEAST_SHARE = 1e-3
"""Least share of the pools that a set counts with, to avoid division by 0."""


class Stock(NamedTuple):
    """Choices and capacity: Q queries, M plans in B sets, N operators, S sorts of station, R pools.

    Plans are ordered by set, and in each set by what they fill. There are cards of C nodes, each
    with K instance profiles and at most L ways to add one.

    The fields that are not listed are those of `planners.matching.stations.WholeStations`, with the
    plans in this order.

    Args:
        begin: first plan of each set, and the number of plans, shape (B + 1,).
        member: set of each plan, shape (M,).
        sets: sorts of station of each set, -1 for none, shape (B, N).
        moves: sets of instances that a card holds before and after one is added, by node and
            profile, the best way first, -1 behind the last, shape (C, K, L, 2).
    """

    begin: Integers
    member: Integers
    query: Integers
    worth: Floats
    filled: Floats
    sent: Floats
    sets: Integers
    pool: Integers
    units: Floats
    instances: Integers
    profile: Integers
    capacity: Floats
    moves: Integers


class State(NamedTuple):
    """Open stations and served queries: the arrays that change.

    Args:
        load: load of stations of each sort, in stations, shape (S,).
        whole: stations of each sort, shape (S,).
        used: what is taken of the pools, shape (R,).
        holding: cards of each node by the set of instances they hold, shape (C, sets).
        in_vain: sets of stations that can serve nobody any more, shape (B,).
        chosen: row of the plan of each query, -1 for none, shape (Q,).
    """

    load: Floats
    whole: Floats
    used: Floats
    holding: Integers
    in_vain: Booleans
    chosen: Integers


def initial_state(stock: Stock, queries: int, load: Floats, holding: Integers) -> State:
    """Return the state in which nobody is served; ``load`` and ``holding`` as in `State`."""
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
    """Return an equal state that changes on its own."""
    return State._make(array.copy() for array in state)


def total(stock: Stock, state: State) -> float:
    """Return the worth of what is served."""
    return float(stock.worth[state.chosen[state.chosen >= 0]].sum())


@compiled
def keep(stock: Stock, state: State, rows: Integers) -> None:
    """Serve queries by given plans as far as there is room, -1 for none, shape (Q,)."""
    for row in rows:
        if row >= 0:
            _serve(stock, state, row, True)


@compiled
def fill(stock: Stock, state: State) -> None:
    """Open sets of stations until none that there is room for serves anybody more."""
    while True:
        gains, shares = weigh(stock, state)
        opened = False
        while not opened:  # A set that cannot be opened leaves all as it is, and as it was weighed.
            best, most = -1, 0.0
            for number in range(len(gains)):
                score = gains[number] / max(shares[number], LEAST_SHARE)
                if score > most and not state.in_vain[number]:
                    best, most = number, score
            if best < 0:
                return
            opened = open_set(stock, state, best)
            state.in_vain[best] = not opened


@compiled
def weigh(stock: Stock, state: State) -> tuple[Floats, Floats]:
    """Return worth and share of the pools of opening each set's stations, (B,) each.

    The worth is 0 without room.
    """
    gains, shares = np.empty(len(stock.sets)), np.empty(len(stock.sets))
    operators = stock.sets.shape[1]
    least, room, fills = np.empty(operators), np.empty(operators), np.empty(operators)
    takes = np.zeros(len(state.used))
    for number in range(len(stock.sets)):
        sorts = stock.sets[number]
        plans = range(stock.begin[number], stock.begin[number + 1])
        least[:] = np.inf
        for row in plans:
            if state.chosen[stock.query[row]] < 0:
                for operator in range(operators):
                    least[operator] = min(least[operator], stock.filled[row, operator])
        takes[:] = 0.0
        for operator in range(operators):
            sort = sorts[operator]
            room[operator], fills[operator] = np.inf, 0.0
            if sort < 0:
                continue
            smallest = least[operator] if least[operator] < np.inf else 0.0
            load, whole = state.load[sort], state.whole[sort]
            opened = 1.0 if load + smallest > whole + SLACK else 0.0
            takes[stock.pool[sort]] += opened * stock.units[sort]
            room[operator] = whole + opened - load + SLACK
        possible, share = True, 0.0
        for pool in range(len(takes)):
            if state.used[pool] + takes[pool] > stock.capacity[pool] + SLACK:
                possible = False
            share = max(share, takes[pool] / max(stock.capacity[pool], SLACK))
        gain = 0.0
        for row in plans:
            if possible and state.chosen[stock.query[row]] < 0:
                fits = True
                for operator in range(operators):
                    fills[operator] += stock.filled[row, operator]
                    fits = fits and fills[operator] <= room[operator]
                if fits:
                    gain += stock.worth[row]
        gains[number], shares[number] = gain, share
    return gains, shares


@compiled
def open_set(stock: Stock, state: State, number: int) -> bool:
    """Serve as many queries as possible by one set; return whether any was served."""
    some = False
    for row in range(stock.begin[number], stock.begin[number + 1]):
        if state.chosen[stock.query[row]] < 0 and _serve(stock, state, row, not some):
            some = True
    return some


@compiled
def _serve(stock: Stock, state: State, row: int, grow: bool) -> bool:
    """Serve a query by a plan if there is room; ``grow`` allows opening stations for it."""
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
def _take(stock: Stock, holding: Integers, sort: int, many: int) -> bool:
    """Take the instances of some stations of a sort; return whether there was room for all."""
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
