"""The queueing model of the planning context, which predicts a plan's latency under load.

Each station is modelled as an M/G/c queue for the requests of many queries. If s is the mean
service time, cv its coefficient of variation, c the number of servers, and rho the utilisation, the
mean wait is

    W = s * (1 + cv^2) / 2 * rho^(sqrt(2 (c + 1)) - 1) / (c (1 - rho))

(Sakasegawa 1977; exact for M/M/1 and M/G/1). A request is assumed to wait with probability rho,
which is too high for several servers. If it waits, its waiting time is exponential. The access
uplink and the shared backhaul to the cloud are modelled as such queues too; on downlinks, only the
transmission of the query's own messages is counted. If messages share links, a message on a link
with utilisation rho takes 1 / (1 - rho) times as long as alone in the mean, whatever the sizes
(M/G/1-PS; Kleinrock, "Queueing Systems", volume 2, 1976, section 4.4). Its variance, given its
size, is approximated by that of a wait in an M/M/1 queue with the same mean. An engine of a
language model is modelled as several servers. Their service time grows linearly with utilisation,
from that of a lone request to that in a full engine. Service and transmission times are
proportional to a common random size; waits are independent of the size. The sum of these times is
approximated by a shifted log-normal distribution with the same mean and variance. Where operators
fork and join, the predicted latency is that of the slowest path, a slight underestimate.

The model leaves out dependence between stations, queues that are not FIFO or that shed, and changes
of link capacity over time. It leaves out batching too, but adds the longest batching wait in full.
"""

from collections.abc import Sequence
from math import exp, fsum, inf, log, log1p, sqrt
from statistics import NormalDist
from typing import NamedTuple, cast

import numpy as np

from scenarios.applications.dataset import Dataset
from scenarios.cluster import DEVICE
from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim.api import plan_view as pv
from sim.api.plan_view import PlanView
from sim.api.prediction import DagPath
from sim.cluster.machines import Machines, StationDemand
from sim.cluster.members import NO_LOAD, StationLoad
from sim.planning.plan_space import PlanSpace

NORMAL = NormalDist()


def mean_wait_s(service_s: float, cv: float, servers: int, utilisation: float) -> float:
    """Return the mean wait of an M/G/c queue in seconds; infinite if utilisation is 1 or more."""
    if utilisation >= 1:
        return inf
    congestion = utilisation ** (sqrt(2 * (servers + 1)) - 1) / (servers * (1 - utilisation))
    return float(service_s * (1 + cv**2) / 2 * congestion)


def sojourn(
    rate: float,
    service_s: Sequence[float],
    stations: Sequence[StationLoad],
    whole: DagPath,
    cv: float,
    quantile: float,
    crowding: Sequence[tuple[float, float]] | None = None,
    normalised: tuple[float, float] = (1.0, 1.0),
    backhaul: StationLoad = NO_LOAD,
    ways: Sequence[DagPath] = (),
    shares_links: bool = False,
) -> tuple[float, float, tuple[float, ...]]:
    """Predict the mean and a quantile of latency in seconds, and each station's utilisation.

    ``rate`` is the query's requests per second. ``service_s`` is each operator's mean time for a
    request that is served alone. ``stations`` is the load of other queries at each operator's
    station; ``backhaul`` is their load on the backhaul to the cloud, which is a single server.
    ``whole`` has the summed times of all operators; ``ways`` has the paths if there are several.
    ``crowding`` has two values per operator, each divided by a request's time alone: the server
    time that a request takes, and its time on a full server. By default, all servers serve one
    request at a time. ``cv`` is the coefficient of variation of request sizes. ``normalised`` has
    the factors of ``Measurement.normalised``. ``shares_links`` tells whether messages share links
    equally; otherwise a link sends one after the other.
    """
    queues, crowded_s = [], []
    crowding = crowding or [(1.0, 1.0)] * len(service_s)
    for alone, (share, crowded), load in zip(service_s, crowding, stations, strict=True):
        work = load.work + rate * alone * share
        busy = work / load.servers
        crowded_s.append(alone * (1 + (crowded - 1) * min(1.0, busy)))
        service = crowded_s[-1] if load.at_once > 1 else work / (load.rate + rate)
        queues.append((service, load.servers * load.at_once, busy))
    utilisation = tuple(queue[2] for queue in queues)
    queues.append((whole.access_s, 1, rate * whole.access_s))
    up_s = whole.backhaul_up_s
    work = backhaul.work + rate * up_s if up_s else 0.0
    queues.append((work / (backhaul.rate + rate), 1, work))
    if any(busy >= 1 for _, _, busy in queues):
        return inf, inf, utilisation
    waits = [
        (normalised[1] * mean_wait_s(service, cv, servers, busy), busy)
        for service, servers, busy in queues
    ]
    slowest = [
        _along(way, waits, crowded_s, cv, quantile, normalised, shares_links)
        for way in ways or (whole,)
    ]
    return max(mean for mean, _ in slowest), max(tail for _, tail in slowest), utilisation


