"""Terminal output: progress during a run, and tables at its end."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)
from rich.table import Table

from hardware_models.errors import escaped
from lab.common.errors import printable

PIPE_WIDTH = 10_000  # Wide enough to print every table unfolded.
FEW = 10
"""Largest number of configurations that are composed without showing a progress bar."""
WARNING = "compass-sim: warning: "
"""Prefix of warnings."""
DETAILS = ("in flight", "planning, wall", "of it idle")
"""Rows of the result table that only ``--all`` shows."""
WHOLE = ("status", "simulated")
"""Rows that only ``--all`` shows if every run finished."""
Report = Mapping[str, Any]
Item = TypeVar("Item")


def console(pipe_width: int = PIPE_WIDTH) -> Console:
    """Return a console on standard output that prints text as it is, without Rich's markup.

    If the output is not a terminal, lines are `pipe_width` characters wide.
    """
    literal: dict[str, Any] = {"file": sys.stdout, "markup": False, "emoji": False}
    if sys.stdout.isatty():
        return Console(**literal)
    plain: dict[str, Any] = {
        "force_terminal": False,
        "no_color": True,
        "color_system": None,
        "width": pipe_width,
    }
    return Console(**literal, **plain)


def warn(sentence: str) -> None:
    """Print a warning of one sentence to standard error."""
    print(f"{WARNING}{printable(sentence)}", file=sys.stderr)


def complain(sentence: str) -> None:
    """Print an error of one sentence to standard error."""
    print(f"compass-sim: {printable(sentence)}", file=sys.stderr)


@contextmanager
def live_progress(planner: str, horizon_s: float) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on a terminal; yield a function that sets the simulated seconds."""
    screen = console()
    if not screen.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} s simulated"),
        TextColumn("{task.fields[rate]:,.0f} s per second"),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    started = perf_counter()
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(planner, total=horizon_s, rate=0.0)

        def advance(now_s: float) -> None:
            wall_s = max(perf_counter() - started, 1e-9)
            bar.update(task, completed=now_s, rate=now_s / wall_s)

        yield advance


@contextmanager
def sweep_progress(runs: int | None = None) -> Iterator[Callable[[str, str], None]]:
    """Show a progress bar of runs; yield a function that prints the output of a run."""
    screen, out, err = console(), sys.stdout, sys.stderr
    if not screen.is_terminal:

        def write(printed: str, complained: str) -> None:
            for text, stream in ((printed, out), (complained, err)):
                stream.write(text)
                stream.flush()

        yield write
        return
    columns = (
        TextColumn("sweep"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}" + ("" if runs is None else f" of {runs:,}") + " runs"),
        TimeElapsedColumn(),
        *(() if runs is None else (TextColumn("left"), TimeRemainingColumn())),
    )
    with Progress(*columns, console=screen, transient=True, redirect_stderr=err.isatty()) as bar:
        task = bar.add_task("", total=runs)

        def show(printed: str, complained: str) -> None:
            if not err.isatty():
                err.write(complained)
                complained = ""
            if text := (printed + complained).rstrip("\n"):
                screen.print(text, highlight=False, soft_wrap=True)
            bar.advance(task)

        yield show


def composing(each: Sequence[Item]) -> Iterable[Item]:
    """Iterate over items; show a progress bar on standard error if there are many."""
    screen = Console(stderr=True)
    hidden = not screen.is_terminal or len(each) <= FEW
    return track(each, "composing", console=screen, transient=True, disable=hidden)


def _number(value: float | None, digits: int = 2) -> str:
    return "not reached" if value is None else f"{value:,.{digits}f}"


def _rows(one: Report) -> dict[str, str]:
    """Return the cells of one planner's column in the result table, by row label."""
    met, profiling_usd = one["slo_met_fraction"], one.get("profiling_cost_usd")
    best = one.get("goodput_bound")
    unfinished = {key: one[key] for key in ("unserved", "dropped", "shed", "lost", "in_flight")}
    return {
        "status": one["status"],
        "simulated": f"{one['simulated_s']:,.0f} of {one['horizon_s']:,.0f} s",
        "service goodput, queries": f"{_number(one['service_goodput_mean'])} of "
        f"{_number(one['active_queries_mean'])} active",
        "SLO met, share of time": "no queries" if met is None else f"{100 * met:.1f} %",
        "best possible": "not known" if best is None else f"{100 * best:.1f} %",
        "queries": f"{one['queries']:,}",
        "response time, median": "no queries"
        if met is None
        else _number(one["response_time_p50_s"])
        + (" s" if one["response_time_p50_s"] is not None else ""),
        "without a response": f"{one['response_censored']:,}",
        "false acceptances": f"{one['false_acceptances']:,}",
        "requests": f"{one['requests']:,}",
        "completed": f"{one['completed']:,}",
        **{name.replace("_", " "): f"{count:,}" for name, count in unfinished.items()},
        "profiling, device-hours": _number(one["planning_device_hours"], 3),
        "planning, charged": f"{_number(one['planning_charged_s'], 1)} s",
        "planning, wall": f"{_number(one['planning_wall_s'], 1)} s",
        "cost": f"${_number(one['deployment_cost_usd'])}",
        "of it idle": f"${_number(one['idle_cost_usd'])}",
        "profiling cost": f"${_number(profiling_usd)}" if profiling_usd else "0",
        "query-hours per dollar": _number(one.get("goodput_per_usd")),
        "planner errors": f"{one['planner_errors']:,}",
        "wall time": f"{_number(one['wall_s'], 1)} s",
    }


def show_table(summaries: Sequence[Report], title: str, every_row: bool = False) -> None:
    """Print summaries as a table with a column per planner; `title` heads the first column.

    Without `every_row`, the rows in `DETAILS` and rows that are zero for every planner are left
    out. There is no table without summaries.
    """
    if not summaries:
        return
    table = Table()
    table.add_column(escaped(title), overflow="fold")
    for one in summaries:
        bound = " (sees the truth)" if one.get("planner_sees_truth") else ""
        table.add_column(f"{one['planner']}{bound}", justify="right", overflow="fold")
    columns = [_rows(one) for one in summaries]
    whole = all(one["status"] == "finished" for one in summaries)
    details = {*DETAILS, *(WHOLE if whole else ())}
    for label in columns[0]:
        cells = [column[label] for column in columns]
        if every_row or (label not in details and set(cells) != {"0"}):
            table.add_row(label, *cells)
    console().print(table)


def show_rows(
    heads: Iterable[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def times(count: int) -> str:
    """Return a count in words: "once" or "3 times"."""
    return "once" if count == 1 else f"{count:,} times"


def show_errors(summaries: Sequence[Report]) -> None:
    """Print a warning for each planner that raised an exception."""
    for one in summaries:
        if one["planner_errors"]:
            often = times(one["planner_errors"])
            warn(f"planner {one['planner']} raised {often}, first {one['planner_error_first']}")


def say(line: str) -> None:
    """Print lines to standard output, without markup or wrapping; names of files can be any."""
    shown = "\n".join(map(escaped, line.split("\n")))
    console().print(shown, highlight=False, soft_wrap=True)


def summary_line(one: Report) -> str:
    """Return a summary as one line."""
    met = one["slo_met_fraction"]
    share = "no queries" if met is None else f"SLO met {100 * met:.1f} % of the time"
    return (
        f"{one['planner']}: goodput {_number(one['service_goodput_mean'])} queries, {share}, "
        f"cost ${_number(one['deployment_cost_usd'])}, {_number(one['wall_s'], 1)} s of wall time"
    )
