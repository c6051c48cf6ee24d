"""Stations while they are opened one after the other, and queries while they are served by them.

`planners.matching.stations` goes on from hundreds of beginnings for one matching, and opens dozens
of stations from each, so what is done at every step is compiled.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planners.matching.problem import Floats, Integers
from scenarios.compiled import compiled

Booleans = NDArray[np.bool_]

SLACK = 1e-9
"""Room that rounding may take."""

LEAST_SHARE = 1e-3
"""Share of the pools that a set counts with at least, for there is no dividing by nothing."""


class Stock(NamedTuple):
    """What may be chosen, and what there is: Q queries, M plans in B sets, N operators.

    Plans are in the order of their sets, and in each set those come first that fill least. There
    are S sorts of station, R pools, and cards of C nodes, each with K profiles of instances and at
    most L ways to add one.

    Args:
        begin: first plan of each set, and the number of plans, shape (B + 1,).
        member: set of each plan, shape (M,).
        query: query of each plan, shape (M,).
        worth: what serving it so is worth, shape (M,).
        filled: share of each station that it fills, shape (M, N).
        sent: what it takes of the pools beside stations, shape (M, R).
        sets: sorts of station of each set, -1 for none, shape (B, N).
        pool: pool that a sort draws on, shape (S,).
        units: how much of it one station takes, shape (S,).
        instances: GPU instances that one station takes of the cards, shape (S,).
        profile: node and profile of these, shape (S, 2).
        capacity: what there is of the pools, shape (R,).
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


class _State(NamedTuple):
    """What stands: arrays that change.

    Args:
        load: what fills stations of each sort, in stations, shape (S,).
        whole: stations of each sort, shape (S,).
        used: what is taken of the pools, shape (R,).
        holding: cards of each node that hold each set of instances, shape (C, sets of instances).
        in_vain: sets of stations that nobody could be served by any more, shape (B,).
        chosen: row of the plan of each query, -1 for none, shape (Q,).
    """

    load: Floats
    whole: Floats
    used: Floats
    holding: Integers
    in_vain: Booleans
    chosen: Integers


class Filling:
    """Stations while they are opened, and queries while they are served.

    Args:
        stock: what may be chosen.
        queries: how many there are; nobody is served yet.
        load: what fills stations of each sort whatever is chosen, shape (S,).
        holding: cards of each node by the set of instances that they hold, see `_State`.
    """

    def __init__(self, stock: Stock, queries: int, load: Floats, holding: Integers) -> None:
        whole = np.ceil(load - SLACK)
        used = np.zeros(len(stock.capacity))
        np.add.at(used, stock.pool, whole * stock.units)
        in_vain = np.zeros(len(stock.sets), dtype=np.bool_)
        chosen = np.full(queries, -1, dtype=np.int64)
        self._stock = stock
        self._state = _State(load.copy(), whole, used, holding.copy(), in_vain, chosen)
        for sort, many in enumerate(whole.tolist()):
            _take(stock, self._state.holding, sort, round(many))

    def copy(self) -> "Filling":
        """Return the same, to go on from."""
        made = object.__new__(Filling)
        made._stock = self._stock
        made._state = _State._make(array.copy() for array in self._state)
        return made

    @property
    def chosen(self) -> Integers:
        """Row of the plan of each query, -1 for none, shape (Q,)."""
        return self._state.chosen

    @property
    def total(self) -> float:
        """Worth of what is served."""
        return float(self._stock.worth[self.chosen[self.chosen >= 0]].sum())

    def keep(self, rows: Integers) -> None:
        """Serve queries by given plans as far as there is room, -1 for none, shape (Q,)."""
        _keep(self._stock, self._state, rows)

    def fill(self) -> None:
        """Open sets of stations until none that there is room for serves anybody more."""
        _fill(self._stock, self._state)

    def open(self, number: int) -> bool:
        """Serve by one set as many as its stations hold, opened where full; tell if any."""
        return bool(_open(self._stock, self._state, number))

    def gains(self) -> tuple[Floats, Floats]:
        """Return what each set would serve if one more of its stations were open, as needed.

        Returns:
            The worth, 0 where there is no room, and the share of the pools taken, (B,) each.
        """
        gains, shares = np.empty(len(self._stock.sets)), np.empty(len(self._stock.sets))
        _weigh(self._stock, self._state, gains, shares)
        return gains, shares


@compiled
def _keep(stock: Stock, state: _State, rows: Integers) -> None:
    """Do what `Filling.keep` says."""
    for row in rows:
        if row >= 0:
            _serve(stock, state, row, True)


@compiled
def _fill(stock: Stock, state: _State) -> None:
    """Do what `Filling.fill` says."""
    gains, shares = np.empty(len(stock.sets)), np.empty(len(stock.sets))
    while True:
        _weigh(stock, state, gains, shares)
        opened = False
        while not opened:  # A set that cannot be opened leaves all as it is, and as it was weighed.
            best, most = -1, 0.0
            for number in range(len(gains)):
                score = gains[number] / max(shares[number], LEAST_SHARE)
                if score > most and not state.in_vain[number]:
                    best, most = number, score
            if best < 0:
                return
            opened = _open(stock, state, best)
            state.in_vain[best] = not opened


@compiled
def _weigh(stock: Stock, state: _State, gains: Floats, shares: Floats) -> None:
    """Work out what `Filling.gains` returns, in place."""
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


@compiled
def _open(stock: Stock, state: _State, number: int) -> bool:
    """Do what `Filling.open` says."""
    some = False
    for row in range(stock.begin[number], stock.begin[number + 1]):
        if state.chosen[stock.query[row]] < 0 and _serve(stock, state, row, not some):
            some = True
    return some


@compiled
def _serve(stock: Stock, state: _State, row: int, grow: bool) -> bool:
    """Serve a query by a plan if there is room; tell if so.

    Args:
        stock: what may be chosen.
        state: what stands.
        row: the plan.
        grow: whether stations may be opened for it.
    """
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
    """Take the instances of some stations of a sort; tell if there was room for all."""
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
