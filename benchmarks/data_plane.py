"""Requests and station visits per second of one core, in the block and the event data plane.

Three programs are measured. Each of them also draws the times at which requests are created.

- The first program tracks frame by frame with 1,600 queries and all statistics (see
  ``benchmarks/_tracking.py``), up to 10^9 frames. One table shows the rate and the memory after
  different numbers of frames.
- The second program is the same with 100 queries, in both data planes.
- The third program has two FIFO stages, each with four groups of stations, with fixed service times
  and without statistics. Its rate depends on the processor: the processor of this page reaches 60
  million requests per second, and another one 50 to 55 million.

Times are processor seconds of a single thread, after a simulated minute in which memory grows and
code is compiled. Requests are drawn for two minutes in advance, and windows end every minute.
Therefore the rate in each row of the table is measured over the two simulated minutes that follow
the row's number of requests. These two minutes include all of this work. The figure
``visits_per_s`` covers the whole run. The load of a shared server varies more from minute to minute
than the effect that ``rate_drop_pct`` measures. Therefore `rate_drop_pct` compares the median rates
of two data planes that run alternately for two simulated minutes each: one that has moved 10^9
frames, and one that has just warmed up.
"""

import resource
from collections.abc import Callable, Iterator
from time import thread_time
from typing import Any

import numpy as np

from benchmarks._tracking import QUERIES, STATION_VISITS, application, monitor, tracking
from scenarios.numerics import Ints
from scenarios.requests import RequestBlock
from sim.clock import NS_PER_S
from sim.dataplane.base.interface import COMPLETED, DataPlane, Recorder, Route, StationSpec, Visit
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane
from sim.metrics.goodput import SloMonitor

WARM_UP_S, CYCLE_S, CYCLES = 65, 120, 5
SIZES = tuple(10**power for power in (5, 7, 8, 9))
SMALL = 100
SMALL_RUNS: dict[str, tuple[Callable[[Recorder], DataPlane], int]] = {
    "events": (EventsPlane, 10),
    "blocks": (BlocksPlane, 600),
}
GROUPS, STAGES = 4, 2
FIXED = 20_000_000
FIXED_BLOCK = 65_536


class Counting:
    """A recorder that only counts requests that ended."""

    def __init__(self) -> None:
        self.ended = 0

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        del rows, born
        self.ended += len(ended)


def seconds_of(plane: DataPlane, slo_monitor: SloMonitor, first_s: int, last_s: int) -> float:
    """Advance second by second, as the world does; return the processor seconds taken."""
    started = thread_time()
    for second in range(first_s + 1, last_s + 1):
        plane.advance(second * NS_PER_S)
        slo_monitor.judge(second * NS_PER_S)
    return thread_time() - started


