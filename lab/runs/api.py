"""Simulations from Python: ``run`` returns a summary and every table."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import polars as pl
from omegaconf import DictConfig

from lab.common.console import times
from lab.common.errors import InputError, key_of
from lab.config import preflight
from lab.config.compose import Setup, compose, set_up
from lab.config.overrides import refuse_hydra
from lab.runs.run_directory import UNDER_WAY, RunDirectory, check_links, claim, held
from lab.runs.runner import ShowProgress, simulate
from lab.runs.warm_up import ready
from scenarios.scenario import Scenario
from sim.api.planner import Planner
from sim.controlplane.recording import Recorder, Recording

DEFAULT_PLANNER = "planner=cheapest_feasible"


@dataclass(frozen=True)
class Recorded:
    """What a run needs to be continued from any decision, see `lab.fork`."""

    setup: Setup  # with the planner as the only one
    recording: Recording


@dataclass(frozen=True, repr=False)
class Result:
    """The results of a run.

    Args:
        summary: the values of ``summary.json``.
        queries: one row per query.
        windows: one row per query and evaluation window.
        operators: one row per query, evaluation window and operator, with the parts of the latency.
        decisions: one row per decision of the planner, and one per deployment that a failure ended.
        offers: one row per plan that the planner logged.
        profiling: one row per profiling run.
        machines: one row per rental of a machine.
        allocations: one row per slot of a machine and deployment that held it.
        scenario: the simulated scenario.
        seed: the seed.
        requests: one row per request, if the configuration has ``requests=true``; else None.
        recorded: what `lab.fork` needs, if the run was recorded; else None.
    """

    summary: Mapping[str, Any]
    queries: pl.DataFrame
    windows: pl.DataFrame
    operators: pl.DataFrame
    decisions: pl.DataFrame
    offers: pl.DataFrame
    profiling: pl.DataFrame
    machines: pl.DataFrame
    allocations: pl.DataFrame
    scenario: Scenario
    seed: int
    requests: pl.DataFrame | None = None
    recorded: Recorded | None = None

    def __repr__(self) -> str:
        """Return a text with the main values, without the tables."""
        summary = self.summary
        return (
            f"Result({summary['planner']}, seed {self.seed}: {summary['status']}, service goodput "
            f"{summary['service_goodput_mean']:.4g} of {summary['active_queries_mean']:.4g} "
            f"queries, {len(self.windows):,} windows)"
        )


def run(
    overrides: Sequence[str] = (),
    planner: Planner | None = None,
    directory: str | PathLike[str] | None = None,
    record: bool = False,
    progress: ShowProgress = lambda _: None,
) -> Result:
    """Simulate one planner.

    Runs in one process are independent of each other. Warnings that the command would print, for
    example about a planner's exception or an SLO that no plan can meet, are issued as
    ``UserWarning``.

    Args:
        overrides: as on the command line, such as ``["workload.rate=0.2", "seed=1"]``.
        planner: the planner; by default the one that the overrides or their experiment choose, or
            else CheapestFeasible.
        directory: the run directory to write, without figures; by default, no directory is written.
        record: whether to record the planner's decisions, so that `lab.fork` can continue the run
            from any of them. The results are the same.
        progress: called with the simulated time in seconds, every ten seconds of it.

    Raises:
        InputError: the input is wrong; the message is one sentence.
        lab.limits.wall_limit.WallLimitError: the run took longer than ``max_wall_s``; the directory
            has the results until then.
    """
    if isinstance(overrides, str):
        raise InputError(f"overrides={overrides!r}: must be a list, such as [{overrides!r}]")
    if not isinstance(overrides, Sequence):
        raise InputError(f"overrides={overrides!r}: must be a list of texts KEY=VALUE")
    for override in overrides:
        if not isinstance(override, str):
            raise InputError(f"overrides: {override!r} must be a text KEY=VALUE")
        refuse_hydra(override, "use the argument directory to write results")
    if not isinstance(directory, str | PathLike | None):
        raise InputError(f"directory={directory!r}: must be a path")
    if planner is not None and not isinstance(planner, Planner):
        raise InputError(
            f"planner={planner!r}: must be an object of a class that derives from sim.Planner"
        )
    for override in overrides:
        if planner is not None and key_of(override).split(".")[0] == "planner":
            raise InputError(
                f"{override}: the planner is an object here; pass the parameters to its constructor"
            )
    overrides, config = composed(overrides)
    setup = set_up(config, overrides, planner)
    for sentence in preflight.warnings(setup):
        warnings.warn(sentence, stacklevel=2)
    setup = ready(setup, overrides, config)
    recorder = Recorder() if record else None
    place = None if directory is None else Path(directory)
    result = result_of(setup, place, recorder, progress)
    if errors := result.summary["planner_errors"]:
        first = result.summary["planner_error_first"]
        [name] = setup.planners
        warnings.warn(f"planner {name} raised {times(errors)}, first {first}", stacklevel=2)
    return result


def result_of(
    setup: Setup,
    directory: Path | None = None,
    recorder: Recorder | None = None,
    progress: ShowProgress = lambda _: None,
) -> Result:
    """Simulate the planner of a setup as `run` does, without its warnings."""
    if len(setup.planners) > 1:
        raise InputError(
            f"planner: run() simulates one planner, not {', '.join(setup.planners)}; name one by "
            "planner=NAME, or use lab.compare"
        )
    [(name, planner)] = setup.planners.items()
    parts: list[Mapping[str, pl.DataFrame]] = []
    sinks: list[Any] = [lambda frames, _: parts.append(frames)]
    with ExitStack() as until_done:
        if directory is not None:
            try:
                claim(directory, "directory")
                check_links(directory)
                until_done.enter_context(held(directory, f"directory={directory}: {UNDER_WAY}"))
                sinks.append(RunDirectory(directory, setup.saved_of(name)).add)
            except OSError as error:
                raise InputError(
                    f"directory={directory}: cannot be written: {error.strerror}"
                ) from None
        summary = simulate(setup, name, planner, sinks, progress, recorder=recorder)
    tables = {table: pl.concat([part[table] for part in parts]) for table in parts[0]}
    recorded = None if recorder is None else Recorded(setup, recorder.recording)
    scenario = setup.scenario()
    return Result(summary, **tables, scenario=scenario, seed=setup.seed, recorded=recorded)


def composed(overrides: Sequence[str]) -> tuple[list[str], DictConfig]:
    """Return overrides, with the default planner if they choose none, and the configuration."""
    config = compose(overrides)
    named = {"planner", "planner._target_"} & set(map(key_of, overrides))
    if named or config.planner.get("_target_") is not None:
        return list(overrides), config
    with_default = [DEFAULT_PLANNER, *overrides]
    return with_default, compose(with_default)
