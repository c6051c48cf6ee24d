"""The queueing approximation that all planners share: what a plan's latency would be under load.

Each station is taken as an M/G/c queue that many queries feed: with s the mean service time, cv its
coefficient of variation, c servers and utilisation rho, the mean wait is

    W = s * (1 + cv^2) / 2 * rho^(sqrt(2 (c + 1)) - 1) / (c (1 - rho))

(Sakasegawa 1977; exact for M/M/1 and M/G/1). A request waits with probability rho (too high for
several servers), and then exponentially long. The access link and the shared backhaul to the cloud
are such queues too; on the way down only the own transmission counts. A server of a language model
counts as many, and service grows linearly with utilisation from its time alone to that in a full
engine. Service and transmission grow with one size, so their variances add up as those of one
factor; waits are independent of it. The sum is fitted by a shifted log-normal of the same mean and
variance. Where operators fork and join, the slowest way counts, which is a little too fast.

Left out: batching (the longest batching wait is added in full), dependence between stations, queues
that are not FIFO or shed, and variation of link capacity in time.
"""

from collections.abc import Sequence
from math import exp, fsum, inf, log, log1p, sqrt
from statistics import NormalDist

from sim.api.prediction import DagPath
from sim.cluster.members import NO_LOAD, StationLoad

NORMAL = NormalDist()


def mean_wait_s(service_s: float, cv: float, servers: int, utilisation: float) -> float:
    """Return the mean wait of an M/G/c queue in seconds, infinite from a utilisation of 1 on."""
    if utilisation >= 1:
        return inf
    congestion = utilisation ** (sqrt(2 * (servers + 1)) - 1) / (servers * (1 - utilisation))
    return float(service_s * (1 + cv**2) / 2 * congestion)


def sojourn(
    rate: float,
    service_s: Sequence[float],
    stations: Sequence[StationLoad],
    access_s: Sequence[float],
    backhaul_s: float,
    fixed_s: float,
    cv: float,
    quantile: float,
    crowding: Sequence[tuple[float, float]] | None = None,
    normalised: tuple[float, float] = (1.0, 1.0),
    backhaul_up_s: float = 0.0,
    backhaul: StationLoad = NO_LOAD,
    ways: Sequence[DagPath] = (),
) -> tuple[float, float, tuple[float, ...]]:
    """Predict mean and quantile of the sojourn in seconds, and the utilisation of each station.

    ``rate`` is the query's requests per second, ``service_s`` each operator's mean time served
    alone, ``stations`` what others ask of its station, and ``access_s`` the transmission time of
    each message on the access uplink. ``backhaul_s``, ``backhaul_up_s``, ``fixed_s`` and ``ways``
    are as in `DagPath`; ``backhaul`` is what others ask of the way to the cloud, as one server.
    ``crowding`` has per operator a request's share of a server's capacity and its time on a full
    server, both over its service time alone; by default all servers serve one at a time. ``cv`` is
    the coefficient of variation of request sizes; for ``normalised`` see
    ``Measurement.normalised``.
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
    sent_s = fsum(access_s)
    queues.append((sent_s, 1, rate * sent_s))
    work = backhaul.work + rate * backhaul_up_s if backhaul_up_s else 0.0
    queues.append((work / (backhaul.rate + rate), 1, work))
    if any(busy >= 1 for _, _, busy in queues):
        return inf, inf, utilisation
    waits = [
        (normalised[1] * mean_wait_s(service, cv, servers, busy), busy)
        for service, servers, busy in queues
    ]
    everything = tuple(range(len(service_s)))
    whole = DagPath(everything, sent_s, backhaul_s, backhaul_up_s, fixed_s)
    slowest = [_along(way, waits, crowded_s, cv, quantile, normalised) for way in ways or (whole,)]
    return max(mean for mean, _ in slowest), max(tail for _, tail in slowest), utilisation


def _along(
    way: DagPath,
    waits: Sequence[tuple[float, float]],
    crowded_s: Sequence[float],
    cv: float,
    quantile: float,
    normalised: tuple[float, float],
) -> tuple[float, float]:
    """Return mean and quantile of the time along one way; see `sojourn`.

    ``waits`` has mean wait and utilisation of each station, then of access uplink and backhaul.
    """
    mean, variance = 0.0, 0.0
    links = ((-2, way.access_s), (-1, way.backhaul_up_s))
    for at in (*way.operators, *(link for link, sent_s in links if sent_s)):
        wait, busy = waits[at]
        mean += wait
        # Waits with probability `busy`, then exponentially: second moment 2 wait^2 / busy.
        variance += 2 * wait**2 / busy - wait**2 if busy else 0.0
    served_s = fsum(crowded_s[at] for at in way.operators)
    moving = normalised[0] * (served_s + way.access_s + way.backhaul_s)
    fixed_s = way.fixed_s * normalised[1]
    mean += moving
    variance += (cv * moving) ** 2
    if variance == 0:
        return fixed_s + mean, fixed_s + mean
    log_variance = log1p(variance / mean**2)
    tail = exp(log(mean) - log_variance / 2 + NORMAL.inv_cdf(quantile) * sqrt(log_variance))
    return fixed_s + mean, fixed_s + tail