def peak_mib() -> float:
    """Return the largest memory that this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Tracking:
    """Tracking after its warm-up."""

    def __init__(self) -> None:
        app = application()
        self.frames_per_s = QUERIES * app.requests_per_s
        self._monitor = monitor(app, QUERIES)
        self._plane = tracking(BlocksPlane, self._monitor, app, QUERIES)
        self._now_s, self.spent_s = 0, 0.0
        self.advance(WARM_UP_S)

    @property
    def visits(self) -> int:
        """Station visits of completed frames."""
        return STATION_VISITS * self._monitor.outcomes[COMPLETED]

    def advance(self, duration_s: int) -> None:
        before_s, self._now_s = self._now_s, self._now_s + duration_s
        self.spent_s += seconds_of(self._plane, self._monitor, before_s, self._now_s)

    def cycle_rate(self) -> float:
        """Return station visits per second over the next complete cycle of draws and windows."""
        before, before_s = self.visits, self.spent_s
        self.advance(CYCLE_S)
        return (self.visits - before) / (self.spent_s - before_s)


def by_size() -> dict[str, Any]:
    """Return rates and memory of tracking, in total and by the frames since the warm-up."""
    run = Tracking()
    before, before_s, rows = run.visits, run.spent_s, []
    for size in SIZES:
        left = size - (run.visits - before) / STATION_VISITS
        run.advance(max(1, round(left / run.frames_per_s)))
        done = (run.visits - before) // STATION_VISITS
        rate = run.cycle_rate()
        rows.append({"requests": done, "visits_per_s": rate, "peak_mib": peak_mib()})
        print(
            f"{done:>13,} frames: {rate / 1e6:.1f} M station visits/s, "
            f"{STATION_VISITS * 1e9 / rate:.0f} ns a frame, peak {peak_mib():.0f} MiB",
            flush=True,
        )
    all_visits_per_s = (run.visits - before) / (run.spent_s - before_s)
    fresh, pairs = Tracking(), []
    for cycle in range(CYCLES):
        first, second = (fresh, run) if cycle % 2 else (run, fresh)
        rates = {first: first.cycle_rate(), second: second.cycle_rate()}
        pairs.append((rates[fresh], rates[run]))
    print("in turn:", ", ".join(f"{a / 1e6:.1f} and {b / 1e6:.1f} M" for a, b in pairs), flush=True)
    young, old = (float(np.median(rates)) for rates in zip(*pairs, strict=True))
    return {
        "visits_per_s": round(all_visits_per_s),
        "rate_drop_pct": round(100 * (1 - old / young), 1),
        "peak_mib": round(rows[-1]["peak_mib"]),
        "by_size": [{key: round(value) for key, value in row.items()} for row in rows],
    }


def both() -> dict[str, float]:
    """Return completed frames per second in each plane."""
    app = application()
    rates = {}
    for name, (kind, duration_s) in SMALL_RUNS.items():
        slo_monitor = monitor(app, SMALL)
        plane = tracking(kind, slo_monitor, app, SMALL)
        seconds_of(plane, slo_monitor, 0, 2)
        before = slo_monitor.outcomes[COMPLETED]
        spent_s = seconds_of(plane, slo_monitor, 2, 2 + duration_s)
        rates[name] = (slo_monitor.outcomes[COMPLETED] - before) / spent_s
        print(f"{name}, {SMALL} queries: {rates[name]:,.0f} frames/s", flush=True)
    return rates


def arrivals(offset_ns: int) -> Iterator[RequestBlock]:
    """Yield births 100 ns apart."""
    ones = np.broadcast_to(1.0, FIXED_BLOCK)  # as scenarios draw constant values
    variability = np.broadcast_to(1.0, (FIXED_BLOCK, STAGES))
    last_ns, since_ns = offset_ns, 100 * np.arange(1, FIXED_BLOCK + 1)
    while True:
        arrival_ns = last_ns + since_ns
        last_ns = int(arrival_ns[-1])
        yield RequestBlock(arrival_ns, ones, ones, ones, variability)


def fixed() -> float:
    """Return requests per second through two stages of four groups."""
    recorder: Recorder = Counting()
    plane = BlocksPlane(recorder)
    for group in range(GROUPS):
        for stage in range(STAGES):
            plane.add_station(StationSpec(STAGES * group + stage))
        plane.open_source(0, group, arrivals(group))
        visits = [Visit(stage, STAGES * group + stage, None, 90.0) for stage in range(STAGES)]
        plane.route(0, group, Route(group, tuple(visits)))
    gap_ns = 100 // GROUPS
    plane.advance(FIXED // 10 * gap_ns)
    started = thread_time()
    plane.advance((FIXED // 10 + FIXED) * gap_ns)
    return FIXED / (thread_time() - started)


def measure() -> dict[str, Any]:
    """Return the figures."""
    fixed_rate = fixed()
    print(f"fixed service, no statistics: {fixed_rate / 1e6:.1f} M requests/s", flush=True)
    rates = both()
    return {
        "benchmark": "data_plane",
        **by_size(),
        "ratio_to_events": round(rates["blocks"] / rates["events"], 1),
        "fixed_requests_per_s": round(fixed_rate),
        "events_requests_per_s": round(rates["events"]),
    }