def _along(
    way: DagPath,
    waits: Sequence[tuple[float, float]],
    crowded_s: Sequence[float],
    cv: float,
    quantile: float,
    normalised: tuple[float, float],
    shares_links: bool,
) -> tuple[float, float]:
    """Return the mean and a quantile of the latency along one path; see `sojourn`.

    ``waits`` has the mean wait and the utilisation of each station, of the access uplink and of the
    backhaul.
    """
    mean, variance, stretched = 0.0, 0.0, 0.0
    links = {-2: way.access_s, -1: way.backhaul_up_s}
    for at in (*way.operators, *(link for link, sent_s in links.items() if sent_s)):
        wait, busy = waits[at]
        if shares_links and at < 0:
            wait = normalised[0] * links[at] * busy / (1 - busy)
            stretched += wait
        else:
            mean += wait
        # Waits with probability `busy`, then exponentially: second moment 2 wait^2 / busy.
        variance += 2 * wait**2 / busy - wait**2 if busy else 0.0
    served_s = fsum(crowded_s[at] for at in way.operators)
    moving = normalised[0] * (served_s + way.access_s + way.backhaul_s) + stretched
    fixed_s = way.fixed_s * normalised[1]
    mean += moving
    variance += (cv * moving) ** 2
    if variance == 0:
        return fixed_s + mean, fixed_s + mean
    log_variance = log1p(variance / mean**2)
    tail = exp(log(mean) - log_variance / 2 + NORMAL.inv_cdf(quantile) * sqrt(log_variance))
    return fixed_s + mean, fixed_s + tail


# For many plans at once

NOTHING: Floats = np.zeros((0, 0))


class OtherLoads(NamedTuple):
    """The load of other queries at the stations that K plans with N operators would use."""

    rate: Floats  # requests per second, of shape (K, N); no rows if there is no load
    work: Floats  # load in units of servers, of the same shape
    backhaul: tuple[float, float]  # rate and work of others on the backhaul to the cloud


class Sizes(NamedTuple):
    """The assumed times and variation of requests in m rows; ``row`` has each plan's row number."""

    operator_time_s: Floats  # mean time of each operator on profiling hardware, of shape (m, N)
    time_cv: Floats  # coefficient of variation of request sizes, of shape (m,)
    # Factors by which dividing by allowances changes mean service and transmission times, and mean
    # delays and waits, of shape (m, 2).
    normalised: Floats
    row: Ints  # the row of each plan, of shape (K,)
    # Factors of operator times on the device, and of those elsewhere.
    slower: tuple[float, float] = (1.0, 1.0)
    links_slower: float = 1.0  # factor of the times of the query's messages on links
    shares_links: bool = False  # whether messages share links equally


def present_loads(
    machines: Machines, dataset: Dataset, query: Query, view: PlanView, indices: Ints
) -> OtherLoads:
    """Return the present load of other queries at the stations that a query would use."""
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
        _backhaul(machines, query),
    )


def _gathered(tables: list[Floats], options: Ints, columns: Ints) -> Floats:
    return np.column_stack(
        [table[row, column] for table, row, column in zip(tables, options, columns, strict=True)]
    )


def no_loads(machines: Machines, query: Query) -> OtherLoads:
    """Return loads of zero, except for the backhaul, which has its present load."""
    return OtherLoads(NOTHING, NOTHING, _backhaul(machines, query))


def _backhaul(machines: Machines, query: Query) -> tuple[float, float]:
    load = machines.backhaul.load_without(query.id)
    return load.rate, load.work


def sojourns(
    query: Query,
    view: PlanView,
    indices: Ints,
    sizes: Sizes,
    loads: OtherLoads,
    utilisation: float = 0.0,
) -> tuple[Floats, Floats]:
    """Predict the mean and a quantile of latency in seconds, for K plans; both of shape (K,).

    ``utilisation`` is a lower bound for stations off the device. If a station is less busy, load
    like that of the query is added up to this bound. Latencies are infinite if a station or a link
    would be overloaded.
    """
    return _sojourns(
        indices,
        view.records.place,
        query.requests_per_s,
        sizes,
        loads,
        utilisation,
        view.records.served,
        view.records.met,
        tuple([way.operators for way in view.ways]),
        NORMAL.inv_cdf(query.slo.latency_quantile),
    )


@compiled
def _wait(service_s: float, busy: float, servers: float) -> tuple[float, float]:
    """Return the mean and the variance of the wait in a queue, in s and s^2.

    ``service_s`` is the mean service time multiplied by (1 + cv^2) / 2. The mean is Sakasegawa's
    formula (see this module) at utilisation ``busy``. A wait with mean W that is 0 with probability
    1 - rho, and otherwise exponential, has variance (2 / rho - 1) W^2. Both results are 0 if the
    queue is idle or overloaded.
    """
    if not 0 < busy < 1:
        return 0.0, 0.0
    congestion = busy / (1 - busy)
    if servers != 1:
        congestion = busy ** (np.sqrt(2.0 * (servers + 1)) - 1) / (servers * (1 - busy))
    wait_s = service_s * congestion
    return wait_s, (2 / busy - 1) * (wait_s * wait_s)


