"""The plans of a view for one query: demand, cost and latency."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from planners.common.weak_cache import KEPT
from planners.compass.state.pools import Market, Uses, opens, room_in, share_taken, takes_of
from planners.compass.state.records import ProfiledConfig, Slowness
from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints
from scenarios.queries import Query
from sim import PlanningContext, PlanView
from sim.api.plan_view import ALL, BACKHAUL_UP_S, CAPACITY, KEY, STATION


def loaded_factors(view: PlanView, plans: Ints, load: float, time_cv: float = 0.0) -> Floats:
    """Return time at each operator over that on profiling hardware, waits included, shape (k, N).

    Waits are those of ``sim.planning.queueing`` at utilisation ``load`` off the device; ``time_cv``
    is the coefficient of variation of service times.
    """
    alone, servers = view.latency_factors[plans], view.servers[plans] * view.at_once[plans]
    crowded = alone + load * (view.crowded_factors[plans] - alone)
    congestion = load ** (np.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load))
    waits = 1 + (1 + time_cv**2) / 2 * congestion
    return np.where(view.station[plans] < 0, alone, crowded * waits)


class PayablePlans(NamedTuple):
    """Affordable plans, k of them; see `Offer`."""

    number: Ints  # in the view, (k,)
    configuration: Ints  # (k,)
    demand: Floats  # (k, R)
    price: Floats  # of that demand, (k,)
    filled: Floats  # share of each station, (k, N)
    latency_s: Floats  # quantile, (k,)
    in_time: Floats  # probability of keeping the latency bound, (k,)

    def rows(self, rows: Ints | Bools) -> "PayablePlans":
        """Return some of them."""
        return PayablePlans._make(each[rows] for each in self)

    def and_also(self, others: "PayablePlans") -> "PayablePlans":
        """Return these and others, which are of other configurations."""
        return PayablePlans._make(map(np.concatenate, zip(self, others, strict=True)))


class Held(NamedTuple):
    """Possible plans of m configurations, k of them; see `PayablePlans`."""

    number: Ints
    of: Ints  # which of the m configurations, (k,)
    filled: Floats
    demand: Floats
    price: Floats


class ProfiledSizes(NamedTuple):
    """Request sizes as profiled for m configurations; see `ProfiledConfig`."""

    operator_time_s: Floats  # (m, N)
    time_cv: Floats  # (m,)
    normalised: Floats  # (m, 2)

    @classmethod
    def of(cls, shown: Sequence[ProfiledConfig], operators: int) -> "ProfiledSizes":
        """Return the sizes of some configurations of so many operators."""
        return cls(
            np.array([seen.operator_time_s for seen in shown]).reshape(-1, operators),
            np.array([seen.time_cv for seen in shown], dtype=np.float64),
            np.array([seen.normalised for seen in shown], dtype=np.float64).reshape(-1, 2),
        )


@dataclass(eq=False)
class QueryPlans:
    """The plans of a view for one query: demand, cost and latency."""

    context: PlanningContext
    query: Query
    market: Market  # pools and prices
    view: PlanView  # P plans
    waste: float  # see `PlanningModel`
    slowness: Slowness  # corrections from telemetry

    def __post_init__(self) -> None:
        self._takes = takes_of(self.context, self.market.pools, self.view)
        self._servers = self.market.pools.max_utilisation * self._takes.servers
        self.operators = self.view.station.shape[1]
        ceiling = self.query.slo.cost_usd_per_hour
        self._affordable: Bools = (
            np.ones(len(self.view), dtype=bool)
            if ceiling is None
            else self.view.cost_usd_per_hour <= ceiling
        )

    @property
    def sent_s(self) -> Floats:
        """Transmission time of a mean request's messages, shape (P,)."""
        view = self.view
        nominal = KEPT.of(view, "sent", lambda: view.access_s + view.backhaul_s)
        return nominal if self.slowness.links == 1 else self.slowness.links * nominal

    @property
    def fixed_s(self) -> Floats:
        """Propagation delays and longest batching waits, shape (P,).

        Telemetry shows transmission and propagation together, so both get the same correction.
        """
        nominal = self.view.fixed_s
        return nominal if self.slowness.links == 1 else self.slowness.links * nominal

    @property
    def on_device(self) -> Bools:
        """Operators that run on the device, shape (P, N)."""
        marked: Bools = KEPT.of(self.view, "on device", lambda: self.view.station < 0)
        return marked

    @property
    def touches_device(self) -> Bools:
        """Plans of which some operator runs on the device, shape (P,)."""
        marked: Bools = KEPT.of(self.view, "touches device", lambda: np.any(self.on_device, axis=1))
        return marked

    def factors(self, load: float) -> Floats:
        """Return `loaded_factors` of all plans, times what telemetry has shown, shape (P, N)."""
        view, slowness = self.view, self.slowness
        every = np.arange(len(view))
        nominal: Floats = KEPT.of(view, ("loaded", load), lambda: loaded_factors(view, every, load))
        if slowness.device == slowness.elsewhere == 1:
            return nominal
        return np.asarray(np.where(self.on_device, slowness.device, slowness.elsewhere) * nominal)

    def costs(self, time_s: Floats) -> tuple[Floats, Bools]:
        """Return the cost of all plans, infinite if impossible, and whether pools have room, (P,).

        ``time_s`` is the believed time of each operator on profiling hardware, (C, N).
        """
        view, takes, prices = self.view, self._takes, self.market.prices
        rate = self.query.requests_per_s
        pools, standing = self.market.pools, self.market.standing
        return _costs(
            view.configuration,
            view.station,
            view.operator_key,
            view.capacity_factors,
            rate * time_s,
            self._servers,
            standing.left,
            self.waste,
            takes.units,
            takes.pool,
            prices,
            view.backhaul_up_s,
            rate * float(prices[-1]),
            self._affordable,
            pools.capacity - standing.taken,
        )

    def held(self, configurations: Ints, operator_time_s: Floats) -> Held:
        """Return all possible plans of some configurations, and what they take.

        Times are on profiling hardware in seconds, (m, N).
        """
        records, takes, pools = self.view.records, self._takes, self.market.pools
        rate = self.query.requests_per_s
        number, of, filled, demand = _held(
            records.order,
            records.ends,
            self._affordable,
            configurations,
            rate * operator_time_s,
            records.served,
            records.met,
            rate,
            self.market.standing.left,
            self.waste,
            self._servers,
            takes.units,
            takes.pool,
            len(pools.names),
        )
        return Held(number, of, filled, demand, demand @ self.market.prices)

    def uses(self, plan: int, filled: Floats) -> Uses:
        """Return the stations that a plan would use; ``filled`` has the shape (N,)."""
        view = self.view
        backhaul = self.query.requests_per_s * float(view.backhaul_up_s[plan])
        return Uses(view.station[plan], view.operator_key[plan], filled, backhaul)

    def latency_s(
        self, plans: Ints, of: Ints, sizes: ProfiledSizes, load: float, device: float = 1.0
    ) -> Floats:
        """Return the quantile of latency of some plans, in seconds, shape (k,).

        For ``of`` see `Held`; ``load`` is the utilisation of stations off the device, and
        ``device`` how much slower the device is than believed.
        """
        slowness = self.slowness
        return self.context.bulk.predict_many(
            self.query,
            self.view,
            plans,
            sizes.operator_time_s,
            sizes.time_cv,
            load,
            sizes.normalised,
            of,
            (slowness.device * device, slowness.elsewhere),
            slowness.links,
        )[1]


