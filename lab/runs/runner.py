"""Simulates one planner in one scenario, and passes results to sinks at every flush."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from lab.common.wall_limit import KEY, TimeUp, WallLimit, WallLimitError
from lab.config.compose import Setup
from lab.runs.summary import Tally, summarise
from scenarios.compiled import working_s
from sim.api.planner import Planner
from sim.controlplane.world import World
from sim.dataplane.base.recorders import RequestLog
from sim.metrics.request_table import REQUESTS, request_frame
from sim.planning.profiling_log import ProfilingLog

STEP_S = 10.0
MOST_REQUESTS = 200_000
"""If more requests than this are in memory at the end of a step, results are passed on."""

Sink = Callable[[Mapping[str, pl.DataFrame], Mapping[str, Any]], None]
ShowProgress = Callable[[float], None]


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit linear algebra to one thread; this also works as a decorator.

    The number of threads changes the last bits of sums, and threads slow down small matrices.
    """
    import scipy.linalg  # noqa: F401 -- the limits apply only to libraries already loaded
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _hidden(frame: pl.DataFrame, setup: Setup) -> pl.DataFrame:
    """Return a table without values of the environment, such as in the text of an exception."""
    for column in frame.select(pl.col(pl.String)):
        texts = column.unique().drop_nulls().to_list()
        hidden = {one: setup.environment.hidden(one) for one in texts}
        frame = frame.with_columns(column.replace(hidden))
    return frame


@single_threaded()
def simulate(
    setup: Setup,
    name: str,
    planner: Planner,
    sinks: Sequence[Sink],
    progress: ShowProgress = lambda _: None,
    profiling_log: ProfilingLog | None = None,
) -> dict[str, Any]:
    """Simulate one planner to the horizon, and return the summary.

    At every flush, each sink is called with the new rows of every table and the summary so far.
    `progress` is called with the simulated time in seconds. `profiling_log` has the records of a
    resumed run. Raises WallLimitError at the setup's limit; by then, sinks have received the
    results up to the limit.
    """
    scenario = setup.scenario()
    started = working_s()
    limit = WallLimit(setup.max_wall_s)
    operators = [operator.name for operator in scenario.application.operators]
    log = RequestLog(len(operators))
    listeners = [log] if setup.requests else []
    world = World(scenario, planner, setup.seed, setup.data_plane, profiling_log, listeners)
    tally = Tally()
    summary: dict[str, Any] = {}

    def flush(status: str) -> None:
        nonlocal summary
        frames = world.tables.take()
        if setup.requests:
            frames[REQUESTS] = request_frame(log.take(), operators)
        tally.add(frames)
        if setup.environment.variables:
            frames = {each: _hidden(frame, setup) for each, frame in frames.items()}
        if status == "finished" and world.planner_errors and not tally.deployed:
            status = "failed"  # The planner raised at every call.
        summary = summarise(world, tally, name, status, working_s() - started)
        summary = setup.summary_of(name, summary)
        for sink in sinks:
            sink(frames, summary)

    reached_s, next_flush_s, horizon_s = 0.0, setup.flush_every_s, scenario.horizon_s
    try:
        flush("running")
        while reached_s < horizon_s:
            reached_s = min(reached_s + STEP_S, next_flush_s, horizon_s)
            with limit.enforced():
                world.run(reached_s)
            progress(reached_s)
            due = reached_s == next_flush_s
            if due:
                next_flush_s += setup.flush_every_s
            if (due or log.count > MOST_REQUESTS) and reached_s < horizon_s:
                flush("running")
        flush("finished")
    except KeyboardInterrupt:
        flush("interrupted")
        raise
    except TimeUp:
        flush("failed")
        raise WallLimitError(
            f"{KEY}={setup.max_wall_s:g}: the run of {name} reached this limit at "
            f"{world.now_s:g} of {horizon_s:g} simulated s; the results until then are kept"
        ) from None
    except BaseException:
        flush("failed")
        raise
    return summary
