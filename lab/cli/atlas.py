"""The tool ``compass-lab atlas``: which planner is best in which regime."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lab.atlas.advice import Tree, share, shares, tree, verdicts, words_of
from lab.atlas.axes import design
from lab.atlas.pictures import draw_pairs
from lab.atlas.place import PLACES, Placed, counted, place
from lab.atlas.race import METRICS
from lab.atlas.rerun import Again, compared, full_length, rerun
from lab.atlas.reversals import Runs, reversals
from lab.atlas.runs import Atlas, Plan
from lab.atlas.verdicts import Outcome
from lab.common.console import say
from lab.common.errors import InputError, choices
from lab.common.options import planner_names
from lab.reporting.markdown import table
from lab.run_cache.jobs import RunError, at_a_time

OK, FAILED = 0, 1
MAIN = ("compass", "videostorm_60s", "vulcan", "jellybean", "greedy", "cheapest_feasible")
TABLE, MOST_CELLS = "verdicts.parquet", 100_000


def atlas(options: argparse.Namespace) -> int:
    """Extend an atlas or use a finished one; return the exit status."""
    try:
        return _atlas(options)
    except RunError as error:
        print(f"compass-lab: {error}", file=sys.stderr)
        return FAILED


def _atlas(options: argparse.Namespace) -> int:
    if not 1 <= options.cells <= MOST_CELLS:
        raise InputError(f"--cells {options.cells}: must be from 1 to {MOST_CELLS:,}")
    if options.rerun is not None and options.rerun < 1:
        raise InputError(f"--rerun {options.rerun}: must be 1 or more")
    if options.design_seed < 0:
        raise InputError(f"--design-seed {options.design_seed}: must not be negative")
    if not options.hours > 0:
        raise InputError(f"--hours {options.hours:g}: must be above 0")
    wanted = ("place", options.place), ("rerun", options.rerun), ("reversals", options.reversals)
    given = [f"--{name}" for name, value in wanted if value]
    if len(given) > 1:
        raise InputError(f"{given[0]}: cannot be combined with {given[1]}")
    planners = tuple(options.planners.split(",")) if options.planners else MAIN
    _check(planners)
    processes, until_s = at_a_time(options.jobs), options.hours * 3600
    if options.reversals:
        return _reversals(options.out, planners, processes)
    made = Atlas(options.out, Plan(planners, options.design_seed))
    if options.place:
        return _place(made, options.place, processes, until_s)
    if options.rerun:
        return _rerun(made, options.rerun, processes, until_s)
    cells = dict(enumerate(design(options.cells, options.design_seed)))
    with made.locked():
        if made.stale:
            say(f"behaviour versions have changed, so runs are made again: {', '.join(made.stale)}")
        failures = made.extend(cells, processes, until_s)
    _check_finished(made.rows, failures)
    found = verdicts(made.frame, made.plan)
    found.write_parquet(options.out / TABLE)
    say(
        f"{len(found)} cells, {made.frame.height} runs, {made.wall_s / 3600:.2f} hours; "
        f"{max(0, options.cells - len(found))} cells are left, and {made.unfinished} would get "
        "more seeds\n"
    )
    for metric in METRICS:
        describe(found, planners, metric)
        draw_pairs(found, metric, planners, options.out / "pictures" / metric)
    say(f"\n{options.out}: {TABLE}, atlas.parquet, pictures/")
    return FAILED if failures else OK


def describe(found: pl.DataFrame, planners: Sequence[str], metric: str) -> None:
    """Print how often each planner is best by a metric, and the decision tree."""
    undecided = share(found, metric, Outcome.UNDECIDED)
    say(f"By {metric.replace('_', ' ')}; {undecided:.0%} of cells are undecided:\n")
    rows = shares(found, planners, metric).iter_rows()
    heads = ["planner", "wins", "ties with the best", "may be the best"]
    for line in table(heads, ([name, *(f"{part:.0%}" for part in parts)] for name, *parts in rows)):
        say(line)
    for line in tree_in_words(tree(found, metric)):
        say(line)


def tree_in_words(fitted: Tree | None) -> list[str]:
    """Return a tree as lines of text."""
    if fitted is None:
        return ["", "Too few cells are decided for a decision tree."]
    return [
        "",
        *(f"- {words_of(leaf)}" for leaf in fitted.leaves),
        "",
        f"On {fitted.tested} held-out cells, the tree is right in {fitted.accuracy:.0%}; "
        f'"{fitted.always}" everywhere would be right in {fitted.always_accuracy:.0%}.',
        "",
    ]


def _place(made: Atlas, planner: str, processes: int, until_s: float) -> int:
    _check_exists(made)
    known = planner_names()
    if "." not in planner and planner not in known:
        raise InputError(f"--place {planner}: there is no such planner; {choices(planner, known)}")
    placed, failures = place(planner, made, processes, until_s)
    for sentence in failures:
        say(f"  {sentence}")
    _check_finished(placed, failures)
    by_app: dict[str, list[Placed]] = {}
    for each in placed:
        by_app.setdefault(str(each.cell.values["application"]), []).append(each)
    say(f"{planner} against the best planner of each cell, by goodput, in {len(placed)} cells:\n")
    rows = [["all", *counted(placed).values()]]
    rows += [[name, *counted(each).values()] for name, each in sorted(by_app.items())]
    for line in table(["application", *PLACES], rows):
        say(line)
    return FAILED if failures else OK


def _reversals(out: Path, planners: Sequence[str], processes: int) -> int:
    cache = out / "reversals"
    cache.mkdir(parents=True, exist_ok=True)
    found = reversals(planners, Runs(cache, processes))
    table_ = pl.DataFrame(
        [
            {
                "ahead": each.ahead,
                "behind": each.behind,
                "change": each.change and each.change.words,
                "size": each.change and each.change.size,
                "ratio": each.ratio,
                "ordered": each.ordered,
            }
            for each in found
        ],
        infer_schema_length=None,
    )
    table_.write_parquet(out / "reversals.parquet")
    for row in table_.iter_rows(named=True):
        what = row["change"] or "none of the tried changes"
        if not row["ordered"]:
            say(f"{row['ahead']} is not surely ahead of {row['behind']} in the default scene")
            continue
        say(f"{row['ahead']} is ahead of {row['behind']}; the order reverses where: {what}")
    return OK


def _rerun(made: Atlas, count: int, processes: int, until_s: float) -> int:
    _check_exists(made)
    again = full_length(made)
    failures = rerun(made, again, count, processes, until_s)
    if not again.rows:
        raise InputError("no cell was rerun: no cell is decided, or --hours is too short")
    found = compared(made, again)
    found.write_parquet(made.directory / "rerun.parquet")
    many = {each: int((found["again"] == each).sum()) for each in Again}
    say(
        f"{len(found)} cells at full length: {many[Again.SAME]} have the same verdict, "
        f"{many[Again.POSSIBLE]} are undecided but can have it, {many[Again.OTHER]} have another"
    )
    return FAILED if failures else OK


def _check(planners: Sequence[str]) -> None:
    known = planner_names()
    for name in planners:
        if name not in known:
            raise InputError(f"--planners {name}: there is no such planner; {choices(name, known)}")
    if len(planners) < 2 or len(set(planners)) < len(planners):
        raise InputError(f"--planners {','.join(planners)}: name two or more different planners")


def _check_finished(finished: Sequence[object], failures: Sequence[str]) -> None:
    if not finished:
        why = f"the first failure: {failures[0]}" if failures else "give more --hours"
        raise InputError(f"no cell was finished; {why}")


def _check_exists(made: Atlas) -> None:
    if not made.rows:
        raise InputError(f"--out {made.directory}: has no atlas; make one by compass-lab atlas")
