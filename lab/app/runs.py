"""One run for the page, in a process of its own: an estimate while it goes on, and its figures."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl

from lab.analysis.run_data import mean_latency_s
from lab.app.forecast import QueryTime, expected_s, forecast_s, judged_windows, query_time_of
from lab.common.errors import InputError, one_line
from lab.config.compose import compose, set_up
from lab.reporting.animation.scene import Scene, scene
from lab.runs.run_directory import RunDirectory
from lab.runs.runner import simulate

FLUSH_S = 30.0
"""Simulated seconds between two looks at the windows of a run."""
FIRST_S = 0.7
"""Wall-clock seconds from a move to its first estimate, which the page then shows within 1 s."""
AGAIN_S = 0.5
"""Wall-clock seconds between two estimates."""


@dataclass(frozen=True)
class Task:
    """A run to make.

    Args:
        slot: place of the page in the table of newest moves.
        number: number of the move; numbers of later moves are larger.
        side: which of the two planners.
        seed: the seed.
        overrides: of the run, without the seed.
        asked_s: time of the move, by `time.monotonic`.
        earlier: query time of the last finished run of the same planner, if there is one.
        folder: where the results of seed 0 are kept, each in a directory of its own; None for
            nowhere.
    """

    slot: int
    number: int
    side: int
    seed: int
    overrides: tuple[str, ...]
    asked_s: float
    earlier: QueryTime | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Figures:
    """What is known of a run.

    Args:
        numbers: values of the summary by name, and ``latency_mean_s``; of an unfinished run, only
            an estimate of ``service_goodput_mean``, and ``active_queries_mean``.
        simulated_s: simulated time so far.
        query_time: query time by window, of a finished run.
        scene: what happens, of a finished run with seed 0.
        directory: where its results are kept, if they are.
    """

    numbers: Mapping[str, Any]
    simulated_s: float
    query_time: QueryTime | None = None
    scene: Scene | None = None
    directory: Path | None = None


@dataclass(frozen=True)
class Message:
    """What a process says of a task: figures, or in a sentence why there are none.

    Without both, it says how many functions it has compiled so far; None if it compiles nothing.
    """

    slot: int
    number: int
    side: int
    seed: int
    figures: Figures | None = None
    refused: str = ""
    overrides: tuple[str, ...] = ()
    compiled: int | None = None


class Superseded(BaseException):
    """A newer move makes this run unnecessary."""


def run(task: Task, newest: Sequence[int], say: Callable[[Message], Any]) -> None:
    """Make a run unless there is a newer move; pass messages about it to `say`.

    Args:
        task: the run to make.
        newest: number of the newest move of each page.
        say: gets each `Message`.
    """

    def check(_: float = 0.0) -> None:
        if newest[task.slot] != task.number:
            raise Superseded

    def message(**parts: Any) -> None:
        say(
            Message(task.slot, task.number, task.side, task.seed, **parts, overrides=task.overrides)
        )

    try:
        check()
        message(figures=_figures(task, check, message))
    except Superseded:
        pass
    except InputError as error:
        message(refused=str(error))
    except Exception as error:  # The page goes on, and says why this answer is missing.
        message(refused=f"this run failed: {type(error).__name__}: {one_line(error)}")


def _figures(task: Task, check: Callable[[float], None], message: Callable[..., None]) -> Figures:
    """Return the figures of a run; pass estimates on while it goes on."""
    overrides = [*task.overrides, f"seed={task.seed}"]
    setup = replace(set_up(compose(overrides), overrides), flush_every_s=FLUSH_S)
    [(name, planner)] = setup.planners.items()
    scenario = setup.scenario()
    expected = expected_s(scenario, setup.seed)
    parts: list[Mapping[str, pl.DataFrame]] = []
    due_s = task.asked_s + FIRST_S

    def take(frames: Mapping[str, pl.DataFrame], summary: Mapping[str, Any]) -> None:
        nonlocal due_s
        parts.append(frames)
        if summary["status"] == "running" and task.seed == 0 and time.monotonic() >= due_s:
            so_far = query_time_of(pl.concat(each["windows"] for each in parts), len(expected))
            if not expected[: judged_windows(so_far, expected)].any():
                return  # An estimate would say nothing of this run.
            due_s = time.monotonic() + AGAIN_S
            good_s = forecast_s(so_far, expected, task.earlier)
            numbers = {
                "service_goodput_mean": good_s / scenario.horizon_s,
                "active_queries_mean": float(expected.sum()) / scenario.horizon_s,
            }
            message(figures=Figures(numbers, summary["simulated_s"]))

    summary = simulate(setup, name, planner, [take], progress=check)
    tables = {each: pl.concat(part[each] for part in parts) for each in parts[0]}
    latency_s = mean_latency_s(tables["windows"].lazy(), tables["operators"].lazy())
    figures = Figures(
        {**summary, "latency_mean_s": latency_s},
        summary["simulated_s"],
        query_time_of(tables["windows"], len(expected)),
    )
    if task.seed:
        return figures
    events = [(one.kind, one.at_s) for one in scenario.drift.in_order()]
    drawn = scene(tables, f"{name}, seed 0", scenario.horizon_s, events)
    directory = None
    if task.folder is not None:
        directory = Path(mkdtemp(dir=task.folder))
        RunDirectory(directory, setup.saved_of(name)).add(tables, summary)
    return replace(figures, scene=drawn, directory=directory)
