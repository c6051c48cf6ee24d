"""The plans of a view as one query would find them: what they take, cost, and how slow they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from planners.compass.cmbo import EVERY
from planners.compass.known import Shown, Slowness
from planners.compass.pools import Market, takes_of
from planners.kept import KEPT
from scenarios.compiled import compiled
from scenarios.queries import Query
from sim import Desk, PlanView

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def loaded_factors(view: PlanView, plans: Integers, load: float) -> Floats:
    """Return time at each operator over that on profiling hardware, waits included, shape (k, N).

    Waits are those of ``sim.prediction`` for deterministic services.

    Args:
        view: the view of the plans.
        plans: their numbers in it, shape (k,).
        load: utilisation of all stations off the device.
    """
    alone, servers = view.latency_factors[plans], view.servers[plans] * view.at_once[plans]
    crowded = alone + load * (view.crowded_factors[plans] - alone)
    waits = 1 + 0.5 * load ** (np.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load))
    return np.where(view.station[plans] < 0, alone, crowded * waits)


@dataclass(frozen=True)
class PayablePlans:
    """Plans that can be paid for, k of them.

    Args:
        number: their numbers in the view, ascending, shape (k,).
        latency_s: believed quantile of latency, shape (k,).
        demand: what they are held to take of the pools, shape (k, R).
        filled: share of each station that the query would fill, shape (k, N).
        in_time: probability that they keep the latency bound, shape (k,).
    """

    number: Integers
    latency_s: Floats
    demand: Floats
    filled: Floats
    in_time: Floats

    def rows(self, rows: slice) -> "PayablePlans":
        """Return some of them."""
        return PayablePlans(
            self.number[rows],
            self.latency_s[rows],
            self.demand[rows],
            self.filled[rows],
            self.in_time[rows],
        )


@dataclass(frozen=True)
class Sizes:
    """What profiling has shown of the sizes of requests, for each of k plans.

    Args:
        operator_time_s: see `Shown`, shape (k, N).
        time_cv: see `Shown`, shape (k,).
        normalised: see `Shown`, shape (k, 2).
    """

    operator_time_s: Floats
    time_cv: Floats
    normalised: Floats

    @classmethod
    def of(cls, shown: Sequence[Shown]) -> "Sizes":
        """Return what was shown of some configurations."""
        return cls(
            np.array([seen.operator_time_s for seen in shown]),
            np.array([seen.time_cv for seen in shown]),
            np.array([seen.normalised for seen in shown]),
        )

    def rows(self, rows: Integers | Booleans) -> "Sizes":
        """Return some of them."""
        return Sizes(self.operator_time_s[rows], self.time_cv[rows], self.normalised[rows])


class QueryPlans:
    """The plans of a view as a query would find them: what they cost, and how slow they are.

    Args:
        desk: the desk.
        query: the query.
        market: what plans are paid for.
        view: the view, P plans.
        waste: see `PlanningModel`.
        slowness: what telemetry has shown.
    """

    def __init__(
        self,
        desk: Desk,
        query: Query,
        market: Market,
        view: PlanView,
        waste: float,
        slowness: Slowness,
    ) -> None:
        self._desk = desk
        self._query = query
        self._market = market
        self._waste = waste
        self._slowness = slowness
        self._takes = takes_of(desk, market.pools, view)
        self.view = view
        self.operators = view.station.shape[1]
        ceiling = query.slo.cost_usd_per_hour
        self.affordable: Booleans = (
            np.ones(len(view), dtype=bool) if ceiling is None else view.cost_usd_per_hour <= ceiling
        )

    @property
    def sent_s(self) -> Floats:
        """Transmission time of a mean request's messages, shape (P,)."""
        view = self.view
        nominal = KEPT.of(view, "sent", lambda: view.access_s + view.backhaul_s)
        return nominal if self._slowness.links == 1 else self._slowness.links * nominal

    def _slow(self, plans: Integers, device: float = 1.0) -> Floats:
        on_device = self.view.station[plans] < 0
        return np.where(on_device, self._slowness.device * device, self._slowness.elsewhere)

    def factors(self, load: float) -> Floats:
        """Return `loaded_factors` of all plans, times what telemetry has shown, shape (P, N)."""
        view = self.view
        every = np.arange(len(view))
        nominal = KEPT.of(view, ("loaded", load), lambda: loaded_factors(view, every, load))
        if self._slowness.device == self._slowness.elsewhere == 1:
            return nominal
        return np.asarray(nominal * self._slow(every))

    def plans_of(self, configuration: int) -> Integers:
        """Return the numbers of the plans of a configuration that can be paid for, shape (k,)."""
        view = self.view
        plans = KEPT.of(view, "by configuration", lambda: _by_configuration(view))[configuration]
        return plans if self._query.slo.cost_usd_per_hour is None else plans[self.affordable[plans]]

    def costs(self, time_s: Floats) -> Floats:
        """Return what all plans cost, infinite where they cannot be had, shape (P,).

        Args:
            time_s: believed time of each operator on profiling hardware, shape (C, N).
        """
        view, takes, prices = self.view, self._takes, self._market.prices
        rate = self._query.requests_per_s
        taken, possible = _taken_by_all(
            view.configuration,
            view.station,
            view.operator_key,
            view.capacity_factors,
            rate * time_s,
            self._market.pools.max_utilisation * takes.servers,
            self._market.standing.left,
            self._waste,
        )
        cost = takes.priced(view, EVERY, rate, taken, prices)
        return np.where(self.affordable & possible, cost, inf)

    def filled(self, plans: Integers, operator_time_s: Floats) -> Floats:
        """Return the share of each station that the query would fill, shape (k, N)."""
        return self._takes.filled(
            self._market.pools, self.view, plans, self._query.requests_per_s, operator_time_s
        )

    def _taken(self, plans: Integers, filled: Floats) -> Floats:
        room = self._market.standing.room(self.view, plans)
        return self._takes.taken(filled, room, self._waste)

    def demand(self, plans: Integers, filled: Floats) -> Floats:
        """Return what the query would be held to take of the pools, shape (k, R)."""
        taken = self._taken(plans, filled)
        rate = self._query.requests_per_s
        return self._takes.demand(self._market.pools, self.view, plans, rate, taken)

    def latency_s(self, plans: Integers, sizes: Sizes, load: float, device: float = 1.0) -> Floats:
        """Return the quantile of latency of plans, in seconds, shape (k,).

        Args:
            plans: their numbers, shape (k,).
            sizes: what profiling has shown of their configurations.
            load: utilisation of stations off the device.
            device: how much slower the device is than believed.
        """
        _, quantile_s = self._desk.predict_many(
            self._query,
            self.view,
            plans,
            self._slow(plans, device) * sizes.operator_time_s,
            sizes.time_cv,
            load,
            sizes.normalised,
        )
        extra = self._slowness.links - 1
        return np.asarray(
            quantile_s + extra * (self.view.access_s[plans] + self.view.backhaul_s[plans])
        )


