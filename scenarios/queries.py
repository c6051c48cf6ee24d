"""The creation of queries: their declarations, and the truth that only the simulator knows."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from hardware_models.devices import DeviceModel, devices, hidden_log_sd
from hardware_models.links.process import NORMALS, TracedLink, correlate
from hardware_models.links.technologies import Marginal
from scenarios.drift import AT_QUERIES, Drift, DriftEvent, levels_at
from scenarios.link_traces import MOST_BPS, Recording
from scenarios.numerics import Floats, Ints
from scenarios.numerics.link_capacity import capacity_series_bps
from scenarios.random_streams import stream
from scenarios.scenario import Scenario
from scenarios.slo import SLO
from scenarios.workload import Workload

Change = tuple[float, Sequence[tuple[float, float]]]
"""The factor of a change of content, and its levels over time."""
LINK_DIRECTIONS = ("uplink", "downlink")
"""The names of the random streams of an access link's capacities."""

UNSEEN_S = 4 * 3600.0
"""Number of seconds beyond the horizon up to which links are drawn. A lifetime can be years, and
the capacities of so many seconds would not fit into memory.
"""


class Query(NamedTuple):
    """One user's stream of requests as declared; planners know only these fields of it.

    The simulator and planners share this object. It is a tuple, so that no planner can change it.

    Args:
        id: index in order of arrival, from 0.
        application: name of the application.
        dataset: data set from which its content is drawn.
        tier: class of service.
        slo: service-level objective of the query.
        device: model of its device, with the model's nominal speed.
        technology: access technology of its device.
        arrival_s: time of arrival in seconds.
        requests_per_s: declared mean rate of its requests.
    """

    id: int
    application: str
    dataset: str
    tier: str
    slo: SLO
    device: DeviceModel
    technology: str
    arrival_s: float
    requests_per_s: float


@dataclass(frozen=True)
class QueryTruth:
    """The properties of a query that the simulator knows and no planner does.

    Args:
        departure_s: time of departure in seconds.
        device_factor: ratio of its device's speed to the nominal speed of the device model.
        slowdowns: pairs (time in seconds, factor), in time order. At each of these times, the
            device's speed is multiplied by the factor, which is above 1 when a slowdown ends.
        uplink_bytes_per_s: uplink capacity in each second from arrival to departure, or to
            `UNSEEN_S` after the horizon if that is earlier, shape (n,).
        downlink_bytes_per_s: downlink capacity in the same seconds, shape (n,).
        access_rtt_s: round trip between device and edge site in seconds.
        content: pairs (time in seconds, weights over strata of shape (S,)), in time order; the
            weights are valid from this time on. The first time is the query's arrival.
    """

    departure_s: float
    device_factor: float
    slowdowns: tuple[tuple[float, float], ...]
    uplink_bytes_per_s: Ints
    downlink_bytes_per_s: Ints
    access_rtt_s: float
    content: tuple[tuple[float, Floats], ...]


def births(scenario: Scenario, seed: int) -> Iterator[tuple[Query, QueryTruth]]:
    """Yield every query of a run in order of arrival.

    Each property of query i has its own random stream, keyed by (seed, i, property).
    """
    arrivals_s = arrival_times_s(scenario, seed)
    for number, arrival_s in enumerate(arrivals_s):
        yield _birth(scenario, seed, number, float(arrival_s))


def arrival_times_s(scenario: Scenario, seed: int) -> Floats:
    """Return the arrival times of all queries in [0, horizon_s), shape (n,).

    Changes of the rate stretch and compress the time of the arrival process (Cinlar 1975,
    Introduction to Stochastic Processes, 4.7: a process with cumulative rate M(t) is one of rate 1
    at the times M(t)). So arrivals before the first change are those of the process without it.
    """
    workload, horizon_s = scenario.workload, scenario.horizon_s
    times_s, passed_s = scenario.drift.arrival_clock(horizon_s)
    found = workload.arrivals.times_s(
        workload.rate, float(passed_s[-1]), stream(seed, "query arrivals")
    )
    if len(times_s) == 2 and passed_s[-1] == horizon_s:
        return found  # The rate never changes.
    found = np.interp(found, passed_s, times_s)
    return np.asarray(found[found < horizon_s])


def lifetimes_s(scenario: Scenario, seed: int, count: int) -> Floats:
    """Return the lifetimes of the first queries of a run, shape (count,)."""
    return np.array([_lifetime_s(scenario.workload, seed, number) for number in range(count)])


def _lifetime_s(workload: Workload, seed: int, number: int) -> float:
    more_s = workload.lifetime_mean_s - workload.lifetime_min_s
    return workload.lifetime_min_s + stream(seed, "query", number, "lifetime").exponential(more_s)


