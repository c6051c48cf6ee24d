"""The queueing approximation of ``sim.planning.queueing``, for many plans at once."""

from typing import NamedTuple, cast

import numpy as np

from scenarios.applications.dataset import Dataset
from scenarios.cluster import DEVICE
from scenarios.compiled import compiled
from scenarios.queries import Query
from sim.api.estimate import Floats, Integers
from sim.api.plan_view import (
    ACCESS_S,
    ALL,
    AT_ONCE,
    BACKHAUL_S,
    BACKHAUL_UP_S,
    CAPACITY,
    CROWDED,
    FIXED_S,
    LATENCY,
    SERVERS,
    STATION,
    PlanView,
)
from sim.cluster.machines import Machines, StationDemand
from sim.cluster.members import StationLoad
from sim.planning.plan_space import PlanSpace
from sim.planning.queueing import NORMAL

NOTHING: Floats = np.zeros((0, 0))


class OtherLoads(NamedTuple):
    """What others already ask of the stations that plans would use; K plans, N operators."""

    rate: Floats  # requests per second, shape (K, N), or of no rows where others ask for nothing
    work: Floats  # load in servers, likewise
    backhaul: StationLoad  # what others ask of the backhaul to the cloud


class Sizes(NamedTuple):
    """What is believed of the sizes of requests under K plans, by m rows that they go by."""

    operator_time_s: Floats  # mean time of each operator on profiling hardware, shape (m, N)
    time_cv: Floats  # coefficient of variation of request sizes, shape (m,)
    # What dividing by allowances does to the mean of moving, and of all else, shape (m, 2).
    normalised: Floats
    row: Integers  # the row of each plan, shape (K,)
    # What times of operators on the device are multiplied by, and those of all others.
    slower: tuple[float, float] = (1.0, 1.0)
    links_slower: float = 1.0  # what times of the query's messages on links are


