"""The command ``compass-lab report``."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lab.analysis.sweep_analysis import analyse
from lab.analysis.sweep_frames import Sweep, read_sweep
from lab.behaviour import difference
from lab.cli.run import draw
from lab.common.console import say, show_errors, show_table, warn
from lab.common.errors import InputError, why_not
from lab.config.settings import REPORT
from lab.reporting import sweep_figures
from lab.reporting.animation import export
from lab.reporting.page import behaviours, linked_figures, page, problems, some
from lab.reporting.tables import write_frames
from lab.runs.run_directory import never_ran, read_run_summary, write_aside

PAGE = "index.html"


def report(options: argparse.Namespace) -> int:
    """Print the tables of a sweep, and write its figures, frames and page."""
    directory: Path = options.directory
    sweep = read_sweep(directory)
    analysis = analyse(sweep)
    folder = directory / REPORT
    group = _only_group(sweep)
    if group is None:
        for setting, comparison in analysis.comparisons.items():
            title = f"{directory}{': ' if setting else ''}{setting}"
            say(f"{replace(comparison, scenario=title).tables()}\n")
        for sentence in problems(analysis):
            say(f"{sentence}\n")
    else:
        for sentence in _jobs_without(sweep, group):
            say(sentence)
        summaries = [read_run_summary(directory / run) for run in sweep.runs["run"]]
        try:
            show_table(summaries, f"{group}, seed {summaries[0]['seed']}", options.all)
            show_errors(summaries)
        except KeyError as error:  # An older version wrote fewer values.
            raise InputError(
                f"DIR={group}: a summary is not of this version: it has no {error.args[0]}"
            ) from None
        if missing := never_ran(group):
            warn(f"{group}: {missing}")
        names = [str(name) for name in sweep.runs["planner"]]
        if sweep.compared:
            names = [Path(run).name for run in sweep.runs["run"]]
        if sentence := difference(behaviours(sweep.runs)):
            warn(f"{group}: {sentence}")
        draw(group, names, alone=not sweep.compared)
    own = [] if group is None else sorted((group / "figures").glob("*.png"))
    try:
        drawings = sweep_figures.draw(analysis, folder / "figures")
        large = write_frames(analysis, folder)
        runs = [] if group is None else [directory / str(run) for run in sweep.runs["run"]]
        animations = list(export.small(runs))
        text = page(analysis, drawings, folder / "figures", own, large, animations)
        # Only figures that the previous page links to are deleted; others can be the user's.
        path = folder / PAGE
        previous = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        stale = linked_figures(previous) - linked_figures(text)
        write_aside(path, text)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"DIR={directory}: the report cannot be written: {why_not(error)}"
        ) from None
    say(f"report: {path}")
    return 0


def _only_group(sweep: Sweep) -> Path | None:
    """Return the directory of the only run or comparison; None for a sweep with several."""
    runs = [sweep.directory / str(run) for run in sweep.runs["run"]]
    if len(runs) == 1 and not sweep.compared:
        return runs[0]
    if len(sweep.compared) == 1 and all(run.parent == sweep.compared[0] for run in runs):
        return sweep.compared[0]
    return None


def _jobs_without(sweep: Sweep, group: Path) -> Iterator[str]:
    """Yield sentences on the failed and missing jobs of a sweep with one successful job."""
    own = group.relative_to(sweep.directory)
    others = [
        row for row in sweep.without.rows() if own not in (Path(row[0]), *Path(row[0]).parents)
    ]
    for status in ("failed", "missing"):
        named = [f"{run} ({why})" for run, kind, why in others if kind == status]
        if named:
            yield f"{len(named):,} of {len(others) + 1:,} jobs {status}: {some(named)}"
