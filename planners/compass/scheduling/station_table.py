"""The problem of matching queries with plans on whole stations that they could share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from planners.common.windows import share_in_time
from planners.compass.runtime.watch import serving
from planners.compass.search.search import Search
from planners.compass.state.pools import Fleet, Market
from planners.compass.state.records import Candidates, Offer, keep_search_state, search_state
from planners.matching.problem import Cards
from planners.matching.stations import WholeStations, best_of_each_set, share_stations
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim import PlanningContext
from sim.api.gpu_layouts import gpu_layouts

LEAST_ADDED = 0.1
"""A configuration is used only if it raises the expected number of served queries by this."""

MOST_KEYS = 1 << 32
"""Larger than all numbers of knob values, so that kind and number can be encoded as one integer."""


@dataclass(eq=False)
class StationTable:
    """The plans that could serve given queries on stations that these queries could share."""

    context: PlanningContext
    market: Market  # the pools, and the stations that exist
    search: Search  # judges plans
    queries: Sequence[Query]  # the queries to match; others keep their resources
    ordered: Fleet  # orders for other queries; these queries keep their resources too
    switch: Floats  # cost of moving each query, relative to the worth of serving it, of shape (Q,)

    def __post_init__(self) -> None:
        context, queries = self.context, self.queries
        self._beliefs = [
            self.search.beliefs(context, query, self.market, search_state(context, query))
            for query in queries
        ]
        self._active = [
            -1 if (known := serving(context, query)) is None else known.number for query in queries
        ]
        self._shared: Sequence[int] = ()
        self._rows: _Rows | None = None

    def look_at(self, shared: Sequence[int], least_hope: float | None) -> None:
        """Load the plans of the configurations ``shared``, as `Beliefs.candidates` returns them."""
        self._shared = shared
        self._rows = self._made(least_hope)

    def agreeable(self, many: int) -> list[int]:
        """Return at most ``many`` configurations that would together serve the most queries.

        The first configurations are chosen greedily: each adds the most queries to those before it.
        They suit the case of several stations. The others are those that alone serve the most
        queries, for the case that only one station has room.
        """
        promise = np.array([beliefs.promise() for beliefs in self._beliefs])
        served = np.zeros((len(promise), 1))
        found: dict[int, None] = {}
        while len(found) < many:
            total = np.maximum(promise, served).sum(axis=0)
            best = int(total.argmax())
            if total[best] <= served.sum() + LEAST_ADDED:
                break
            found[best] = None
            served = np.maximum(served, promise[:, best : best + 1])
        alone = promise.sum(axis=0)
        order = np.argsort(-alone, kind="stable")
        found.update(dict.fromkeys(order[alone[order] >= LEAST_ADDED].tolist()))
        return list(found)[:many]

    def matched(self) -> Ints:
        """Match queries with plans; return the row of each query's plan, or -1, of shape (Q,)."""
        return share_stations(self.rows.problem, self.current)

    @property
    def rows(self) -> "_Rows":
        """The plans that take part in the matching."""
        if self._rows is None:
            raise RuntimeError("look_at first")
        return self._rows

    @property
    def current(self) -> Ints:
        """The row of each query's active plan, or -1 for none, of shape (Q,)."""
        return self.rows.current

    def worth(self, chosen: Ints) -> float:
        """Return the worth of serving queries by the chosen rows, minus the cost of moves."""
        return float(self.rows.problem.worth[chosen[chosen >= 0]].sum())

    def profile(self, chosen: Ints) -> bool:
        """Profile the unprofiled plans that were chosen, and drop the other unprofiled plans.

        Returns whether any unprofiled plan was chosen.
        """
        tried = False
        for at, row in enumerate(chosen.tolist()):
            beliefs, query = self._beliefs[at], self.queries[at]
            index = -1 if row < 0 else int(self.rows.configuration[row])
            if index < 0 or index in beliefs.configurations.profiled:
                continue
            tried = True
            shown = self.search.look(
                self.context, query, self.context.world.pipeline.configurations[index]
            )
            if shown is not None:
                beliefs.learn(index, shown)
                known = beliefs.configurations
                found = replace(
                    search_state(self.context, query),
                    profiled=known.profiled,
                    matured=known.matured,
                    history=known.history(),
                )
                keep_search_state(self.context, query, found)
        if tried:
            self._rows = self._made(None)
        return tried

    def changes(self, chosen: Ints) -> dict[int, Offer | None]:
        """Return, by id, each query's new plan if it changes; None releases the query."""
        found: dict[int, Offer | None] = {}
        for at, (row, now) in enumerate(zip(chosen.tolist(), self.current.tolist(), strict=True)):
            query = self.queries[at].id
            if row >= 0 and row != now:
                found[query] = self._beliefs[at].judge(int(self.rows.number[row]))
            elif row < 0 and self._active[at] >= 0:
                found[query] = None
        return found

    @cached_property
    def _nodes(self) -> dict[str, int]:
        """The index of each node that has GPUs."""
        nodes = self.context.world.cluster.nodes
        return {name: at for at, name in enumerate(name for name in nodes if nodes[name].gpus)}

    @cached_property
    def _cards(self) -> list[Cards]:
        """The cards of each node that has GPUs."""
        found = []
        for name in self._nodes:
            node = self.context.world.cluster.nodes[name]
            layouts = np.array([list(each.values()) for each in gpu_layouts(node)])
            count = self.context.world.machines_up(name) * node.gpus
            found.append(Cards(count, np.arange(layouts.shape[1]), layouts))
        return found

    def _cut(self, kinds: Ints) -> tuple[Ints, Ints]:
        """Return each kind of station's number of GPU instances, and their card and profile.

        A station that takes only part of an instance is counted in the pools but not here.
        """
        stations = self.context.bulk.view(self.queries[0], self.search.model.choices).stations
        instances, profile = np.zeros(len(kinds), np.int64), np.zeros((len(kinds), 2), np.int64)
        for row, kind in enumerate(stations[each] for each in kinds.tolist()):
            names = self.context.world.cluster.nodes[kind.node].gpu_profiles
            if kind.profile in names and kind.thread_percent == 100:
                instances[row] = kind.replicas
                profile[row] = self._nodes[kind.node], names.index(kind.profile)
        return instances, profile

    def _made(self, least_hope: float | None) -> "_Rows":
        """Return the plans that take part in the matching."""
        market = self.market
        standing, many = market.standing, len(market.pools.capacity)
        parts = [
            (at, candidates)
            for at, beliefs in enumerate(self._beliefs)
            for candidates in beliefs.candidates(
                self._shared,
                least_hope,
                self._active[at],
                share_in_time(self.context, self.queries[at]),
            )
        ]
        query = np.repeat([at for at, _ in parts], [len(its.number) for _, its in parts])
        its = Candidates._make(map(np.concatenate, zip(*(part for _, part in parts), strict=True)))
        sort = _codes(its.station, its.operator_key)
        stays = its.number == np.array(self._active)[query]
        worth = its.probability * (1 + self.switch[query] * stays)
        kept = best_of_each_set(query, sort, worth + stays)
        kept = kept[worth[kept] > 0]

        others = standing.but({each.id for each in self.queries}).and_also(self.ordered)
        theirs = _codes(others.station, others.operator_key)
        names = np.unique(np.append(sort[kept].ravel(), theirs))
        names = names[names >= 0]
        load = np.zeros(len(names))
        np.add.at(load, np.searchsorted(names, theirs[theirs >= 0]), others.filled[theirs >= 0])
        kinds = names // MOST_KEYS
        sent = np.zeros((len(kept), many))
        sent[:, -1] = its.backhaul[kept]
        capacity = market.pools.capacity.copy()
        capacity[-1] = market.pools.most_backhaul - others.backhaul.sum()
        current = np.full(len(self.queries), -1, dtype=np.int64)
        active = np.flatnonzero(stays[kept])
        current[query[kept][active]] = active
        problem = WholeStations(
            len(self.queries),
            query[kept],
            worth[kept],
            np.where(sort[kept] < 0, -1, np.searchsorted(names, sort[kept])),
            its.filled[kept],
            sent,
            standing.takes.pool[kinds],
            standing.takes.units[kinds],
            *self._cut(kinds),
            load,
            capacity,
            self._cards,
        )
        return _Rows(problem, its.number[kept], its.configuration[kept], current)


@dataclass(frozen=True)
class _Rows:
    """The M plans that take part in the matching."""

    problem: WholeStations
    number: Ints  # index of each plan in its query's view, of shape (M,)
    configuration: Ints  # of shape (M,)
    current: Ints  # row of each query's active plan, or -1 for none, of shape (Q,)


def _codes(station: Ints, operator_key: Ints) -> Ints:
    """Return an integer that encodes each station's kind and knob values; -1 on the device."""
    return np.where(station < 0, -1, station * MOST_KEYS + operator_key)
