"""Simulations from Python: ``run`` returns a summary and every table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lab.compose import compose, set_up
from lab.errors import InputError
from lab.run_directory import RunDirectory, claim
from lab.runner import simulate
from scenarios.scenario import Scenario
from sim.planner import Planner


@dataclass(frozen=True)
class Result:
    """What a run showed.

    Args:
        summary: the figures of ``summary.json``.
        queries: one row per query.
        windows: one row per query and evaluation window.
        operators: where the latency of each window went, by operator.
        decisions: one row per decision of the planner.
        profiling: one row per profiling run.
        scenario: what was simulated.
        seed: the seed.
    """

    summary: Mapping[str, Any]
    queries: pl.DataFrame
    windows: pl.DataFrame
    operators: pl.DataFrame
    decisions: pl.DataFrame
    profiling: pl.DataFrame
    scenario: Scenario
    seed: int


def run(
    overrides: Sequence[str] = (), planner: Planner | None = None, directory: Path | None = None
) -> Result:
    """Simulate one planner.

    Runs do not touch each other, however many one process makes.

    Args:
        overrides: overrides as on the command line, such as ``["workload.rate=0.2", "seed=1"]``.
        planner: the planner; without one, that of the overrides, or else CheapestFeasible.
        directory: also write a run directory there, without figures.

    Raises:
        InputError: something in the input is wrong; the message is one sentence.
    """
    if isinstance(overrides, str):
        raise InputError(f"overrides={overrides!r}: must be a list, such as [{overrides!r}]")
    if planner is not None and not isinstance(planner, Planner):
        raise InputError(
            f"planner={planner!r}: must be an object of a class that derives from sim.Planner"
        )
    overrides = list(overrides)
    named = ("planner=", "planner._target_=")
    if not any(override.startswith(named) for override in overrides):
        overrides.insert(0, "planner=cheapest_feasible")
    setup = set_up(compose(overrides), overrides, planner)
    if len(setup.planners) > 1:
        raise InputError(
            f"planner: run() simulates one planner, not {', '.join(setup.planners)}; name one by "
            "planner=NAME, or use lab.compare"
        )
    [(name, chosen)] = setup.planners.items()
    parts: list[Mapping[str, pl.DataFrame]] = []
    sinks: list[Any] = [lambda frames, _: parts.append(frames)]
    if directory is not None:
        claim(Path(directory))
        sinks.append(RunDirectory(Path(directory), setup.config_of(name)).add)
    summary = simulate(setup, name, chosen, sinks)
    tables = {table: pl.concat([part[table] for part in parts]) for table in parts[0]}
    return Result(summary, **tables, scenario=setup.scenario(), seed=setup.seed)