def present_loads(
    machines: Machines,
    dataset: Dataset,
    query: Query,
    view: PlanView,
    indices: Integers,
) -> OtherLoads:
    """Return what others ask now of the stations that a query would join or share."""
    space = cast(PlanSpace, view.space)
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
        demand = StationDemand(
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


def no_loads(machines: Machines, query: Query) -> OtherLoads:
    """Return loads of none but the backhaul, which is as it is now."""
    return OtherLoads(NOTHING, NOTHING, machines.backhaul.load_without(query.id))


def sojourns(
    query: Query,
    view: PlanView,
    indices: Integers,
    sizes: Sizes,
    loads: OtherLoads,
    utilisation: float = 0.0,
) -> tuple[Floats, Floats]:
    """Predict mean and quantile of sojourns in seconds under K plans of a view, each of shape (K,).

    ``utilisation`` is a lower bound for stations off the device: where they are less busy, more
    load of the query's own kind is assumed. Infinite where a station or a link would be overloaded.
    """
    records, backhaul = view.records, loads.backhaul
    mean_s, quantile_s = np.empty(len(indices)), np.empty(len(indices))
    _sojourns(
        indices,
        records.place,
        query.requests_per_s,
        sizes,
        loads.rate,
        loads.work,
        utilisation,
        (backhaul.rate, backhaul.work),
        records.served,
        records.met,
        tuple([way.operators for way in view.ways]),
        NORMAL.inv_cdf(query.slo.latency_quantile),
        mean_s,
        quantile_s,
    )
    return mean_s, quantile_s


@compiled
def _congestion(busy: float, servers: float) -> float:
    """Return what waits in a queue are in proportion to; 0 where it is idle, or overloaded."""
    if not 0 < busy < 1:
        return 0.0
    if servers == 1:
        return busy / (1 - busy)
    return float(busy ** (np.sqrt(2.0 * (servers + 1)) - 1) / (servers * (1 - busy)))


@compiled
def _sojourns(
    indices: Integers,
    place: Integers,
    rate: float,
    sizes: Sizes,
    others_rate: Floats,
    others_work: Floats,
    utilisation: float,
    backhaul: tuple[float, float],
    served: Floats,
    met: Floats,
    ways: tuple[Integers, ...],
    quantile: float,
    slowest_s: Floats,
    latest_s: Floats,
) -> None:
    """Compute mean and quantile of sojourns, those of the slowest way; see `sojourns`.

    A request passes the queues of N stations, the access uplink and the backhaul. ``others_rate``
    and ``others_work`` are `OtherLoads`; ``place``, ``served`` and ``met`` `Records`; ``backhaul``
    is the rate and work of others there; ``quantile`` is of the standard normal distribution.
    ``slowest_s`` and ``latest_s`` are filled, shape (K,). Raises IndexError if there is no such
    plan or row.
    """
    rows, operators = sizes.operator_time_s.shape
    slower, links_slower = sizes.slower, sizes.links_slower
    served_by_others = len(others_rate) > 0
    service_s, busy = np.empty(operators + 2), np.empty(operators + 2)
    congestion, served_s = np.empty(operators + 2), np.empty(operators)
    for row in range(len(indices)):
        index, its = indices[row], sizes.row[row]
        if not (0 <= index < len(place) and 0 <= its < rows):
            raise IndexError("no such plan, or no such row")
        plan = place[index]
        slowest_s[row] = latest_s[row] = 0.0
        overloaded = False
        for at in range(operators):
            on_device = served[plan, at, STATION] < 0
            time_s = (slower[0] if on_device else slower[1]) * sizes.operator_time_s[its, at]
            servers = served[plan, at, SERVERS]
            capacity, at_once = served[plan, at, CAPACITY], served[plan, at, AT_ONCE]
            per_request = time_s * capacity
            theirs, their_rate = 0.0, 0.0
            if served_by_others:
                theirs, their_rate = others_work[row, at], others_rate[row, at]
            more = utilisation * servers - rate * per_request - theirs
            if not on_device and more > 0:
                theirs, their_rate = theirs + more, their_rate + more / per_request
            work = theirs + rate * time_s * capacity
            used = work / servers
            alone_s = time_s * served[plan, at, LATENCY]
            full_s = time_s * served[plan, at, CROWDED]
            served_s[at] = alone_s + (full_s - alone_s) * min(1.0, used)
            service_s[at] = served_s[at] if at_once > 1 else work / (their_rate + rate)
            busy[at], congestion[at] = used, _congestion(used, servers * at_once)
            overloaded = overloaded or not used < 1
        # Both links are one more queue each, of one server.
        access_s, up_s = links_slower * met[plan, ALL, ACCESS_S], met[plan, ALL, BACKHAUL_UP_S]
        shared = backhaul[1] + rate * up_s if up_s > 0 else 0.0
        sent, uplink, trunk = rate * access_s, operators, operators + 1
        service_s[uplink], service_s[trunk] = access_s, shared / (backhaul[0] + rate)
        busy[uplink], congestion[uplink] = sent, _congestion(sent, 1.0)
        busy[trunk], congestion[trunk] = shared, _congestion(shared, 1.0)
        if overloaded or not sent < 1 or not shared < 1:
            slowest_s[row] = latest_s[row] = np.inf
            continue
        cv, moving, still = sizes.time_cv[its], sizes.normalised[its, 0], sizes.normalised[its, 1]
        for number, on_way in enumerate(ways):
            mean_s, tail_s = _follow(
                on_way,
                met[plan, ALL + 1 + number],
                links_slower,
                service_s,
                busy,
                congestion,
                served_s,
                cv,
                moving,
                still,
                quantile,
            )
            slowest_s[row] = max(slowest_s[row], mean_s)
            latest_s[row] = max(latest_s[row], tail_s)


@compiled
def _follow(
    operators: Integers,
    links: Floats,
    links_slower: float,
    service_s: Floats,
    busy: Floats,
    congestion: Floats,
    served_s: Floats,
    cv: float,
    moving: float,
    still: float,
    quantile: float,
) -> tuple[float, float]:
    """Return mean and quantile of the sojourn on one way under one plan.

    ``links`` is ``Records.met`` of the plan and the way, shape (4,). ``service_s``, ``busy`` and
    ``congestion`` are those of each queue, shape (N + 2,): N stations, access uplink, backhaul.
    ``served_s`` is each operator's mean time of service, shape (N,). ``moving`` and ``still`` are
    what dividing by allowances does to the mean of moving times, and of all else.
    """
    access_s, up_s = links[ACCESS_S], links[BACKHAUL_UP_S]
    scale_s = still * (1 + cv * cv) / 2
    moving_s = links_slower * (access_s + links[BACKHAUL_S])
    waits_s, waits_variance = 0.0, 0.0
    for number in range(len(operators) + 2):
        if number < len(operators):
            at = operators[number]
            moving_s += served_s[at]
        elif number == len(operators):
            at = len(served_s)
            if not access_s > 0:
                continue
        else:
            at = len(served_s) + 1
            if not up_s > 0:
                continue
        wait_s, used = scale_s * service_s[at] * congestion[at], busy[at]
        waits_s += wait_s
        if used > 0:
            waits_variance += (2 / used - 1) * (wait_s * wait_s)
    moving_s *= moving
    mean_s = waits_s + moving_s
    variance = waits_variance + (cv * moving_s) * (cv * moving_s)
    log_variance = np.log1p(variance / (mean_s * mean_s))
    tail_s = mean_s * np.exp(quantile * np.sqrt(log_variance) - log_variance / 2)
    later_s = still * links_slower * links[FIXED_S]
    return later_s + mean_s, later_s + tail_s
