"""The queueing approximation of ``sim.prediction`` for many plans at once, by the same formulas."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenarios.application import Dataset
from scenarios.cluster import DEVICE
from scenarios.compiled import compiled
from scenarios.queries import Query
from sim.machines import Demand, Machines
from sim.plan_view import PlanView
from sim.prediction import NORMAL, StationLoad

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class OtherLoads:
    """What others already ask of the stations that plans would use; K plans, N operators.

    Args:
        rate: requests per second, shape (K, N).
        work: load in servers, shape (K, N).
        backhaul: what others ask of the backhaul to the cloud.
    """

    rate: Floats
    work: Floats
    backhaul: StationLoad


def present_loads(
    machines: Machines,
    dataset: Dataset,
    query: Query,
    view: PlanView,
    indices: Integers,
) -> OtherLoads:
    """Return what others ask now of the stations that a query would join or share."""
    space = view.space
    rates = [np.zeros(table.latency.shape) for table in space.tables]
    works = [np.zeros(table.latency.shape) for table in space.tables]
    for key in machines.stations:
        operator, knobs, place, allocation = key
        option = space.option_number[operator].get((place, allocation))
        if place == DEVICE or option is None:
            continue
        table, at = space.tables[operator], (option, space.keys.number[operator][knobs])
        example = space.keys.examples[operator][at[1]]
        mean_s = float(dataset.service_time_s[example.index, operator])
        demand = Demand(
            key,
            query.requests_per_s,
            query.requests_per_s * mean_s * float(table.capacity[at]),
            int(table.at_once[at]),
        )
        load = machines.load_for(demand, query.id)
        rates[operator][at], works[operator][at] = load.rate, load.work
    options = space.layout_option[view.layout[indices]].T
    columns = space.keys.column[view.configuration[indices]].T
    return OtherLoads(
        _gathered(rates, options, columns),
        _gathered(works, options, columns),
        machines.backhaul.load_without(query.id),
    )


def _gathered(tables: list[Floats], options: Integers, columns: Integers) -> Floats:
    return np.column_stack(
        [table[row, column] for table, row, column in zip(tables, options, columns, strict=True)]
    )


def design_loads(
    machines: Machines,
    query: Query,
    view: PlanView,
    indices: Integers,
    operator_time_s: Floats,
    utilisation: float,
) -> OtherLoads:
    """Return loads by others such that stations off the device are as busy as given, or busier.

    Others are taken to ask for the same service as the query does. The backhaul is as it is now.
    """
    rate, work = _designed(
        indices,
        query.requests_per_s,
        operator_time_s,
        utilisation,
        view.servers,
        view.capacity_factors,
        view.station,
    )
    return OtherLoads(rate, work, machines.backhaul.load_without(query.id))


@compiled
def _designed(
    indices: Integers,
    rate: float,
    operator_time_s: Floats,
    utilisation: float,
    servers: Integers,
    capacity: Floats,
    station: Integers,
) -> tuple[Floats, Floats]:
    """Return rates and loads by others, each of shape (K, N); see `design_loads`."""
    rates, works = np.empty(operator_time_s.shape), np.zeros(operator_time_s.shape)
    for row in range(len(indices)):
        plan = indices[row]
        for at in range(operator_time_s.shape[1]):
            per_request = operator_time_s[row, at] * capacity[plan, at]
            if station[plan, at] >= 0:
                works[row, at] = max(0.0, utilisation * servers[plan, at] - rate * per_request)
            rates[row, at] = works[row, at] / per_request
    return rates, works


def sojourns(
    query: Query,
    view: PlanView,
    indices: Integers,
    operator_time_s: Floats,
    time_cv: Floats,
    loads: OtherLoads,
    normalised: Floats,
) -> tuple[Floats, Floats]:
    """Predict the sojourn of a query's requests under K plans; see ``sim.prediction.sojourn``.

    Args:
        query: the query.
        view: where the plans are from.
        indices: their numbers in the view, shape (K,).
        operator_time_s: mean time of each operator on profiling hardware, shape (K, N).
        time_cv: coefficient of variation of request sizes, shape (K,).
        loads: what others ask of the stations.
        normalised: what dividing by allowances does to the mean of moving, and of all else, shape
            (K, 2).

    Returns:
        Mean and quantile of the sojourn in seconds, each of shape (K,); infinite where a station
        or a link would be overloaded.
    """
    queues = _queues(
        indices,
        query.requests_per_s,
        operator_time_s,
        loads.rate,
        loads.work,
        (loads.backhaul.rate, loads.backhaul.work),
        view.servers,
        view.at_once,
        view.latency_factors,
        view.capacity_factors,
        view.crowded_factors,
        view.access_s,
        view.backhaul_up_s,
    )
    quantile = NORMAL.inv_cdf(query.slo.latency_quantile)
    slowest_s, latest_s = np.zeros(len(indices)), np.zeros(len(indices))
    for way in view.ways:
        _follow(
            indices,
            queues,
            np.array(way.operators),
            (way.access_s, way.backhaul_s, way.backhaul_up_s, way.fixed_s),
            time_cv,
            normalised,
            quantile,
            slowest_s,
            latest_s,
        )
    return slowest_s, latest_s


@compiled
def _congestion(busy: float, servers: int) -> float:
    """Return what waits in a queue are in proportion to; 0 where it is idle, or overloaded."""
    if not 0 < busy < 1:
        return 0.0
    if servers == 1:
        return busy / (1 - busy)
    return float(busy ** (np.sqrt(2.0 * (servers + 1)) - 1) / (servers * (1 - busy)))


@compiled
def _queues(
    indices: Integers,
    rate: float,
    operator_time_s: Floats,
    others_rate: Floats,
    others_work: Floats,
    backhaul: tuple[float, float],
    servers: Integers,
    at_once: Integers,
    latency: Floats,
    capacity: Floats,
    crowded: Floats,
    access_s: Floats,
    backhaul_up_s: Floats,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the queues that requests of K plans pass: N stations, the access uplink, the backhaul.

    Returns:
        Mean service time in seconds, utilisation and congestion of each queue, each of shape (K, N
        + 2); and the mean time in seconds that each operator serves a request, shape (K, N). The
        congestion is what a wait is in proportion to; 0 where a queue is overloaded.
    """
    count, operators = operator_time_s.shape
    service_s = np.empty((count, operators + 2))
    busy = np.empty((count, operators + 2))
    congestion = np.zeros((count, operators + 2))
    served_s = np.empty((count, operators))
    for row in range(count):
        plan = indices[row]
        for at in range(operators):
            time_s = operator_time_s[row, at]
            work = others_work[row, at] + rate * time_s * capacity[plan, at]
            busy[row, at] = work / servers[plan, at]
            alone_s, full_s = time_s * latency[plan, at], time_s * crowded[plan, at]
            crowded_s = alone_s + (full_s - alone_s) * min(1.0, busy[row, at])
            served_s[row, at] = crowded_s
            congestion[row, at] = _congestion(busy[row, at], servers[plan, at] * at_once[plan, at])
            service_s[row, at] = (
                crowded_s if at_once[plan, at] > 1 else work / (others_rate[row, at] + rate)
            )
        # Both links are one more queue each, of one server.
        service_s[row, operators] = access_s[plan]
        busy[row, operators] = rate * access_s[plan]
        congestion[row, operators] = _congestion(busy[row, operators], 1)
        up_s = backhaul_up_s[plan]
        shared = backhaul[1] + rate * up_s if up_s > 0 else 0.0
        service_s[row, operators + 1] = shared / (backhaul[0] + rate)
        busy[row, operators + 1] = shared
        congestion[row, operators + 1] = _congestion(shared, 1)
    return service_s, busy, congestion, served_s