@compiled
def _sojourns(  # noqa: PLR0915
    indices: Ints,
    place: Ints,
    rate: float,
    sizes: Sizes,
    others: OtherLoads,
    utilisation: float,
    served: Floats,
    met: Floats,
    ways: tuple[Ints, ...],
    quantile: float,
) -> tuple[Floats, Floats]:
    """Return the mean and a quantile of latency in s on the slowest path, both of shape (k,).

    A request waits in the queues of N stations, of the access uplink and of the backhaul.
    ``place``, ``served`` and ``met`` are those of `Records`; ``quantile`` is a quantile of the
    standard normal distribution. For each of k plans (``indices``), the waits of all queues are
    computed. Then, for each path, means and variances are summed, and a log-normal distribution
    with these moments is fitted. Each path takes O(N). The result is inf if a queue is overloaded.
    IndexError is raised if a plan or a row does not exist.
    """
    rows, operators = sizes.operator_time_s.shape
    slower, links_slower = sizes.slower, sizes.links_slower
    others_send, others_sent = others.backhaul
    slowest_s, latest_s = np.zeros(len(indices)), np.zeros(len(indices))
    waits_s, variances = np.empty(operators + 2), np.empty(operators + 2)
    served_s = np.empty(operators)
    for row in range(len(indices)):
        index, its = indices[row], sizes.row[row]
        if not (0 <= index < len(place) and 0 <= its < rows):
            raise IndexError("no such plan, or no such row")
        plan = place[index]
        cv, moving, still = sizes.time_cv[its], sizes.normalised[its, 0], sizes.normalised[its, 1]
        scale = still * (1 + cv * cv) / 2
        # The wait at each station: `theirs` is the work of other queries, in busy servers.
        overloaded = False
        for at in range(operators):
            on_device = served[plan, at, pv.STATION] < 0
            time_s = (slower[0] if on_device else slower[1]) * sizes.operator_time_s[its, at]
            servers, at_once = served[plan, at, pv.SERVERS], served[plan, at, pv.AT_ONCE]
            capacity = served[plan, at, pv.CAPACITY]
            per_request = time_s * capacity
            theirs, their_rate = 0.0, 0.0
            if len(others.rate) > 0:
                theirs, their_rate = others.work[row, at], others.rate[row, at]
            more = utilisation * servers - rate * per_request - theirs
            if not on_device and more > 0:
                theirs, their_rate = theirs + more, their_rate + more / per_request
            work = theirs + rate * time_s * capacity
            used = work / servers
            alone_s = time_s * served[plan, at, pv.LATENCY]
            full_s = time_s * served[plan, at, pv.CROWDED]
            served_s[at] = alone_s + (full_s - alone_s) * min(1.0, used)
            service_s = served_s[at] if at_once > 1 else work / (their_rate + rate)
            waits_s[at], variances[at] = _wait(scale * service_s, used, servers * at_once)
            overloaded = overloaded or not used < 1
        # Each of the two links is one more queue with one server.
        access_s = links_slower * met[plan, pv.ALL, pv.ACCESS_S]
        up_s = met[plan, pv.ALL, pv.BACKHAUL_UP_S]
        sent, shared = rate * access_s, others_sent + rate * up_s if up_s > 0 else 0.0
        uplink, trunk = operators, operators + 1
        waits_s[uplink], variances[uplink] = _wait(scale * access_s, sent, 1.0)
        trunk_s = shared / (others_send + rate)
        waits_s[trunk], variances[trunk] = _wait(scale * trunk_s, shared, 1.0)
        if overloaded or not sent < 1 or not shared < 1:
            slowest_s[row] = latest_s[row] = np.inf
            continue
        for number, on_way in enumerate(ways):
            links = met[plan, pv.ALL + 1 + number]
            moving_s = links_slower * (links[pv.ACCESS_S] + links[pv.BACKHAUL_S])
            wait_s, variance = 0.0, 0.0
            for at in on_way:
                moving_s += served_s[at]
                wait_s += float(waits_s[at])
                variance += float(variances[at])
            stretched_s = 0.0
            for at, sent_s, busy in (
                (uplink, links[pv.ACCESS_S], sent),
                (trunk, links[pv.BACKHAUL_UP_S], shared),
            ):
                if sent_s > 0 and sizes.shares_links:
                    more_s, more = _wait(moving * links_slower * sent_s, busy, 1.0)
                    stretched_s += more_s
                    variance += more
                elif sent_s > 0:
                    wait_s += float(waits_s[at])
                    variance += float(variances[at])
            moving_s = moving_s * moving + stretched_s
            mean_s = wait_s + moving_s
            variance += (cv * moving_s) * (cv * moving_s)
            # The log-normal of this mean and variance: sigma^2 = log(1 + variance / mean^2).
            log_variance = np.log1p(variance / (mean_s * mean_s))
            tail_s = mean_s * np.exp(quantile * np.sqrt(log_variance) - log_variance / 2)
            later_s = still * links_slower * links[pv.FIXED_S]
            slowest_s[row] = max(slowest_s[row], later_s + mean_s)
            latest_s[row] = max(latest_s[row], later_s + tail_s)
    return slowest_s, latest_s
