"""Requests and station visits per second of one core, of the block data plane and the event plane.

Three programs, each with draws of births:

- tracking frame by frame with 1,600 queries and all statistics (see ``benchmarks/_tracking.py``),
  up to 10^9 frames, with the rate and the memory by size,
- the same with 100 queries in both planes,
- two stages by four groups, first come, first served, with fixed service times and no statistics.

Times are processor seconds of the one thread, after a simulated minute in which memory grows and
code is compiled.
"""

import resource
from collections.abc import Callable, Iterator
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._tracking import QUERIES, STATION_VISITS, application, book, tracking
from scenarios.requests import RequestBlock
from sim.blocks.plane import BlocksPlane
from sim.clock import NS_PER_S
from sim.data_plane import COMPLETED, DataPlane, Recorder, Route, StationSpec, Visit
from sim.events_plane import EventsPlane
from sim.goodput import GoodputBook

WARM_UP_S = 65
SIZES = tuple(10**power for power in range(5, 10))
SMALL = 100
SMALL_RUNS: dict[str, tuple[Callable[[Recorder], DataPlane], int]] = {
    "events": (EventsPlane, 10),
    "blocks": (BlocksPlane, 600),
}
GROUPS, STAGES = 4, 2
FIXED = 20_000_000
FIXED_BLOCK = 65_536

Ints = NDArray[np.int64]


class Counting:
    """A recorder that only counts."""

    def __init__(self) -> None:
        self.ended = 0

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        del rows, born
        self.ended += len(ended)


def seconds_of(plane: DataPlane, told: GoodputBook, first_s: int, last_s: int) -> float:
    """Advance second by second, as the world does; return what it took."""
    started = thread_time()
    for second in range(first_s + 1, last_s + 1):
        plane.advance(second * NS_PER_S)
        told.judge(second * NS_PER_S)
    return thread_time() - started


def by_size() -> list[dict[str, float]]:
    """Return the rate and the memory, by how many frames were completed since the warm-up."""
    app = application()
    told = book(app, QUERIES)
    plane = tracking(BlocksPlane, told, app, QUERIES)
    now_s, spent_s = WARM_UP_S, 0.0
    seconds_of(plane, told, 0, now_s)
    before = told.outcomes[COMPLETED]
    rows = []
    for size in SIZES:
        until_s = WARM_UP_S + max(1, round(size / (QUERIES * app.requests_per_s)))
        spent_s += seconds_of(plane, told, now_s, until_s)
        now_s = until_s
        done = told.outcomes[COMPLETED] - before
        rows.append(
            {
                "requests": done,
                "visits_per_s": STATION_VISITS * done / spent_s,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
        print(
            f"{done:>13,} frames: {rows[-1]['visits_per_s'] / 1e6:.1f} M station visits/s, "
            f"{spent_s / done * 1e9:.0f} ns a frame, peak {rows[-1]['peak_mib']:.0f} MiB",
            flush=True,
        )
    return rows


def both() -> dict[str, float]:
    """Return completed frames per second of either plane."""
    app = application()
    rates = {}
    for name, (kind, duration_s) in SMALL_RUNS.items():
        told = book(app, SMALL)
        plane = tracking(kind, told, app, SMALL)
        seconds_of(plane, told, 0, 2)
        before = told.outcomes[COMPLETED]
        spent_s = seconds_of(plane, told, 2, 2 + duration_s)
        rates[name] = (told.outcomes[COMPLETED] - before) / spent_s
        print(f"{name}, {SMALL} queries: {rates[name]:,.0f} frames/s", flush=True)
    return rates


def arrivals(offset_ns: int) -> Iterator[RequestBlock]:
    """Yield births 100 ns apart."""
    ones: Any = np.ones(FIXED_BLOCK)
    last_ns = offset_ns
    while True:
        arrival_ns = last_ns + 100 * np.arange(1, FIXED_BLOCK + 1)
        last_ns = int(arrival_ns[-1])
        yield RequestBlock(arrival_ns, ones, ones, ones, np.ones((FIXED_BLOCK, STAGES)))


def fixed() -> float:
    """Return requests per second through two stages by four groups."""
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
    rows = by_size()
    drop = 1 - rows[-1]["visits_per_s"] / rows[0]["visits_per_s"]
    return {
        "benchmark": "data_plane",
        "visits_per_s": round(rows[-1]["visits_per_s"]),
        "ratio_to_events": round(rates["blocks"] / rates["events"], 1),
        "rate_drop_pct": round(100 * drop, 1),
        "peak_mib": round(rows[-1]["peak_mib"]),
        "fixed_requests_per_s": round(fixed_rate),
        "events_requests_per_s": round(rates["events"]),
        "by_size": [{key: round(value) for key, value in row.items()} for row in rows],
    }
