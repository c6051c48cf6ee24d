"""The queueing approximation of ``sim.prediction`` for many plans at once, by the same formulas."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenarios.application import Dataset
from scenarios.cluster import DEVICE
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
    servers = view.servers[indices]
    per_request = operator_time_s * view.capacity_factors[indices]
    work = np.maximum(0.0, utilisation * servers - query.requests_per_s * per_request)
    work[view.station[indices] < 0] = 0.0
    return OtherLoads(work / per_request, work, machines.backhaul.load_without(query.id))


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
    rate = query.requests_per_s
    servers, at_once = view.servers[indices], view.at_once[indices]
    alone_s = operator_time_s * view.latency_factors[indices]
    work = loads.work + rate * operator_time_s * view.capacity_factors[indices]
    busy = work / servers
    full_s = operator_time_s * view.crowded_factors[indices]
    crowded_s = alone_s + (full_s - alone_s) * np.minimum(1.0, busy)
    service_s = np.where(at_once > 1, crowded_s, work / (loads.rate + rate))
    sent_s = view.access_s[indices]
    up_s = view.backhaul_up_s[indices]
    shared = np.where(up_s > 0, loads.backhaul.work + rate * up_s, 0.0)
    # Both links are one more queue each, of one server.
    service_s = np.column_stack((service_s, sent_s, shared / (loads.backhaul.rate + rate)))
    busy = np.column_stack((busy, rate * sent_s, shared))
    queues = np.column_stack((servers * at_once, np.ones((len(indices), 2), dtype=np.int64)))
    overloaded = (busy >= 1).any(axis=1)
    busy = np.where(busy < 1, busy, 0.0)
    spread = (1 + time_cv[:, None] ** 2) / 2
    congestion = busy ** (np.sqrt(2.0 * (queues + 1)) - 1) / (queues * (1 - busy))
    wait_s = normalised[:, 1, None] * service_s * spread * congestion
    second = np.divide(2 * wait_s**2, busy, out=np.zeros_like(wait_s), where=busy > 0)
    moving_s = normalised[:, 0] * (crowded_s.sum(axis=1) + sent_s + view.backhaul_s[indices])
    fixed_s = view.fixed_s[indices] * normalised[:, 1]
    mean_s = wait_s.sum(axis=1) + moving_s
    variance = (second - wait_s**2).sum(axis=1) + (time_cv * moving_s) ** 2
    log_variance = np.log1p(variance / mean_s**2)
    quantile = NORMAL.inv_cdf(query.slo.latency_quantile)
    tail_s = mean_s * np.exp(quantile * np.sqrt(log_variance) - log_variance / 2)
    return (
        np.where(overloaded, np.inf, fixed_s + mean_s),
        np.where(overloaded, np.inf, fixed_s + tail_s),
    )
