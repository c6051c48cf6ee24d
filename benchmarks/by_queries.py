"""Rate of the block data plane by the number of queries that send the same total of requests.

The queries track objects frame by frame, with all statistics, as in ``benchmarks/_tracking.py``.
Together they send 48,000 frames per second: each of ten queries sends 4,800 frames per second, and
each of a hundred thousand queries sends one about every two seconds. Service times grow with the
number of queries so that every station is equally busy at all sizes. Each size is timed for two
simulated minutes, after one minute in which memory grows.

The part called `stretch` is a longer run: 100,000 queries send one frame per second for an hour,
360 million frames in all. Its processor time has four parts: moving frames, drawing the frames to
be created, counting created and ended frames, and judging windows. `starting_s` is the time to
create the plane and the queries. As in the world, windows are judged when they are due, and the
data plane postpones its work until then or until a block has enough requests. Times are processor
seconds of a single thread. `peak_mib` is the peak memory of the process from its start to the end
of that size.
"""

from collections import defaultdict
from collections.abc import Callable
from time import thread_time
from typing import Any

from benchmarks._tracking import STATION_VISITS, STEPS, application, monitor, tracking
from benchmarks.data_plane import peak_mib, seconds_of
from sim.dataplane.base.interface import COMPLETED
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.blocks.sources import SourceBook
from sim.metrics.goodput import SloMonitor

FRAMES_PER_S = 48_000
SIZES = (10, 100, 1_000, 10_000, 100_000)
WARM_UP_S, TIMED_S = 60, 120
STRETCH, STRETCH_FRAMES_PER_S, HOUR_S = 100_000, 100_000, 3600
REPORT_S = 600
MOST_STEPS = 2_000_000
"""Most changes of capacity of all links together; with many links, each has fewer."""


class Stopwatch:
    """Adds up the times of parts of a program, each without the parts that it calls."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._within_s = 0.0

    def on(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls another one and adds its time to a part."""

        def timed(*arguments: Any) -> Any:
            before_s, self._within_s = self._within_s, 0.0
            started = thread_time()
            result = call(*arguments)
            spent_s = thread_time() - started
            self.spent_s[part] += spent_s - self._within_s
            self._within_s = before_s + spent_s
            return result

        return timed


class Run:
    """A number of queries that send frames.

    Args:
        queries: number of queries.
        frames_per_s: frames per second of all queries.
    """

    def __init__(self, queries: int, frames_per_s: float) -> None:
        app = application()
        slower = app.requests_per_s * queries / frames_per_s
        started = thread_time()
        self.monitor: SloMonitor = monitor(app, queries, slower)
        steps = max(2, min(STEPS, MOST_STEPS // queries))
        self.plane: Any = tracking(BlocksPlane, self.monitor, app, queries, slower, steps)
        self.starting_s = thread_time() - started
        self.now_s = 0

    def advance(self, until_s: int) -> float:
        """Advance second by second, as the world does; return the processor seconds taken."""
        spent_s = seconds_of(self.plane, self.monitor, self.now_s, until_s)
        self.now_s = until_s
        return spent_s

    @property
    def completed(self) -> int:
        """Number of completed frames."""
        return self.monitor.outcomes[COMPLETED]


def by_number() -> list[dict[str, float]]:
    """Return rates and memory by the number of queries."""
    rows = []
    for queries in SIZES:
        run = Run(queries, FRAMES_PER_S)
        run.advance(WARM_UP_S)
        before = run.completed
        spent_s = run.advance(WARM_UP_S + TIMED_S)
        done = run.completed - before
        rows.append(
            {
                "queries": queries,
                "visits_per_s": STATION_VISITS * done / spent_s,
                "starting_s": run.starting_s,
                "peak_mib": peak_mib(),
            }
        )
        print(
            f"{queries:>7,} queries: {STATION_VISITS * done / spent_s / 1e6:.1f} M station "
            f"visits/s, made in {run.starting_s:.1f} s, peak {peak_mib():,.0f} MiB",
            flush=True,
        )
    return rows


def stretch() -> dict[str, float]:
    """Return the time of an hour of 100,000 queries, also by part."""
    run, watch = Run(STRETCH, STRETCH_FRAMES_PER_S), Stopwatch()
    counts: Any = run.monitor
    counts.record = watch.on("counting", counts.record)
    counts.judge = watch.on("judging", counts.judge)
    usual: Any = SourceBook.fill
    SourceBook.fill = watch.on("drawing", usual)  # type: ignore[method-assign]
    run.plane._move = watch.on("moving", run.plane._move)  # which judging may ask for
    try:
        spent_s = 0.0
        for until_s in range(REPORT_S, HOUR_S + 1, REPORT_S):
            spent_s += run.advance(until_s)
            print(f"stretch, {until_s} s: {spent_s:.1f} s", flush=True)
    finally:
        SourceBook.fill = usual  # type: ignore[method-assign]
    del watch.spent_s["moving"]
    parts = {f"{part}_s": value for part, value in sorted(watch.spent_s.items())}
    return {
        "starting_s": run.starting_s,
        "spent_s": spent_s,
        "moving_s": spent_s - sum(watch.spent_s.values()),
        **parts,
        "frames": run.completed,
        "visits_per_s": STATION_VISITS * run.completed / spent_s,
        "peak_mib": peak_mib(),
    }


def measure() -> dict[str, Any]:
    """Return the figures."""
    return {
        "benchmark": "by_queries",
        "by_number": [{key: round(value, 1) for key, value in row.items()} for row in by_number()],
        "stretch": {key: round(value, 1) for key, value in stretch().items()},
    }
