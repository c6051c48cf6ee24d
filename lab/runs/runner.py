"""Simulates one planner in one scenario, and passes results to sinks at every flush."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NoReturn

import polars as pl

from lab.config.compose import Setup
from lab.limits.guarded_call import from_elsewhere, guard_of, guarded_call
from lab.limits.wall_limit import CALL, RUN, TimeUp, WallLimit, WallLimitError
from lab.runs.goodput_bound import GoodputBound
from lab.runs.steady_state import cut_s
from lab.runs.summary import Tally, parameters_of, summarise
from scenarios.compiled import working_s
from sim.api.errors import PlannerError
from sim.api.planner import Planner, Settings
from sim.controlplane.planner_calls import errors_noted, settings_of
from sim.controlplane.recording import Recorder
from sim.controlplane.world import World
from sim.dataplane.base.recorders import RequestLog
from sim.metrics.request_table import REQUESTS, request_frame
from sim.planning.guard import Guard, exits_refused
from sim.planning.profiling_log import ProfilingLog
from sim.safe_text import class_name

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
    stuck: Callable[[str], NoReturn] | None = None,
    recorder: Recorder | None = None,
) -> dict[str, Any]:
    """Simulate one planner to the horizon, and return the summary.

    At every flush, each sink is called with the new rows of every table and the summary so far.
    `progress` is called with the simulated time in seconds. `profiling_log` has the records of a
    resumed run. `recorder` records what the planner does. Raises WallLimitError at a limit of the
    setup; by then, sinks have received the results up to the limit. If a planner cannot be stopped
    then, `stuck` is called with a sentence, in another thread; it ends the process. Raises
    PlannerError if the planner's settings cannot be read, or if it changed the simulator so that
    this failed.
    """

    def read() -> tuple[Settings, Any]:
        return settings_of(planner), parameters_of(planner)

    with exits_refused(), errors_noted(planner) as noted:
        guard, what = guard_of(from_elsewhere(planner)), f"reading the settings of planner {name}"
        settings, parameters = guarded_call(guard, setup.max_call_s, what, read, stuck)
        run = _Run(setup, name, planner, sinks, profiling_log, noted, guard, settings, parameters)
        if recorder is not None:
            recorder.begin(run.world)
        limit = WallLimit(setup.max_wall_s, setup.max_call_s, stuck and partial(run.give_up, stuck))
        run.limit, run.world.ending = limit, limit.ending
        with limit.watching(guard):
            run.to_horizon(progress)
    return run.summary


class _Run:
    """One run of a planner: its world, and what sinks get of it."""

    limit: WallLimit

    def __init__(
        self,
        setup: Setup,
        name: str,
        planner: Planner,
        sinks: Sequence[Sink],
        profiling_log: ProfilingLog | None,
        noted: list[str],
        guard: Guard,
        settings: Settings,
        parameters: Any,
    ) -> None:
        self.setup, self.name, self.sinks, self.noted = setup, name, sinks, noted
        self.parameters = parameters
        scenario = setup.scenario()
        self.started = working_s()
        self.operators = [operator.name for operator in scenario.application.operators]
        self.log = RequestLog(len(self.operators))
        listeners = [self.log] if setup.requests else []
        self.world = World(
            scenario,
            planner,
            setup.seed,
            setup.data_plane,
            profiling_log,
            listeners,
            guard,
            settings,
        )
        warm_up_s = cut_s(scenario, setup.seed)
        self.tally = Tally(warm_up_s)
        self.bound = GoodputBound(self.world, setup.bound_every_s, setup.bound_optimum, warm_up_s)
        self.summary: dict[str, Any] = {}
        self.spoilt = False  # whether the planner changed what all planners share

    def to_horizon(self, progress: ShowProgress) -> None:
        """Simulate to the horizon, and flush."""
        try:
            self.flush("running")
            self._advance(progress)
            self.flush("finished")
        except KeyboardInterrupt:
            self.flush("interrupted")
            raise
        except TimeUp:
            self.flush("failed")
            raise WallLimitError(f"{self._exceeded()}; the results until then are kept") from None
        except BaseException:
            self.flush("failed")
            if self.spoilt:  # This can be why the simulator failed.
                raise PlannerError(self.world.planner_errors[-1]) from None
            raise

    def _advance(self, progress: ShowProgress) -> None:
        every_s, horizon_s = self.setup.flush_every_s, self.world.scenario.horizon_s
        reached_s, next_flush_s = 0.0, every_s
        while reached_s < horizon_s:
            reached_s = min(reached_s + STEP_S, next_flush_s, self.bound.next_s, horizon_s)
            with self.limit.enforced():
                self.world.run(reached_s)
            self.bound.advance(reached_s)
            progress(reached_s)
            due = reached_s == next_flush_s
            if due:
                next_flush_s += every_s
            if (due or self.log.count > MOST_REQUESTS) and reached_s < horizon_s:
                self.flush("running")

    def flush(self, status: str) -> None:
        """Pass the new rows and the summary to the sinks."""
        world = self.world
        if (sentence := world.guard.check()) is not None:
            self.spoilt = True
            world.note_error("flush", f"PlannerError in {class_name(world.planner)}: {sentence}")
        for sentence in self.noted:
            world.note_error("thread", sentence)
        self.noted.clear()
        frames = world.tables.take()
        if self.setup.requests:
            frames[REQUESTS] = request_frame(self.log.take(), self.operators)
        self.tally.add(frames)
        if self.setup.environment.variables:
            frames = {each: _hidden(frame, self.setup) for each, frame in frames.items()}
        raised_always = world.planner_errors and not self.tally.deployed
        if status == "finished" and (self.spoilt or raised_always):
            status = "failed"
        wall_s = working_s() - self.started
        summary = summarise(world, self.tally, self.name, self.parameters, status, wall_s)
        summary |= self.bound.summary(summary["slo_met_fraction"])
        self.summary = self.setup.summary_of(self.name, summary)
        for sink in self.sinks:
            sink(frames, self.summary)

    def _exceeded(self) -> str:
        """Return a clause that says which limit was reached, where and when."""
        limit, horizon_s = self.limit, self.world.scenario.horizon_s
        key, what = RUN, f"the run of {self.name}"
        if limit.reached == CALL:
            key, what = CALL, f"one call of planner {self.name}"
        place = f" in {limit.place}" if limit.place else ""
        return (
            f"{key}={getattr(self.setup, key):g}: {what} reached this limit{place} at "
            f"{self.world.now_s:g} of {horizon_s:g} simulated s"
        )

    def give_up(self, stuck: Callable[[str], NoReturn]) -> NoReturn:
        """Flush from another thread, and call `stuck`, because the planner cannot be stopped."""
        with suppress(BaseException):
            self.flush("failed")
        stuck(
            f"{self._exceeded()} and cannot be stopped, so the program ends; the results until "
            "then are kept"
        )
