"""Figures of a sweep."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.figure import Figure

from lab.analysis.settings import APPLICATION, short_keys
from lab.analysis.sweep_analysis import Analysis, planners_of
from lab.common.console import warn
from lab.common.errors import one_line
from lab.common.metrics import GOODPUT
from lab.reporting.claims import leader
from lab.reporting.drawings.panels import MOST_BARS, MOST_PANELS, facets_text
from lab.reporting.drawings.planners import (
    by_key,
    differences_to,
    forest,
    over_time,
    planners_compared,
    title_of_all,
    trade_offs,
    trade_offs_text,
)
from lab.reporting.drawings.where_time_goes import (
    latency_by_operator,
    latency_by_planner,
    pooled_operators,
    time_of_queries,
    works_at_once,
)
from lab.reporting.plotting.style import save, style
from lab.reporting.tables import ONE_SEED

MOST_KEYS = 8
DOMINATED = (
    "Hollow: dominated, that is, another planner is at least as good in goodput, cost and response "
    "time and better in one of them."
)
AT_ONCE = " Some operators work simultaneously, so a request takes less time than their sum."
SUMMED_AT_ONCE = (
    "Simultaneous work counts for each operator; the mean latency of a request is in brackets. "
)
RC_PARAMS: Any = {  # Any, because Matplotlib's type lists every key.
    "svg.hashsalt": "compass-sim",  # Otherwise ids in SVG files are random.
    # Each figure chooses its layout.
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
}


@dataclass(frozen=True)
class Drawing:
    """A figure of a sweep."""

    name: str  # name of its files without `.png` or `.svg`
    title: str
    caption: str  # explains how to read it
    draw: Callable[[], Figure]


def draw(analysis: Analysis, folder: Path) -> list[Drawing]:
    """Draw all figures and return those drawn; equal analyses give byte-identical files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for one in _drawings(analysis):
        path = folder / f"{one.name}.png"
        try:
            with style(), mpl.rc_context(RC_PARAMS):
                figure = one.draw()
                save(figure, path)
                figure.set_layout_engine(None)  # The layout is done; do not repeat it.
                save(figure, path.with_suffix(".svg"))
        except Exception as error:  # A failure here does not affect the tables.
            warn(f"{path.name} could not be drawn ({type(error).__name__}: {one_line(error)})")
            continue
        drawn.append(one)
    return drawn


def _drawings(analysis: Analysis) -> Iterator[Drawing]:
    """Yield the figures for which an analysis has data."""
    sweep = analysis.sweep
    if not sweep.finished.height:
        return
    several = len(planners_of(sweep)) > 1
    names = short_keys(list(sweep.keys))
    for key, name in list(zip(sweep.keys, names, strict=True))[:MOST_KEYS]:
        if analysis.by_key[key].is_empty():
            continue
        others = " Means are also over the values of other keys." if len(sweep.keys) > 1 else ""
        yield Drawing(
            f"by_{_file_name(key)}",
            f"Planners by {name}",
            f"{_about_intervals(analysis.by_key[key])}{others}",
            lambda key=key: by_key(analysis, key),  # type: ignore[misc]
        )
    if not sweep.keys and analysis.alike:
        yield Drawing(
            "planners",
            title_of_all(analysis),
            _about_intervals(analysis.alike_means),
            lambda: planners_compared(analysis),
        )
    best = leader(analysis, GOODPUT)
    differences = pl.DataFrame() if best is None else differences_to(analysis, best)
    if best is not None and differences.height:
        alone = differences["n"].max() == 1
        yield Drawing(
            "differences",
            f"Service goodput: {best} compared with the others",
            f"{'Differences on one seed' if alone else 'Paired differences over seeds'}; to the "
            f"right of the line, {best} is better.",
            lambda: forest(analysis, best),
        )
    if analysis.alike:
        yield Drawing(
            "pareto",
            "Goodput against cost and response time",
            f"{DOMINATED if several else ''} {trade_offs_text(analysis)}".strip(),
            lambda: trade_offs(analysis),
        )
    if analysis.goodput.height:
        alone = analysis.goodput["n"].max() == 1
        yield Drawing(
            "goodput",
            "Service goodput over time",
            f"{ONE_SEED if alone else 'Means over seeds, with 95 % t-intervals.'} "
            f"{facets_text(analysis, MOST_PANELS, pooled=False)}",
            lambda: over_time(analysis),
        )
    if analysis.time.height:
        yield Drawing(
            "time",
            "How the lifetime of queries was spent",
            "If an SLO was missed for several reasons, the first one in the legend counts. "
            f"{facets_text(analysis, MOST_BARS, pooled=True)}",
            lambda: time_of_queries(analysis),
        )
    if analysis.latency.height:
        yield Drawing(
            "latency",
            "Where latency goes, by planner",
            "Means over completed requests, summed over operators. "
            f"{SUMMED_AT_ONCE if works_at_once(analysis.latency) else ''}"
            f"{facets_text(analysis, MOST_BARS, pooled=True)}",
            lambda: latency_by_planner(analysis),
        )
        yield from _by_operator(analysis)


def _about_intervals(means: pl.DataFrame) -> str:
    seeds = max(means["n"].to_list(), default=0)
    if seeds == 1:
        return ONE_SEED
    return f"Means over up to {seeds} seeds, with 95 % intervals."


def _pooled_over(latency: pl.DataFrame, seeds: int) -> str:
    """Return what means are taken over, such as ``all settings and seeds``, or an empty text."""
    pooled = {"settings": latency["setting"].n_unique(), "seeds": seeds}
    several = [name for name, count in pooled.items() if count > 1]
    return f"all {' and '.join(several)}" if several else ""


def _file_name(key: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in key)


def _by_operator(analysis: Analysis) -> Iterator[Drawing]:
    """Yield a figure of latency by operator for each application."""
    parts: dict[Any, pl.DataFrame] = {("",): analysis.latency}
    if APPLICATION in analysis.latency.columns:
        parts = analysis.latency.partition_by(APPLICATION, as_dict=True, maintain_order=True)
    for (name,), part in parts.items():
        of = f" of {name}" if name else ""
        pooled = _pooled_over(part, analysis.seeds)
        yield Drawing(
            f"operators_{_file_name(name)}" if name else "operators",
            f"Where latency goes, by operator{of}",
            f"Means over completed requests{f' of {pooled}' if pooled else ''}."
            f"{AT_ONCE if works_at_once(part) else ''}",
            lambda part=part, of=of, pooled=pooled: latency_by_operator(  # type: ignore[misc]
                analysis, pooled_operators(part), of, pooled
            ),
        )