def _birth(
    scenario: Scenario, seed: int, number: int, arrival_s: float
) -> tuple[Query, QueryTruth]:
    def of(purpose: str) -> np.random.Generator:
        return stream(seed, "query", number, purpose)

    application, workload = scenario.application, scenario.workload
    shares = workload.datasets or dict.fromkeys(application.datasets, 1.0)
    dataset = application.datasets[_pick(of("data set"), shares)]
    tier = _pick(of("tier"), {name: tier.weight for name, tier in scenario.tiers.items()})
    technology = _pick(of("technology"), scenario.network.technologies)
    models = devices(_pick(of("device family"), workload.devices))
    device = models[int(of("device").integers(len(models)))]
    lifetime_s = _lifetime_s(workload, seed, number)
    alike = workload.content_concentration or dataset.content_concentration
    weights = of("content").dirichlet(alike * dataset.stratum_weights)

    departure_s = arrival_s + lifetime_s
    drawn_s = min(lifetime_s, scenario.horizon_s + UNSEEN_S - arrival_s)
    slowdowns: list[tuple[float, float]] = []
    shifts: list[Change] = []
    begins_s = np.arange(np.ceil(drawn_s) + 1)
    scale = np.ones(len(begins_s))
    for event in _befalling(scenario.drift, seed, number):
        stairs = event.stairs(arrival_s, arrival_s + drawn_s + 1)
        if event.kind == "device_slowdown":
            ratios = [1.0, *(event.factor_at(level) for _, level in stairs)]
            changes = (now / last for last, now in pairwise(ratios))
            slowdowns += [(at_s, change) for (at_s, _), change in zip(stairs, changes, strict=True)]
        elif event.kind == "link_degradation":
            level = levels_at([(at_s - arrival_s, each) for at_s, each in stairs], begins_s)
            scale *= (1 - level) + level * event.factor
        elif event.kind == "content_shift":
            shifts.append((event.factor, stairs))
    slowdowns.sort(key=itemgetter(0))
    hardest = int(dataset.accuracy.mean(axis=0).argmin())
    content = _shifted(weights, hardest, shifts, arrival_s)

    uplink_bps, downlink_bps, rtt_s = _link(scenario, technology, len(begins_s), of)

    truth = QueryTruth(
        departure_s=departure_s,
        device_factor=float(np.exp(of("device factor").standard_normal() * hidden_log_sd())),
        slowdowns=tuple(slowdowns),
        uplink_bytes_per_s=_bytes_per_s(uplink_bps * scale),
        downlink_bytes_per_s=_bytes_per_s(downlink_bps * scale),
        access_rtt_s=rtt_s,
        content=content,
    )
    best = float(dataset.expected_accuracy(content[0][1]).max())
    query = Query(
        id=number,
        application=application.name,
        dataset=dataset.name,
        tier=tier,
        slo=scenario.tiers[tier].slo(best),
        device=device,
        technology=technology,
        arrival_s=arrival_s,
        requests_per_s=application.requests_per_s,
    )
    return query, truth


def _befalling(drift: Drift, seed: int, number: int) -> Iterator[DriftEvent]:
    """Yield the changes that affect a query, in order."""
    before = Counter[str]()
    for event in drift.in_order():
        if event.kind in AT_QUERIES:
            chance = stream(seed, "query", number, "drift", event.kind, before[event.kind])
            before[event.kind] += 1
            if chance.random() < event.share:
                yield event


def _shifted(
    weights: Floats, hardest: int, shifts: Sequence[Change], arrival_s: float
) -> tuple[tuple[float, Floats], ...]:
    """Return a query's content over time, as `QueryTruth.content`, under shifts in their order."""
    later = {at_s for _, stairs in shifts for at_s, _ in stairs if at_s > arrival_s}
    times_s = np.array([arrival_s, *sorted(later)])
    mixtures = np.repeat(weights[np.newaxis], len(times_s), axis=0)
    for factor, stairs in shifts:
        moved = factor * levels_at(stairs, times_s)[:, np.newaxis]
        mixtures = (1 - moved) * mixtures
        mixtures[:, hardest] += moved[:, 0]
    return tuple(zip(times_s.tolist(), mixtures, strict=True))


def _link(
    scenario: Scenario, technology: str, seconds: int, of: Callable[[str], np.random.Generator]
) -> tuple[Floats, Floats, float]:
    """Draw a query's link: uplink and downlink in bits/s for each second, and round trip in s."""
    link = scenario.network.link(technology)
    if isinstance(link, Recording):
        return *link.replay_bps(seconds, of("trace offset").random()), link.rtt_s
    if isinstance(link, TracedLink):
        given = scenario.network.updown_correlation
        up, own = (of(name).standard_normal((seconds + 1, NORMALS)) for name in LINK_DIRECTIONS)
        down = correlate(up, own, link.updown if given is None else given)
        return (
            link.uplink.capacity_bps(up),
            link.downlink.capacity_bps(down),
            float(link.round_trip_s.at(of("rtt").standard_normal())),
        )
    given = scenario.network.autocorrelation
    autocorrelation = link.autocorrelation if given is None else given

    def capacity(direction: str, marginal: Marginal) -> Floats:
        normals = of(direction).standard_normal(seconds + 1)
        return capacity_series_bps(marginal, normals, autocorrelation)

    return (
        capacity("uplink", link.uplink_bps),
        capacity("downlink", link.downlink_bps),
        float(link.round_trip_s.at(of("rtt").standard_normal())),
    )


def _bytes_per_s(bps: Floats) -> Ints:
    return np.clip(np.rint(bps / 8), 1, MOST_BPS / 8).astype(np.int64)


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Draw one name, with probabilities proportional to the weights."""
    edges = list(accumulate(weights.values()))
    return list(weights)[bisect_right(edges, rng.random() * edges[-1])]