@compiled
def _follow(
    indices: Integers,
    queues: tuple[Floats, Floats, Floats, Floats],
    operators: Integers,
    links: tuple[Floats, Floats, Floats, Floats],
    time_cv: Floats,
    normalised: Floats,
    quantile: float,
    slowest_s: Floats,
    latest_s: Floats,
) -> None:
    """Raise mean and quantile of the sojourn, each of shape (K,), to those of one way.

    A request waits in the queues on its way only.

    Args:
        indices: numbers of the plans in their view, shape (K,).
        queues: see `_queues`.
        operators: the operators on the way.
        links: ``access_s``, ``backhaul_s``, ``backhaul_up_s`` and ``fixed_s`` of the `WayView`.
        time_cv: see `sojourns`.
        normalised: see there.
        quantile: the quantile of the standard normal distribution.
        slowest_s: the means, infinite where a queue of the plan is overloaded.
        latest_s: the quantiles, likewise.
    """
    service_s, busy, congestion, served_s = queues
    access_s, backhaul_s, backhaul_up_s, fixed_s = links
    stations = served_s.shape[1]
    for row in range(len(indices)):
        plan = indices[row]
        overloaded = False
        for at in range(stations + 2):
            if not busy[row, at] < 1:
                overloaded = True
        if overloaded:
            slowest_s[row] = latest_s[row] = np.inf
            continue
        cv, moving, still = time_cv[row], normalised[row, 0], normalised[row, 1]
        scale_s = still * (1 + cv * cv) / 2
        moving_s = access_s[plan] + backhaul_s[plan]
        waits_s, waits_variance = 0.0, 0.0
        for number in range(len(operators) + 2):
            if number < len(operators):
                at = operators[number]
                moving_s += served_s[row, at]
            elif number == len(operators):
                at = stations
                if not access_s[plan] > 0:
                    continue
            else:
                at = stations + 1
                if not backhaul_up_s[plan] > 0:
                    continue
            wait_s, used = scale_s * service_s[row, at] * congestion[row, at], busy[row, at]
            waits_s += wait_s
            if used > 0:
                waits_variance += (2 / used - 1) * (wait_s * wait_s)
        moving_s *= moving
        mean_s = waits_s + moving_s
        variance = waits_variance + (cv * moving_s) * (cv * moving_s)
        log_variance = np.log1p(variance / (mean_s * mean_s))
        tail_s = mean_s * np.exp(quantile * np.sqrt(log_variance) - log_variance / 2)
        later_s = still * fixed_s[plan]
        slowest_s[row] = max(slowest_s[row], later_s + mean_s)
        latest_s[row] = max(latest_s[row], later_s + tail_s)
