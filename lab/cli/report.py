"""The command ``compass-lab report``."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.analysis.sweep_analysis import Analysis
    from lab.analysis.sweep_frames import Sweep

PAGE = "index.html"


def add_parser(tools: Any) -> None:
    """Add the subcommand to a parser."""
    parser = tools.add_parser(
        "report",
        help="compare the planners of a sweep: tables, figures, one page",
        description=(
            "Compare the planners of a sweep, a comparison or a run: tables here; figures, Parquet "
            "files and one HTML page in DIR/report."
        ),
    )
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="directory of a run or of a sweep"
    )
    parser.set_defaults(tool=report)


def report(options: argparse.Namespace) -> int:
    """Print tables of a sweep, and write its figures, its frames and its page."""
    from lab.analysis.sweep_analysis import analyse
    from lab.analysis.sweep_frames import read_sweep
    from lab.common.console import say, warn
    from lab.common.errors import InputError, why_not
    from lab.reporting.page import linked_figures, page
    from lab.reporting.sweep_figures import draw
    from lab.reporting.tables import write_frames
    from lab.runs.run_directory import REPORT, never_ran, write_aside

    directory: Path = options.directory
    sweep = read_sweep(directory)
    analysis = analyse(sweep)
    folder = directory / REPORT
    group = _only_group(sweep)
    if group is None:
        for part in _tables(analysis):
            say(f"{part}\n")
    else:
        for sentence in _jobs_without(sweep, group):
            say(sentence)
        _show(sweep, group)
        if missing := never_ran(group):
            warn(f"{group}: {missing}")
    own = [] if group is None else _draw_own(sweep, group)
    try:
        drawings = draw(analysis, folder / "figures")
        large = write_frames(analysis, folder)
        text = page(analysis, drawings, folder / "figures", own, large)
        # Only what the page before this one shows is surely no file of the user's.
        stale = linked_figures(_page_before(folder)) - linked_figures(text)
        write_aside(folder / PAGE, text)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"DIR={directory}: the report cannot be written: {why_not(error)}"
        ) from None
    say(f"report: {folder / PAGE}")
    return 0


def _page_before(folder: Path) -> str:
    """Return the page of an earlier report, or an empty text."""
    path = folder / PAGE
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _only_group(sweep: "Sweep") -> Path | None:
    """Return the directory of the only run, or of the only comparison; None for a sweep."""
    runs = [sweep.directory / str(run) for run in sweep.runs["run"]]
    if len(runs) == 1 and not sweep.compared:
        return runs[0]
    if len(sweep.compared) == 1 and all(run.parent == sweep.compared[0] for run in runs):
        return sweep.compared[0]
    return None


def _jobs_without(sweep: "Sweep", group: Path) -> Iterator[str]:
    """Yield sentences on the failed and missing jobs of a sweep with results of one job alone."""
    from lab.reporting.page import some

    own = group.relative_to(sweep.directory)
    others = [
        row for row in sweep.without.rows() if own not in (Path(row[0]), *Path(row[0]).parents)
    ]
    for status in ("failed", "missing"):
        named = [f"{run} ({why})" for run, kind, why in others if kind == status]
        if named:
            verb = (
                status if status == "failed" else f"{'is' if len(named) == 1 else 'are'} {status}"
            )
            yield f"{len(named):,} of {len(others) + 1:,} jobs {verb}: {some(named)}"


def _show(sweep: "Sweep", group: Path) -> None:
    """Print the table of a run, or of a comparison."""
    from lab.common.console import show_errors, show_table
    from lab.runs.run_directory import read_summary

    summaries = [read_summary(sweep.directory / run) for run in sweep.runs["run"]]
    show_table(summaries, f"{group}, seed {summaries[0]['seed']}")
    show_errors(summaries)


def _draw_own(sweep: "Sweep", group: Path) -> list[Path]:
    """Draw the figures of a run or a comparison by itself; return their paths."""
    from lab.cli.simulate import draw

    alone = not sweep.compared
    names = [str(name) for name in sweep.runs["planner"]]
    if not alone:
        names = [Path(run).name for run in sweep.runs["run"]]
    draw(group, names, alone)
    return sorted((group / "figures").glob("*.png"))


def _tables(analysis: "Analysis") -> Iterator[str]:
    """Yield the tables of a sweep, one for each setting, and what was left out."""
    from lab.reporting.page import problems

    for setting, comparison in analysis.comparisons.items():
        title = f"{analysis.sweep.directory}{': ' if setting else ''}{setting}"
        yield replace(comparison, scenario=title).tables()
    yield from problems(analysis)
