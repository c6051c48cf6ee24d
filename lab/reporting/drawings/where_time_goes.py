"""Figures of the lifetime of queries and of the latency of requests."""

from collections.abc import Iterable, Mapping
from textwrap import fill

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lab.analysis.run_data import PARTS, at_once
from lab.analysis.sweep_analysis import Analysis, planners_of
from lab.reporting.drawings.panels import MOST_BARS, broken, facets, label_of, name_setting
from lab.reporting.plotting.style import (
    WIDTH_IN,
    legend,
    legend_in,
    part_bars,
    say,
    stacked_bars,
    total_text,
    wrapped,
)

MOST_PLANNERS = 12
AT_ONCE = "sum over operators, some in parallel ({unit});\nin brackets: mean latency of a request"
TIMES = ("met", "late", "inaccurate", "too dear", "no requests", "not deployed")


def time_of_queries(analysis: Analysis) -> Figure:
    """Draw how the lifetime of queries was spent under each planner."""
    pooled = (
        _of_all_planners(analysis.time)
        .with_columns(pl.col(*TIMES) * pl.col("active_s"))
        .group_by("planner", maintain_order=True)
        .agg(pl.col("active_s", *TIMES).sum())
        .with_columns(pl.col(*TIMES) / pl.col("active_s"))
    )
    frames = facets(analysis, analysis.time, MOST_BARS, pooled)
    used = [name for name in TIMES if any(frame[name].max() for frame in frames.values())]
    figure, grid = _bar_panels(frames, "How the lifetime of queries was spent", used)
    for axes, (name, frame) in zip(grid, frames.items(), strict=True):
        parts = {name: frame[name].fill_null(0).to_list() for name in used}
        names = [wrapped(label_of(planner)) for planner in frame["planner"]]
        stacked_bars(axes, names, parts, lambda share: f"{share:.0%}")
        axes.set(xlim=(0, 1), xlabel="share of the queries' lifetime")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        name_setting(axes, name, 70)
    legend(figure, grid[0])
    return figure


def latency_by_planner(analysis: Analysis) -> Figure:
    """Draw the parts of latency under each planner, summed over operators."""
    summed = _summed(analysis.latency, "setting", "planner")
    # The pooled parts are sums over operators, because applications differ in their operators.
    pooled = _pooled(summed, "planner")
    frames = facets(analysis, summed, MOST_BARS, pooled)
    parts = _parts_of(*frames.values())
    overlap = any(map(_at_once, frames.values()))
    figure, grid = _bar_panels(
        frames, "Where latency goes, by planner", parts, AT_ONCE.count("\n") if overlap else 0
    )
    longest, per, unit = _scale(frames.values())
    room = 1.4 if overlap else 1.15
    for axes, (name, frame) in zip(grid, frames.items(), strict=True):
        named = frame.select(
            pl.col("planner")
            .map_elements(lambda planner: wrapped(label_of(planner)), return_dtype=pl.String)
            .alias("operator"),
            *PARTS,
        )
        part_bars(axes, named, per, parts, frame["latency_mean_s"].to_list())
        axes.invert_yaxis()
        label = AT_ONCE if _at_once(frame) else "mean time of a request ({unit})"
        axes.set(xlim=(0, room * longest / per or 1), xlabel=label.format(unit=unit))
        name_setting(axes, name, 70)
    legend(figure, grid[0])
    return figure


def works_at_once(latency: pl.DataFrame) -> bool:
    """Return whether operators worked in parallel in any row of `Analysis.latency`."""
    return _at_once(_summed(latency, "setting", "planner"))