@compiled
def _held(
    order: Ints,
    ends: Ints,
    affordable: Bools,
    configurations: Ints,
    work: Floats,
    served: Floats,
    met: Floats,
    rate: float,
    left: Floats,
    waste: float,
    servers: Floats,
    units: Floats,
    pool: Ints,
    pools: int,
) -> tuple[Ints, Ints, Floats, Floats]:
    """Return the first four fields of `Held`: possible plans, and what they take.

    Arrays are those of ``Records``, `Standing` and `ResourceUse`. ``work`` is profiled seconds of
    each operator a second, (m, N); ``affordable`` marks plans that the SLO allows, (P,).
    """
    most, operators = 0, served.shape[1]
    for index in configurations:
        most += ends[index + 1] - ends[index]
    number, of = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    filled, demand = np.zeros((most, operators)), np.zeros((most, pools))
    count = 0
    for at in range(len(configurations)):
        for place in range(ends[configurations[at]], ends[configurations[at] + 1]):
            plan = order[place]
            possible = affordable[plan]
            for operator in range(operators):
                kind = int(served[place, operator, STATION])
                part = 0.0
                if kind >= 0:
                    part = work[at, operator] * served[place, operator, CAPACITY] / servers[kind]
                    possible = possible and part <= 1
                filled[count, operator] = part
            if not possible:
                continue  # The next plan takes this row of the results.
            demand[count] = 0.0
            for operator in range(operators):
                kind, part = int(served[place, operator, STATION]), filled[count, operator]
                if kind < 0:
                    continue
                room = room_in(left, kind, int(served[place, operator, KEY]))
                demand[count, pool[kind]] += share_taken(part, room, waste) * units[kind]
            demand[count, -1] += rate * met[place, ALL, BACKHAUL_UP_S]
            number[count], of[count] = plan, at
            count += 1
    return number[:count], of[:count], filled[:count], demand[:count]


