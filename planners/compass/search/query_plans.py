"""The demand, cost and latency that the plans of a view have for one query."""

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
    """Return operators' times with waits, relative to profiling hardware, of shape (k, N).

    Waits are as in ``sim.planning.queueing``, for stations off the device that have the utilisation
    ``load``. ``time_cv`` is the coefficient of variation of service times.
    """
    alone, servers = view.latency_factors[plans], view.servers[plans] * view.at_once[plans]
    crowded = alone + load * (view.crowded_factors[plans] - alone)
    congestion = load ** (np.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load))
    waits = 1 + (1 + time_cv**2) / 2 * congestion
    return np.where(view.station[plans] < 0, alone, crowded * waits)


class PayablePlans(NamedTuple):
    """The k plans that are within the cost ceiling and payable at current prices; see `Offer`."""

    number: Ints  # index of each plan in the view, of shape (k,)
    configuration: Ints  # of shape (k,)
    demand: Floats  # of shape (k, R)
    price: Floats  # price of that demand, of shape (k,)
    filled: Floats  # share of each station that the plan fills, of shape (k, N)
    latency_s: Floats  # quantile of latency, of shape (k,)
    in_time: Floats  # probability of keeping the latency bound, of shape (k,)

    def rows(self, rows: Ints | Bools) -> "PayablePlans":
        """Return the plans of these rows."""
        return PayablePlans._make(each[rows] for each in self)

    def and_also(self, others: "PayablePlans") -> "PayablePlans":
        """Concatenate these plans and others, which must be of different configurations."""
        return PayablePlans._make(map(np.concatenate, zip(self, others, strict=True)))


class Held(NamedTuple):
    """The k possible plans of m configurations; see `PayablePlans`."""

    number: Ints
    of: Ints  # index of each plan's configuration among the m, of shape (k,)
    filled: Floats
    demand: Floats
    price: Floats


class ProfiledSizes(NamedTuple):
    """Statistics of request sizes from the profiles of m configurations; see `ProfiledConfig`."""

    operator_time_s: Floats  # of shape (m, N)
    time_cv: Floats  # of shape (m,)
    normalised: Floats  # of shape (m, 2)

    @classmethod
    def of(cls, shown: Sequence[ProfiledConfig], operators: int) -> "ProfiledSizes":
        """Return the statistics from profiles of configurations with this number of operators."""
        return cls(
            np.array([seen.operator_time_s for seen in shown]).reshape(-1, operators),
            np.array([seen.time_cv for seen in shown], dtype=np.float64),
            np.array([seen.normalised for seen in shown], dtype=np.float64).reshape(-1, 2),
        )


@dataclass(eq=False)
class QueryPlans:
    """The demand, cost and latency that the plans of a view have for one query."""

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
        """Transmission time of an average request's messages, in seconds, of shape (P,)."""
        view = self.view
        nominal = KEPT.of(view, "sent", lambda: view.access_s + view.backhaul_s)
        return nominal if self.slowness.links == 1 else self.slowness.links * nominal

    @property
    def fixed_s(self) -> Floats:
        """Propagation delays plus longest waits for batches to fill, in seconds, of shape (P,).

        Telemetry shows only the sum of transmission and propagation, so both get one correction.
        """
        nominal = self.view.fixed_s
        return nominal if self.slowness.links == 1 else self.slowness.links * nominal

    @property
    def on_device(self) -> Bools:
        """Whether each operator runs on the device, of shape (P, N)."""
        marked: Bools = KEPT.of(self.view, "on device", lambda: self.view.station < 0)
        return marked

    @property
    def touches_device(self) -> Bools:
        """Whether each plan runs some operator on the device, of shape (P,)."""
        marked: Bools = KEPT.of(self.view, "touches device", lambda: np.any(self.on_device, axis=1))
        return marked

    def factors(self, load: float) -> Floats:
        """Return the (P, N) `loaded_factors` of all plans, times the corrections from telemetry."""
        view, slowness = self.view, self.slowness
        every = np.arange(len(view))
        nominal: Floats = KEPT.of(view, ("loaded", load), lambda: loaded_factors(view, every, load))
        if slowness.device == slowness.elsewhere == 1:
            return nominal
        return np.asarray(np.where(self.on_device, slowness.device, slowness.elsewhere) * nominal)

    def costs(self, time_s: Floats) -> tuple[Floats, Bools]:
        """Return each plan's cost, infinite if impossible, and whether pools have room for it.

        ``time_s`` is the estimated time of each operator on profiling hardware, of shape (C, N).
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
        """Return all possible plans of m configurations, and the resources that the plans take.

        ``operator_time_s`` is measured on profiling hardware, of shape (m, N).
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
        """Return the stations that a plan would use; ``filled``, of shape (N,), has the shares."""
        view = self.view
        backhaul = self.query.requests_per_s * float(view.backhaul_up_s[plan])
        return Uses(view.station[plan], view.operator_key[plan], filled, backhaul)

    def latency_s(
        self, plans: Ints, of: Ints, sizes: ProfiledSizes, load: float, device: float = 1.0
    ) -> Floats:
        """Return the latency of plans at the SLO's quantile, in seconds, of shape (k,).

        `Held` describes ``of``. ``load`` is the utilisation of stations off the device, and
        ``device`` is the factor by which the device is slower than estimated.
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
    """Return the first four fields of `Held`: possible plans and their use of resources.

    Arrays are fields of ``Records``, `Standing` and `ResourceUse`. ``work`` is the load of each
    operator in profiled seconds per second, of shape (m, N); ``affordable`` marks the plans within
    the SLO's cost ceiling, of shape (P,).
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
    """Return each plan's cost, and whether the pools have room for its new stations, of shape (P,).

    Arrays are fields of ``PlanView``, `Standing` and `ResourceUse`. ``work`` is the load of each
    operator in profiled seconds per second, of shape (C, N). ``capacity`` is the ratio of time on a
    server to profiled time, of shape (P, N). ``free`` is each pool's free part, of shape (R,). The
    backhaul is not checked.
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


@compiled
def losses(
    its: PayablePlans, accurate: Bools, sure: Floats, planned_s: float, value: float
) -> Floats:
    """Return the loss of each plan, or infinity if it is infeasible, of shape (k,).

    `Believed` describes ``accurate`` and ``sure``. The latency of feasible plans is at most
    ``planned_s``. ``value`` is the worth of service; see `Market.loss`.
    """
    lost = np.full(len(its.price), np.inf)
    for plan, configuration in enumerate(its.configuration):
        if accurate[configuration] and its.latency_s[plan] <= planned_s:
            risk = 1 - sure[configuration] * its.in_time[plan]
            lost[plan] = its.price[plan] + risk * value
    return lost


@compiled
def undominated(demand: Floats, loss: Floats, otherwise: Floats, most: int) -> Ints:
    """Return, by rising loss, the plans that no other plan dominates in loss and demand.

    These are the first ``most`` plans of the Pareto front. Each plan found rules out those that it
    dominates, which takes O(most k R) for k plans. ``demand`` has shape (k, R). ``loss``, of shape
    (k,), is infinite for excluded plans. At equal loss, the plan with the lower ``otherwise``, of
    shape (k,), comes first.
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