def _summed(latency: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Return each part of latency summed over operators, with the columns that are not summed."""
    return latency.group_by(by, maintain_order=True).agg(
        pl.col("completed", "latency_mean_s").first(), pl.col(*PARTS).sum()
    )


def _at_once(summed: pl.DataFrame) -> bool:
    sums_s = summed.select(pl.sum_horizontal(PARTS)).to_series()
    return any(map(at_once, sums_s, summed["latency_mean_s"]))


def _parts_of(*frames: pl.DataFrame) -> list[str]:
    """Return the parts of latency to draw; batching is left out if it never takes time."""
    batches = any(frame["batching"].max() for frame in frames)
    return [part for part in PARTS if part != "batching" or batches]


def _scale(frames: Iterable[pl.DataFrame]) -> tuple[float, float, str]:
    """Return the length of the longest bar in s, the axis's unit in s, and the unit's symbol."""
    sums_s = [frame.select(pl.sum_horizontal(PARTS).max()).item() or 0.0 for frame in frames]
    longest_s = float(max(sums_s))
    return (longest_s, 1e-3, "ms") if longest_s < 10 else (longest_s, 1.0, "s")


def pooled_operators(latency: pl.DataFrame) -> pl.DataFrame:
    """Return mean latency by planner and operator, over the requests of all settings."""
    return _pooled(latency, "planner", "operator")


def _of_all_planners(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of settings that have every planner; all rows if there is no such setting."""
    planners = pl.col("planner").n_unique()
    common = rows.filter(planners.over("setting") == planners)
    return common if common.height else rows


def _pooled(rows: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Return means by the columns `by`, over all completed requests of all settings."""
    mean = pl.col("latency_mean_s")
    return (
        _of_all_planners(rows)
        .with_columns(pl.col(*PARTS, "latency_mean_s") * pl.col("completed"))
        .group_by(by, maintain_order=True)
        .agg(pl.col("completed", *PARTS).sum(), pl.when(mean.null_count() == 0).then(mean.sum()))
        .with_columns(pl.col(*PARTS, "latency_mean_s") / pl.col("completed"))
    )


def latency_by_operator(
    analysis: Analysis, frame: pl.DataFrame, of: str, pooled: str = ""
) -> Figure:
    """Draw latency by planner and operator; `of` and `pooled` are parts of the title."""
    planners = [name for name in planners_of(analysis.sweep) if name in set(frame["planner"])]
    frames = {name: frame.filter(planner=name) for name in planners[:MOST_PLANNERS]}
    latency_s = {name: part["latency_mean_s"][0] for name, part in frames.items()}
    below = f"\nmeans over {pooled}" if pooled else ""
    title = fill(f"Where latency goes, by operator{of}", 70) + below
    return operator_panels(frames, latency_s, title)


def operator_panels(
    frames: Mapping[str, pl.DataFrame], latency_s: Mapping[str, float | None], title: str
) -> Figure:
    """Draw a panel for each planner, with a bar for each operator, divided into parts.

    ``latency_s`` has the mean latency of a request under each planner, or None if it is unknown.
    """
    columns = min(3, len(frames))
    rows = -(-len(frames) // columns)
    longest, per, unit = _scale(frames.values())
    titles = {}
    for name, frame in frames.items():
        sum_s = float(frame.select(pl.sum_horizontal(PARTS).sum()).item() or 0.0)
        total = [total_text(sum_s, latency_s[name], per, unit)] * bool(frame.height)
        titles[name] = "\n".join([*([wrapped(label_of(name))] if name else []), *total])
    title_in = 0.2 * max(len(each.splitlines()) for each in titles.values()) - 0.2
    operators_in = 0.3 * max(2, *(frame.height for frame in frames.values()))
    height_in = 1.2 + 0.2 * title.count("\n") + rows * (0.7 + title_in + operators_in)
    figure = Figure((WIDTH_IN, height_in), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    parts = _parts_of(*frames.values())
    for axes, (name, frame) in zip(grid.flat, frames.items(), strict=False):
        axes.set_title(titles[name], fontsize="medium")
        if not frame.height:
            say(axes, "no data")
            continue
        part_bars(axes, frame, per, parts)
        axes.set_xlabel(f"mean time ({unit})")
        axes.tick_params("x", labelbottom=True)
    for axes in grid.flat[len(frames) :]:
        axes.set_visible(False)
    if not longest:
        grid[0, 0].set(xticks=[], yticks=[])
    # Leave room for the totals to the right of the bars.
    grid[0, 0].set_xlim(0, (1.15, 1.35, 1.6)[columns - 1] * longest / per or 1)
    grid[0, 0].invert_yaxis()
    legend(figure, *grid.flat)
    return figure


def _bar_panels(
    frames: Mapping[str, pl.DataFrame], title: str, parts: Iterable[str], more_lines: int = 0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each setting; panels have room for all planners' bars."""
    heights = [
        0.85
        + 0.2 * more_lines
        + 0.2 * len(broken(name, 70).splitlines())
        + sum(0.14 + 0.2 * len(wrapped(label_of(one)).splitlines()) for one in frame["planner"])
        for name, frame in frames.items()
    ]
    figure = Figure((WIDTH_IN, 0.5 + sum(heights) + legend_in(list(parts))), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(frames), 1, squeeze=False, height_ratios=heights)
    return figure, list(grid.flat)