@compiled
def _costs(
    configuration: Ints,
    station: Ints,
    key: Ints,
    capacity: Floats,
    work: Floats,
    servers: Floats,
    left: Floats,
    waste: float,
    units: Floats,
    pool: Ints,
    prices: Floats,
    backhaul_s: Floats,
    backhaul_price: float,
    affordable: Bools,
    free: Floats,
) -> tuple[Floats, Bools]:
    """Return the costs of plans, and whether their new stations have room, each of shape (P,).

    Arrays are those of ``PlanView``, `Standing` and `ResourceUse`. ``work`` is profiled seconds of
    each operator a second, (C, N); ``capacity`` time on a server over profiled time, (P, N);
    ``free`` the free part of each pool, (R,). The backhaul never leads to a refusal.
    """
    count, operators = station.shape
    cost, room_for, needed = np.empty(count), np.ones(count, dtype=np.bool_), np.empty(len(free))
    for plan in range(count):
        needed[:] = 0.0
        cost[plan] = backhaul_price * backhaul_s[plan] if affordable[plan] else np.inf
        for operator in range(operators):
            kind = station[plan, operator]
            if kind < 0:
                continue
            filled = work[configuration[plan], operator] * capacity[plan, operator] / servers[kind]
            if not filled <= 1:
                cost[plan] = np.inf
                break
            room, its = room_in(left, kind, key[plan, operator]), pool[kind]
            cost[plan] += share_taken(filled, room, waste) * (units[kind] * prices[its])
            if opens(filled, room):
                needed[its] += units[kind]
                if needed[its] > free[its] + 1e-9:
                    room_for[plan] = False
    return cost, room_for


RISKY, RISKIEST = 0.6, 0.3
"""Probability of being in time just beyond the headroom, and just within the bound: a guess."""


@compiled
def kept_in_time(latency_s: Floats, bound_s: float, headroom: float) -> Floats:
    """Return the probability that predictions keep a bound, (k,); below 1 beyond the headroom."""
    kept = np.ones(len(latency_s))
    if bound_s == np.inf:
        return kept
    for plan in range(len(latency_s)):
        late = max(0.0, latency_s[plan] / bound_s - headroom) / max(1 - headroom, 1e-9)
        if late > 0:
            kept[plan] = RISKY - (RISKY - RISKIEST) * late if late <= 1 else 0.0
    return kept


@compiled
def undominated(demand: Floats, loss: Floats, otherwise: Floats, most: int) -> Ints:
    """Return plans by rising loss that take less of some pool than each of less loss.

    The first ``most`` of the Pareto front of loss and demands, found one by one; each rules out the
    plans that it dominates: O(most k R) for k plans, by their ``demand``, (k, R). ``loss``, (k,),
    is infinite for plans that do not count; ``otherwise``, (k,), breaks ties.
    """
    plans, pools = demand.shape
    left = loss < np.inf
    chosen = np.empty(most, dtype=np.int64)
    for count in range(most):
        best = -1
        for plan in range(plans):
            if left[plan] and (
                best < 0
                or loss[plan] < loss[best]
                or (loss[plan] == loss[best] and otherwise[plan] < otherwise[best])
            ):
                best = plan
        if best < 0:
            return chosen[:count]
        chosen[count] = best
        for plan in range(plans):
            no_less = True
            for pool in range(pools):
                no_less = no_less and demand[best, pool] <= demand[plan, pool] + 1e-12
            left[plan] = left[plan] and not no_less
    return chosen
