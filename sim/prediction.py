"""The queueing approximation that all planners share: what a plan's latency would be under load.

Each station is taken as an M/G/c queue that many queries feed: with s the mean service time, cv its
coefficient of variation, c servers and utilisation rho, the mean wait is

    W = s * (1 + cv^2) / 2 * rho^(sqrt(2 (c + 1)) - 1) / (c (1 - rho))

(Sakasegawa 1977; exact for M/M/1 and M/G/1). A request waits with probability rho (too high for
several servers), and then exponentially long. The private access link is such a queue too, and so
is the backhaul to the cloud, which all share; on the way down only the own transmission counts. A
language model serves several requests at once:
its servers count as so many each, and a request's service grows, linearly with utilisation, from
its time alone to its time in a full engine. Service and transmission of one request grow with
one size, so their variances add up as those of one factor; waits are independent of it. The sum is
fitted by a shifted log-normal with the same mean and variance, whose quantile is the prediction.

Left out: batching (a plan's longest batching wait is added in full), dependence between stations,
queues that are not FIFO or shed, and variation of link capacity in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, inf, log, log1p, sqrt
from statistics import NormalDist

from scenarios.slo import SLO

NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class StationLoad:
    """What others already ask of the station that an operator would join or get.

    Args:
        servers: replicas of the station.
        rate: requests per second of the other members.
        work: their load in servers: sum of rate times mean service time.
        at_once: requests that a server serves at the same time; above 1 for language models.
    """

    servers: int
    rate: float = 0.0
    work: float = 0.0
    at_once: int = 1


NO_LOAD = StationLoad(1)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a plan is believed to do for a query under the present load.

    Args:
        latency_mean_s: mean sojourn in seconds; infinite if a station or link would be overloaded.
        latency_quantile_s: the SLO's quantile of it.
        utilisation: that of each operator's station, the query included.
        accuracy_mean: mean accuracy of the configuration as profiled.
        cost_usd_per_hour: list price of the plan, and egress.
    """

    latency_mean_s: float
    latency_quantile_s: float
    utilisation: tuple[float, ...]
    accuracy_mean: float
    cost_usd_per_hour: float

    def meets(self, slo: SLO) -> bool:
        """Tell whether every part of an SLO would be met."""
        return (
            (slo.latency_s is None or self.latency_quantile_s <= slo.latency_s)
            and (slo.accuracy is None or self.accuracy_mean >= slo.accuracy)
            and (slo.cost_usd_per_hour is None or self.cost_usd_per_hour <= slo.cost_usd_per_hour)
        )


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
) -> tuple[float, float, tuple[float, ...]]:
    """Predict the sojourn of a query's requests.

    Args:
        rate: requests per second of the query.
        service_s: mean service time at each operator, served alone, in seconds.
        stations: what others ask of each operator's station.
        access_s: transmission time of each message on the access uplink, in seconds.
        backhaul_s: transmission time of all messages on the backhaul, in seconds.
        fixed_s: propagation delays and batching waits, in seconds.
        cv: coefficient of variation of request sizes.
        quantile: the quantile of latency that is asked for.
        crowding: per operator, a request's share of a server's capacity and its time on a full
            server, both over its service time alone; by default all servers serve one at a time.
        normalised: what dividing by allowances does to the mean of moving, and of all else.
        backhaul_up_s: the part of ``backhaul_s`` on the way to the cloud, in seconds.
        backhaul: what others ask of that way, as one server.

    Returns:
        Mean and quantile of the sojourn in seconds, and the utilisation of each station.
    """
    mean, variance = 0.0, 0.0
    queues, crowded_s = [], []
    crowding = crowding or [(1.0, 1.0)] * len(service_s)
    for alone, (share, crowded), load in zip(service_s, crowding, stations, strict=True):
        work = load.work + rate * alone * share
        busy = work / load.servers
        crowded_s.append(alone * (1 + (crowded - 1) * min(1.0, busy)))
        service = crowded_s[-1] if load.at_once > 1 else work / (load.rate + rate)
        queues.append((service, load.servers * load.at_once, busy))
    utilisation = [queue[2] for queue in queues]
    sent_s = fsum(access_s)
    if sent_s:
        queues.append((sent_s, 1, rate * sent_s))
    if backhaul_up_s:
        work = backhaul.work + rate * backhaul_up_s
        queues.append((work / (backhaul.rate + rate), 1, work))
    for service, servers, busy in queues:
        if busy >= 1:
            return inf, inf, tuple(utilisation)
        wait = normalised[1] * mean_wait_s(service, cv, servers, busy)
        mean += wait
        # Waits with probability `busy`, then exponentially: second moment 2 wait^2 / busy.
        variance += 2 * wait**2 / busy - wait**2 if busy else 0.0
    moving = normalised[0] * (fsum(crowded_s) + sent_s + backhaul_s)
    fixed_s *= normalised[1]
    mean += moving
    variance += (cv * moving) ** 2
    if variance == 0:
        return fixed_s + mean, fixed_s + mean, tuple(utilisation)
    log_variance = log1p(variance / mean**2)
    tail = exp(log(mean) - log_variance / 2 + NORMAL.inv_cdf(quantile) * sqrt(log_variance))
    return fixed_s + mean, fixed_s + tail, tuple(utilisation)