def _by_configuration(view: PlanView) -> list[Integers]:
    """Return the numbers of the plans of each configuration."""
    order = np.argsort(view.configuration, kind="stable")
    count = len(view.space.keys.column)
    ends = np.cumsum(np.bincount(view.configuration, minlength=count))
    return np.split(order, ends[:-1])


@compiled
def _taken_by_all(
    configuration: Integers,
    station: Integers,
    key: Integers,
    capacity: Floats,
    work: Floats,
    servers: Floats,
    left: Floats,
    waste: float,
) -> tuple[Floats, Booleans]:
    """Return what plans would take of their stations, and whether none is too small for them.

    `Takes.filled` and `Takes.taken` of all plans at once; P plans, C configurations, N operators.

    Args:
        configuration: configuration of each plan, shape (P,).
        station: kind of each operator's station, shape (P, N).
        key: number of each operator's knob values, shape (P, N).
        capacity: what a request takes of a server over its profiled time, shape (P, N).
        work: profiled seconds of each operator a second, shape (C, N).
        servers: usable servers of a station of each kind.
        left: see `Standing.left`.
        waste: see `Takes.taken`.
    """
    kinds, keys = left.shape
    count, operators = station.shape
    taken, possible = np.zeros((count, operators)), np.ones(count, dtype=np.bool_)
    for plan in range(count):
        for operator in range(operators):
            kind = station[plan, operator]
            if kind < 0:
                continue
            load = work[configuration[plan], operator] * capacity[plan, operator]
            filled = load / servers[kind]
            if not filled <= 1:
                possible[plan] = False
            known = kind < kinds and key[plan, operator] < keys
            room = left[kind, key[plan, operator]] if known else 0.0
            if filled > room + 1e-12 and filled > 0:
                taken[plan, operator] = filled + waste * max(0.0, np.ceil(filled) - filled)
            else:
                taken[plan, operator] = filled
    return taken, possible
