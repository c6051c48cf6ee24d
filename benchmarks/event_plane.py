"""Requests per second of one core in the event data plane, compared with plain SimPy.

A request visits four stations and five links, at loads at which it queues. It has 20 SimPy events
of its own: two for each of the nine stops, and the start and end of its process. Its birth is one
more event, of the source. The bound for plain SimPy is a program whose requests only wait 20 times.
"""

from collections.abc import Generator, Iterator
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from scenarios.requests import RequestBlock
from sim.clock import NS_PER_S
from sim.dataplane.base.interface import COMPLETED, OUTCOMES, LinkSpec, Route, StationSpec, Visit
from sim.dataplane.base.rate_profile import RateProfile
from sim.dataplane.base.request_rows import OUTCOME
from sim.dataplane.events.plane import EventsPlane

REQUESTS = 100_000
RUNS = 5
BLOCK = 256
STATIONS = 4
EVENTS = 20
GAP_NS = 1_000_000
SERVICE_NS = 600_000.0
MESSAGE_BYTES = 500.0
LINK = RateProfile((0,), (1_000_000,))  # half a millisecond for a mean message
TEN_SECONDS_NS = 10 * NS_PER_S


class Counting:
    """A recorder that only counts."""

    def __init__(self) -> None:
        self.births = 0
        self.completed = 0

    def record(
        self, rows: NDArray[np.int64], born: NDArray[np.int64], ended: NDArray[np.int64]
    ) -> None:
        self.births += len(born)
        self.completed += int((rows[ended, OUTCOME] == OUTCOMES.index(COMPLETED)).sum())


def source(seed: int) -> Iterator[RequestBlock]:
    """Yield Poisson arrivals with varying sizes and service times."""
    rng, last_ns = np.random.default_rng(seed), 0
    for done in range(0, REQUESTS, BLOCK):
        count = min(BLOCK, REQUESTS - done)
        gaps = np.maximum(1, np.rint(rng.exponential(GAP_NS, count)).astype(np.int64))
        arrival_ns = last_ns + np.cumsum(gaps)
        last_ns = int(arrival_ns[-1])
        yield RequestBlock(
            arrival_ns,
            rng.uniform(0.5, 1.5, count),
            np.ones(count),
            np.ones(count),
            rng.exponential(1.0, (count, STATIONS)),
        )


def one_run(seed: int) -> tuple[float, float]:
    """Return the requests per second and events per request of one run."""
    recorder = Counting()
    plane = EventsPlane(recorder)
    visits = []
    for operator in range(STATIONS):
        plane.add_link(LinkSpec(operator, LINK, 1000))
        plane.add_station(StationSpec(operator))
        visits.append(Visit(operator, None, operator, MESSAGE_BYTES))
        visits.append(Visit(operator, operator, None, SERVICE_NS))
    plane.add_link(LinkSpec(STATIONS, LINK, 1000))
    visits.append(Visit(STATIONS, None, STATIONS, MESSAGE_BYTES))
    plane.open_source(0, 0, source(seed))
    plane.route(0, 0, Route(0, tuple(visits)))
    events = next(plane.env._eid)
    started = perf_counter()
    until_ns = 0
    while recorder.completed < REQUESTS:
        until_ns += TEN_SECONDS_NS
        plane.advance(until_ns)
    wall_s = perf_counter() - started
    assert recorder.births == REQUESTS
    return REQUESTS / wall_s, (next(plane.env._eid) - events) / REQUESTS


def plain_simpy() -> float:
    """Return the requests per second of processes that only wait 20 times."""
    env = simpy.Environment(initial_time=0)

    def request() -> Generator[simpy.Event, Any, None]:
        for _ in range(EVENTS):
            yield env.timeout(450_000)

    def births() -> Generator[simpy.Event, Any, None]:
        for _ in range(REQUESTS):
            yield env.timeout(GAP_NS)
            env.process(request())

    env.process(births())
    started = perf_counter()
    env.run()
    return REQUESTS / (perf_counter() - started)


def measure() -> dict[str, Any]:
    """Return the figures; runs of both programs alternate, so a busy machine affects both."""
    runs, bounds = [], []
    for seed in range(RUNS):
        runs.append(one_run(seed))
        bounds.append(plain_simpy())
        print(f"{runs[-1][0]:,.0f} requests/s; plain SimPy {bounds[-1]:,.0f}", flush=True)
    requests_per_s = median(rate for rate, _ in runs)
    return {
        "benchmark": "event_plane",
        "requests_per_s": round(requests_per_s),
        "requests_per_s_runs": [round(rate) for rate, _ in runs],
        "events_per_request": round(median(events for _, events in runs), 3),
        "plain_simpy_requests_per_s": round(median(bounds)),
        "ratio_to_plain_simpy": round(requests_per_s / median(bounds), 3),
        "requests_per_run": REQUESTS,
        "runs": RUNS,
    }
