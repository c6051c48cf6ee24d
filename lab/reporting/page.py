"""The page of a report, one self-contained HTML file."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lab.analysis.settings import short_texts, text_of
from lab.analysis.sweep_analysis import Analysis, planners_of
from lab.behaviour import difference, told
from lab.common.formatting import count
from lab.reporting.animation.export import Frame
from lab.reporting.claims import claims
from lab.reporting.render import render
from lab.reporting.sweep_figures import Drawing
from lab.reporting.tables import tables
from lab.version import __version__

MOST_LISTED = 12


def page(
    analysis: Analysis,
    drawings: Sequence[Drawing],
    folder: Path,
    own: Sequence[Path],
    large: Sequence[str],
    animations: Sequence[tuple[str, Frame]] = (),
) -> str:
    """Return the page as HTML with embedded pictures; `large` names tables too large to write.

    Each of the `animations` is a planner's name and what happened in its run.
    """
    sweep = analysis.sweep
    return render(
        "report.html.jinja",
        title=f"Report on {sweep.directory.absolute().name}",
        counts=counts(analysis),
        planners=planners_of(sweep),
        alone=sweep.runs.height == 1,
        seeds=_seeds(sorted(set(sweep.runs["seed"]))),
        fixed=", ".join(f"{key}={text_of(value)}" for key, value in sweep.fixed.items()),
        keys=list(_keys(analysis)),
        problems=list(problems(analysis)),
        claims=list(claims(analysis)),
        drawings=drawings,
        folder=folder,
        own=own,
        tables=list(tables(analysis)),
        opened=2,
        large=large,
        animations=animations,
        version=__version__,
        behaviour=told(*behaviours(analysis.sweep.runs)),
    )


def linked_figures(text: str) -> set[str]:
    """Return the relative paths of the figure files that a page links to."""
    return set(re.findall(r'href="(figures/\w+\.(?:svg|png))"', text))


def counts(analysis: Analysis) -> str:
    """Return in words how many runs there are and how many of them finished."""
    sweep = analysis.sweep
    done = pl.col("status") == "finished"
    parts = [f"{sweep.runs.height:,} with results, {sweep.runs.filter(done).height:,} finished"]
    for status, part in sweep.runs.filter(~done).group_by("status", maintain_order=True):
        parts.append(f"{part.height:,} {status[0]}")
    for status, part in sweep.without.group_by("status", maintain_order=True):
        words = "failed without results" if status[0] == "failed" else status[0]
        parts.append(f"{part.height:,} {words}")
    return ", ".join(parts)


def problems(analysis: Analysis) -> Iterator[str]:
    """Yield sentences on runs that did not finish or have no results."""
    sweep = analysis.sweep
    cut = sweep.runs.filter(~pl.col("finished"))
    if cut.height:
        named = [
            f"{row['run']} ({row['status']} at {row['simulated_s']:,.0f} of "
            f"{row['horizon_s']:,.0f} s)"
            for row in cut.iter_rows(named=True)
        ]
        yield f"Left out, because they did not finish: {some(named)}."
    failed = sweep.runs.filter("finished", status="failed")
    if failed.height:
        named = [
            f"{row['run']} ({row['planner']}: {row.get('planner_error_first') or 'never deployed'})"
            for row in failed.iter_rows(named=True)
        ]
        yield (
            "Failed, because the planner raised errors and deployed nothing; they are counted "
            f"nevertheless: {some(named)}."
        )
    for status, words in (("failed", "Failed without results"), ("missing", "Missing")):
        found = sweep.without.filter(status=status)
        if found.height:
            yield f"{words}: {some([f'{run} ({why})' for run, _, why in found.rows()])}."
    yield from _several_versions(sweep.runs)
    if sentence := difference(behaviours(sweep.runs)):
        yield f"Warning: {sentence}."
    twice = int(sweep.runs["finished"].sum()) - sweep.finished.height
    if twice:
        yield (
            f"{count(twice, 'finished run')} repeated the planner, setting and seed of "
            "another; only the last of each counts."
        )


def behaviours(runs: pl.DataFrame) -> list[Any]:
    """Return the behaviour versions of runs; None for those written before versions existed."""
    noted = runs["behaviour"] if "behaviour" in runs.columns else [None] * runs.height
    return [None if each is None else json.loads(str(each)) for each in noted]


def _several_versions(runs: pl.DataFrame) -> Iterator[str]:
    """Yield a sentence if runs have different or unknown versions of packages."""
    if "versions" not in runs.columns or runs["versions"].n_unique() == 1:
        return
    groups = list(runs.group_by("versions", maintain_order=True))
    known = [json.loads(str(noted)) for (noted,), _ in groups if noted is not None]
    names = dict.fromkeys(name for one in known for name in one)
    unlike = [name for name in names if len({one.get(name) for one in known}) > 1]
    parts = []
    for (noted,), part in groups:
        theirs = {} if noted is None else json.loads(str(noted))
        named = [f"{name} {theirs[name]}" for name in unlike or ["compass-sim"] if name in theirs]
        parts.append(f"{', '.join(named) or 'not recorded'} ({some(part['run'].to_list(), ', ')})")
    yield f"Runs have several versions, so they may differ for that reason: {'; '.join(parts)}."


def some(names: Sequence[str], between: str = "; ") -> str:
    """Return names as one text; if there are many, only the first ones."""
    more = len(names) - MOST_LISTED
    return between.join([*names[:MOST_LISTED], *([f"and {more:,} more"] if more > 0 else [])])


def _seeds(seeds: list[int]) -> str:
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return some(list(map(str, seeds)), ", ")


def _keys(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield the varied keys, with their values and the keys that change together with them."""
    for key, along in analysis.sweep.keys.items():
        column = analysis.sweep.settings[key].unique(maintain_order=True)
        values = (column.sort() if column.dtype.is_numeric() else column).to_list()
        texts = [text_of(value) for value in values]
        named = [
            text
            if short in (text, f"{value:.6g}" if isinstance(value, float) else text)
            else f"{short}: {text}"
            for value, text, short in zip(values, texts, short_texts(values), strict=True)
        ]
        yield {
            "name": key,
            "choices": some(named, "; " if any(", " in name for name in named) else ", "),
            "along": ", ".join(along[:MOST_LISTED]),
        }
