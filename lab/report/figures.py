"""Figures of a sweep."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from lab import figure_data
from lab.console import warn
from lab.errors import one_line
from lab.figure_data import PARTS
from lab.figure_style import (
    DPI,
    GREY,
    MARKERS,
    WIDTH_IN,
    from_zero,
    legend,
    legend_columns,
    legend_in,
    looks,
    mark_events,
    part_bars,
    stacked_bars,
    style,
    time_text,
    time_unit,
    wrapped,
)
from lab.report.analysis import POOLED, Analysis, against, planners_of
from lab.report.claims import leader
from lab.report.metrics import COST, DRAWN, GOODPUT, RESPONSE, Metric
from lab.report.settings import APPLICATION, short_keys, short_texts

MOST_PANELS = 6
MOST_BARS = 8
MOST_ROWS = 48
MOST_PLANNERS = 12
MOST_KEYS = 8
MOST_BANDS = 5
# Names in ids of SVG come from this instead of from chance.
HASH_SALT = "compass-sim"
TIMES = ("met", "late", "inaccurate", "too dear", "no requests", "not deployed")


@dataclass(frozen=True)
class Picture:
    """A figure as it was written.

    Args:
        name: name of its files, without ``.png`` or ``.svg``.
        title: what it shows, in a few words.
        caption: what is to be known to read it.
        path: its PNG; its SVG lies beside it.
    """

    name: str
    title: str
    caption: str
    path: Path


@dataclass(frozen=True)
class Drawing:
    """A figure that is still to be drawn."""

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]


def draw(analysis: Analysis, folder: Path) -> list[Picture]:
    """Draw all figures of a sweep as PNG and SVG; the same analysis gives the same bytes.

    Args:
        analysis: what they show.
        folder: where they go; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for one in _drawings(analysis):
        path = folder / f"{one.name}.png"
        try:
            with style(), mpl.rc_context({"svg.hashsalt": HASH_SALT}):
                figure = one.draw()
                # Names of software and dates would make bytes depend on them.
                figure.savefig(path, dpi=DPI, metadata={"Software": None})
                figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
        except Exception as error:  # Whatever goes wrong here, the tables stand.
            warn(f"{path.name} could not be drawn ({type(error).__name__}: {one_line(error)})")
            continue
        pictures.append(Picture(one.name, one.title, one.caption, path))
    return pictures


def _drawings(analysis: Analysis) -> Iterator[Drawing]:
    """Yield the figures that an analysis has data for."""
    sweep = analysis.sweep
    if not sweep.finished.height:
        return
    intervals = _about_intervals(analysis)
    names = short_keys(list(sweep.keys))
    for key, name in list(zip(sweep.keys, names, strict=True))[:MOST_KEYS]:
        others = " Other keys: means over their values." if len(sweep.keys) > 1 else ""
        yield Drawing(
            f"by_{_file_name(key)}",
            f"Planners by {name}",
            f"{intervals}{others}",
            lambda key=key: _by_key(analysis, key),  # type: ignore[misc]
        )
    if not sweep.keys:
        yield Drawing("planners", "Planners compared", intervals, lambda: _planners(analysis))
    best = leader(analysis, GOODPUT)
    if best is not None and not _differences(analysis, best).is_empty():
        yield Drawing(
            "differences",
            f"Service goodput: {best} against the others",
            f"Paired differences over seeds: to the right of the line {best} is better.",
            lambda: _forest(analysis, best),
        )
    yield Drawing(
        "pareto",
        "What goodput costs, in money and in time",
        "Filled: no planner does at least as well in goodput, cost and response time and better in "
        f"one; hollow: dominated. {_facets_text(analysis, 3)}",
        lambda: _pareto(analysis),
    )
    if analysis.goodput.height:
        yield Drawing(
            "goodput",
            "Service goodput over time",
            f"Means over seeds, with 95 % t-intervals. {_facets_text(analysis, MOST_PANELS)}",
            lambda: _over_time(analysis),
        )
    if analysis.time.height:
        yield Drawing(
            "time",
            "What became of the time of queries",
            "Of several reasons why an SLO was not met, the first counts. "
            f"{_facets_text(analysis, MOST_BARS)}",
            lambda: _time(analysis),
        )
    if analysis.latency.height:
        yield Drawing(
            "latency",
            "Where latency goes, by planner",
            f"Means over completed requests, summed over operators. "
            f"{_facets_text(analysis, MOST_BARS)}",
            lambda: _latency(analysis),
        )
        yield from _by_operator(analysis)


def _about_intervals(analysis: Analysis) -> str:
    seeds = analysis.sweep.finished["seed"].n_unique()
    if seeds == 1:
        return "One seed, hence no intervals."
    return f"Means over up to {seeds} seeds, with 95 % intervals by the bootstrap."


def _file_name(key: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in key)


# Means by a key


def _by_key(analysis: Analysis, key: str) -> Figure:
    """Draw the metrics over the values of a key: lines over numbers, dots over words."""
    frame = analysis.by_key[key]
    values = analysis.sweep.settings[key].unique(maintain_order=True)
    name = dict(zip(analysis.sweep.keys, short_keys(list(analysis.sweep.keys)), strict=True))[key]
    if values.dtype.is_numeric():
        return _lines(analysis, frame, key, name)
    return _dots(analysis, frame, key, values.to_list())


def _planners(analysis: Analysis) -> Figure:
    """Draw the metrics of planners that met one setting."""
    return _dots(analysis, analysis.means, "setting", [str(analysis.means["setting"][0])])


def _panels(
    analysis: Analysis, title: str, panel_in: float, share_y: bool
) -> tuple[Figure, dict[Metric, Axes]]:
    """Return a figure with a panel for each metric that is drawn."""
    labels = planners_of(analysis.sweep)
    figure = Figure((WIDTH_IN, 0.6 + 3 * panel_in + _legend_in(labels)), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(3, 2, sharey=share_y)
    grid.flat[-1].set_visible(False)
    return figure, dict(zip(DRAWN, grid.flat, strict=False))


def _lines(analysis: Analysis, frame: pl.DataFrame, key: str, name: str) -> Figure:
    figure, panels = _panels(analysis, f"Planners by {name}", 2.3, share_y=False)
    values = frame[key].unique().sort().to_numpy()
    for metric, axes in panels.items():
        for planner, look in _looks(analysis):
            rows = frame.filter(metric=metric.name, planner=planner).sort(key).drop_nulls("mean")
            x = rows[key].to_numpy()
            label = _label(planner)
            axes.plot(x, rows["mean"], label=label, lw=1.8, ms=4.5, **look)
            known = rows.drop_nulls("boot_low")
            if known.height and len(planners_of(analysis.sweep)) <= MOST_BANDS:
                axes.fill_between(
                    known[key].to_numpy(),
                    known["boot_low"].to_numpy(),
                    known["boot_high"].to_numpy(),
                    color=look["color"],
                    alpha=0.18,
                    lw=0,
                )
            elif known.height:
                _error_bars(axes, known, known[key].to_numpy(), look["color"])
        axes.set_title(fill(metric.title, 38), fontsize="medium")
        axes.set_xlabel(name)
        if values.min() > 0 and values.max() > 20 * values.min():
            axes.set_xscale("log")
        if len(values) <= 7:
            axes.set_xticks(values)
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _finish(axes, metric)
    legend(figure, panels[GOODPUT])
    return figure


def _error_bars(axes: Axes, rows: pl.DataFrame, x: Any, color: Any) -> None:
    axes.vlines(x, rows["boot_low"].to_numpy(), rows["boot_high"].to_numpy(), color=color, lw=1.2)


def _dots(analysis: Analysis, frame: pl.DataFrame, key: str, values: Sequence[Any]) -> Figure:
    """Draw a dot with its interval for each value and planner, one below the other."""
    planners = planners_of(analysis.sweep)
    alone = len(values) == 1
    rows = len(planners) * len(values)
    labels = [_label(name) for name in planners] if alone else short_texts(values)
    # Names are broken into lines, for which there must be room.
    lines = sum(max(1.2, len(wrapped(label).splitlines())) for label in labels)
    panel_in = 0.75 + max(0.19 * rows, 0.19 * lines, 0.5)
    [name] = short_keys([key])
    title = "Planners compared" if alone else f"Planners by {name}"
    figure, panels = _panels(analysis, title, panel_in, share_y=True)
    for metric, axes in panels.items():
        for at, (planner, look) in enumerate(_looks(analysis)):
            for place, value in enumerate(values):
                found = frame.filter(pl.col(key) == value, metric=metric.name, planner=planner)
                y = at if alone else place + (at - (len(planners) - 1) / 2) * 0.7 / len(planners)
                _dot(axes, found, y, look, _label(planner) if place == 0 else "")
        axes.set_yticks(range(len(labels)), [wrapped(label) for label in labels])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_title(fill(metric.title, 38), fontsize="medium")
        axes.grid(axis="y", visible=False)
        if not alone:
            for place in range(1, len(values)):
                axes.axhline(place - 0.5, color="0.85", lw=0.8)
        low, high = axes.dataLim.intervalx
        if not np.isfinite(high):
            _say_not_reached(axes)
        else:
            axes.set_xlim(min(0, low) - 0.03 * (high or 1), 1.08 * high or 1)
        if np.isfinite(high):
            _few_ticks(axes.xaxis)
        _percent(axes.xaxis, metric)
    if not alone:
        legend(figure, panels[GOODPUT])
    return figure


def _dot(axes: Axes, rows: pl.DataFrame, y: float, look: Mapping[str, Any], label: str) -> None:
    """Draw a mean with its interval, if there is one."""
    shape = {"color": look["color"], "marker": look["marker"]}
    if rows.is_empty() or rows["mean"][0] is None:
        axes.plot([], [], ls="", label=label, **shape)
        return
    low, high = rows["boot_low"][0], rows["boot_high"][0]
    if low is not None:
        axes.plot([low, high], [y, y], color=look["color"], lw=2)
    axes.plot([rows["mean"][0]], [y], ls="", ms=5.5, label=label, **shape)


def _say_not_reached(axes: Axes) -> None:
    """Say that a metric has no value in any run."""
    axes.text(0.5, 0.5, "in no run", ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])


def _finish(axes: Axes, metric: Metric) -> None:
    if not np.isfinite(axes.dataLim.ymax):
        axes.text(0.5, 0.5, "in no run", ha="center", va="center", transform=axes.transAxes)
        axes.set_yticks([])
        return
    from_zero(axes)
    _percent(axes.yaxis, metric)


def _few_ticks(axis: Any) -> None:
    """Leave room between the labels of an axis."""
    axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _percent(axis: Any, metric: Metric) -> None:
    if metric.unit == "":
        axis.set_major_formatter(PercentFormatter(1))


# Differences


def _differences(analysis: Analysis, best: str) -> pl.DataFrame:
    """Return the differences in goodput of one planner to the others, by setting or over all."""
    frame = analysis.differences.filter(metric=GOODPUT.name)
    found = against(frame.select("setting", *_names(frame, "setting", *analysis.sweep.keys)), best)
    if found.height > MOST_ROWS and analysis.pooled is not None:
        found = against(analysis.pooled.differences.filter(metric=GOODPUT.name), best)
        found = found.select(pl.lit(POOLED).alias("setting"), pl.all())
    return found.drop_nulls("difference")


def _names(frame: pl.DataFrame, *without: str) -> list[str]:
    return [name for name in frame.columns if name not in without]


def _forest(analysis: Analysis, best: str) -> Figure:
    """Draw paired differences, setting by setting."""
    found = _differences(analysis, best)
    short = {POOLED: POOLED, **dict(analysis.sweep.settings.select("setting", "short").rows())}
    settings = [one for one in short if one in set(found["setting"])]
    planners = [name for name in planners_of(analysis.sweep) if name in set(found["other"])]
    several = len(settings) > 1
    labels = [_broken(short[one] or POOLED, 30) for one in settings] if several else []
    heights = [
        max(0.24 * len(planners), 0.2 * len(label.splitlines()) + 0.06)
        for label in (labels or [""])
    ]
    if not several:
        heights = [
            sum(max(0.3, 0.2 * len(wrapped(_label(name)).splitlines())) for name in planners)
        ]
    figure = Figure(
        (WIDTH_IN, 1.3 + sum(heights) + (_legend_in(planners) if several else 0)),
        layout="constrained",
    )
    axes = figure.subplots()
    axes.set_title(fill(f"Service goodput: {_label(best)} minus each other", 60))
    axes.axvline(0, color="black", lw=1.2)
    for at, (planner, look) in enumerate(
        (planner, look) for planner, look in _looks(analysis) if planner in planners
    ):
        for place, setting in enumerate(settings):
            rows = found.filter(setting=setting, other=planner)
            if rows.is_empty():
                continue
            y = place + (at - (len(planners) - 1) / 2) * 0.7 / len(planners) if several else at
            row = rows.row(0, named=True)
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [y, y], color=look["color"], lw=0.9)
                axes.plot([row["boot_low"], row["boot_high"]], [y, y], color=look["color"], lw=3)
            axes.plot(
                [row["difference"]],
                [y],
                ls="",
                marker=look["marker"],
                color=look["color"],
                mec="black",
                mew=0.6,
                ms=6,
                label=f"minus {_label(planner)}" if place == 0 else "",
            )
    ticks = labels if several else [wrapped(_label(name)) for name in planners]
    axes.set_yticks(range(len(ticks)), ticks)
    axes.set_ylim(len(ticks) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(
        "difference (queries), paired over seeds\n"
        "thick: 95 % interval by the bootstrap; thin: by Student's t"
    )
    axes.xaxis.set_major_locator(MaxNLocator(7))
    if several:
        for place in range(1, len(settings)):
            axes.axhline(place - 0.5, color="0.85", lw=0.8)
        legend(figure, axes)
    return figure


# Trade-offs


def _pareto(analysis: Analysis) -> Figure:
    """Draw goodput against cost and response time, dominated planners hollow."""
    sweep = analysis.sweep
    frames = _facets(analysis, analysis.pareto, 3)
    if len(frames) != len(analysis.comparisons):
        frames = {POOLED: analysis.pareto_pooled} if analysis.pareto_pooled.height else frames
    labels = [*map(_label, planners_of(sweep)), "dominated"]
    figure = Figure((WIDTH_IN, 0.7 + 2.7 * len(frames) + _legend_in(labels)), layout="constrained")
    figure.suptitle("What goodput costs, in money and in time")
    grid = figure.subplots(len(frames), 2, squeeze=False)
    for (name, frame), pair in zip(frames.items(), grid, strict=True):
        for axes, metric in zip(pair, (COST, RESPONSE), strict=True):
            _trade_off(axes, analysis, frame, metric)
            axes.set_ylabel("service goodput (queries)")
            axes.set_xlabel(metric.title)
            if name:
                axes.set_title(_broken(name, 32), fontsize="medium")
    first = grid[0, 0]
    first.plot([], [], "o", mfc="white", mew=1.6, ms=7.5, color=GREY, label="hollow: dominated")
    legend(figure, first)
    return figure


def _trade_off(axes: Axes, analysis: Analysis, frame: pl.DataFrame, metric: Metric) -> None:
    known = frame[metric.name].drop_nulls()
    farthest = 1.25 * float(known.max() or 1.0)  # type: ignore[arg-type]
    for planner, look in _looks(analysis):
        for row in frame.filter(planner=planner).iter_rows(named=True):
            x = farthest if row[metric.name] is None else row[metric.name]
            axes.plot(
                [x],
                [row[GOODPUT.name]],
                ls="",
                marker=look["marker"],
                color=look["color"],
                mfc="white" if row["dominated"] else look["color"],
                mew=1.6,
                ms=7.5,
                clip_on=False,
                zorder=3,
                label=_label(planner),
            )
    if frame[metric.name].null_count():
        axes.axvline(farthest, color=GREY, lw=1, ls=":")
        axes.annotate(
            "not reached",
            (farthest, 1),
            (-3, -3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="top",
            rotation=90,
            color=GREY,
        )
    axes.set_xlim(-0.02 * farthest, 1.08 * farthest)
    _few_ticks(axes.xaxis)
    if known.is_empty():
        axes.set_xticks([])
    from_zero(axes)
    axes.set_ylim(top=1.15 * axes.get_ylim()[1])


# Over time


def _over_time(analysis: Analysis) -> Figure:
    """Draw goodput over time, with what is active, setting by setting."""
    frames = _facets(analysis, analysis.goodput, MOST_PANELS)
    columns = min(2, len(frames))
    rows = -(-len(frames) // columns)
    kinds = {kind: None for frame in frames.values() for kind, _ in _events(analysis, frame)}
    labels = ["active", *map(_label, planners_of(analysis.sweep)), *kinds]
    figure = Figure(
        (WIDTH_IN, 0.7 + (3.2 if columns == 1 else 2.4) * rows + _legend_in(labels)),
        layout="constrained",
    )
    figure.suptitle("Service goodput over time")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, frame) in zip(grid.flat, frames.items(), strict=False):
        end_s = float(frame["end_s"].max() or 1.0)  # type: ignore[arg-type]
        per, unit = time_unit(end_s)
        active = frame.group_by("window").agg(pl.col("start_s", "end_s", "active").max())
        _steps(axes, active.sort("window"), "active", per, color=GREY, lw=1.3, label="active")
        for planner, look in _looks(analysis):
            part = frame.filter(planner=planner).sort("window")
            if part.is_empty():
                continue
            line = {"color": look["color"], "ls": look["ls"], "lw": 1.8}
            _steps(axes, part, "goodput", per, label=_label(planner), **line)
            if len(planners_of(analysis.sweep)) <= MOST_BANDS and part["low"].null_count() == 0:
                times, low = _edges(part, "low")
                high = _edges(part, "high")[1]
                # An interval of two seeds may reach far beyond what there is.
                most = _edges(active.sort("window"), "active")[1].max()
                axes.fill_between(
                    times / per,
                    low,
                    np.minimum(high, most),
                    step="post",
                    color=look["color"],
                    alpha=0.12,
                    lw=0,
                )
        axes.set(xlabel=f"simulated time ({unit})", ylabel="queries", xlim=(0, end_s / per))
        if name:
            axes.set_title(_broken(name, 32), fontsize="medium")
        from_zero(axes)
        mark_events(axes, _events(analysis, frame), end_s, per, list(kinds))
    for axes in grid.flat[len(frames) :]:
        axes.set_visible(False)
    _legend_of_all(figure, grid.flat)
    return figure


def _events(analysis: Analysis, frame: pl.DataFrame) -> list[tuple[str, float]]:
    """Return the drift events of a setting, which all its runs share."""
    run = analysis.sweep.finished.filter(setting=frame["setting"][0])["run"][0]
    return figure_data.events(analysis.sweep.directory / run)


def _legend_of_all(figure: Figure, panels: Iterable[Axes]) -> None:
    """Put a legend of what any of the panels shows below all of them."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    labels = list(found)
    figure.legend(
        list(found.values()),
        labels,
        loc="outside lower center",
        ncols=legend_columns(labels),
        frameon=False,
    )


def _edges(frame: pl.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return where the steps of a column begin and the last one ends, and their heights."""
    times = np.append(frame["start_s"].to_numpy(), frame["end_s"][-1])
    return times, np.append(frame[column].to_numpy(), frame[column][-1])


def _steps(axes: Axes, frame: pl.DataFrame, column: str, per: float, **look: Any) -> None:
    times, heights = _edges(frame, column)
    axes.plot(times / per, heights, drawstyle="steps-post", **look)


# Where time goes


def _time(analysis: Analysis) -> Figure:
    """Draw what became of the time in which queries lived, planner by planner."""
    pooled = (
        analysis.time.with_columns(pl.col(*TIMES) * pl.col("active_s"))
        .group_by("planner", maintain_order=True)
        .agg(pl.col("active_s", *TIMES).sum())
        .with_columns(pl.col(*TIMES) / pl.col("active_s"))
    )
    frames = _facets(analysis, analysis.time, MOST_BARS, pooled)
    used = [name for name in TIMES if any(frame[name].max() for frame in frames.values())]
    figure, grid = _bar_panels(frames, "What became of the time of queries", used)
    for axes, (name, frame) in zip(grid, frames.items(), strict=True):
        parts = {name: frame[name].fill_null(0).to_list() for name in used}
        names = [wrapped(_label(planner)) for planner in frame["planner"]]
        stacked_bars(axes, names, parts, lambda share: f"{share:.0%}")
        axes.set(xlim=(0, 1), xlabel="share of the time that queries lived")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        if name:
            axes.set_title(_broken(name, 70), fontsize="medium")
    legend(figure, grid[0])
    return figure


def _latency(analysis: Analysis) -> Figure:
    """Draw the parts of latency, summed over operators, planner by planner."""
    summed = analysis.latency.group_by("setting", "planner", maintain_order=True).agg(
        pl.col(*PARTS).sum()
    )
    pooled = (
        _pooled_operators(analysis.latency)
        .group_by("planner", maintain_order=True)
        .agg(pl.col(*PARTS).sum())
    )
    frames = _facets(analysis, summed, MOST_BARS, pooled)
    parts = _parts_of(*frames.values())
    figure, grid = _bar_panels(frames, "Where latency goes, by planner", parts)
    longest = max(
        float(frame.select(pl.sum_horizontal(PARTS).max()).item()) for frame in frames.values()
    )
    per, unit = _latency_unit(longest)
    for axes, (name, frame) in zip(grid, frames.items(), strict=True):
        named = frame.select(
            pl.col("planner")
            .map_elements(lambda planner: wrapped(_label(planner)), return_dtype=pl.String)
            .alias("operator"),
            *PARTS,
        )
        part_bars(axes, named, per, parts)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.15 * longest / per or 1), xlabel=f"mean time of a request ({unit})")
        if name:
            axes.set_title(_broken(name, 70), fontsize="medium")
    legend(figure, grid[0])
    return figure


def _parts_of(*frames: pl.DataFrame) -> list[str]:
    """Return the parts of latency; planners that never batch need no legend for it."""
    batches = any(frame["batching"].max() for frame in frames)
    return [part for part in PARTS if part != "batching" or batches]


def _longest_s(frame: pl.DataFrame) -> float:
    return float(frame.select(pl.sum_horizontal(PARTS).max()).item() or 0.0)


def _latency_unit(longest_s: float) -> tuple[float, str]:
    return (1e-3, "ms") if longest_s < 10 else (1.0, "s")


def _pooled_operators(latency: pl.DataFrame) -> pl.DataFrame:
    """Return the latency of operators over all completed requests of all settings."""
    return (
        latency.with_columns(pl.col(*PARTS) * pl.col("completed"))
        .group_by("planner", "operator", maintain_order=True)
        .agg(pl.col("completed", *PARTS).sum())
        .with_columns(pl.col(*PARTS) / pl.col("completed"))
    )


def _by_operator(analysis: Analysis) -> Iterator[Drawing]:
    """Yield where latency goes at each operator, a figure for each application."""
    key = APPLICATION
    latency = analysis.latency
    parts = (
        {
            str(name): part
            for (name,), part in latency.partition_by(
                key, as_dict=True, maintain_order=True
            ).items()
        }
        if key in latency.columns
        else {"": latency}
    )
    for name, part in parts.items():
        of = f" of {name}" if name else ""
        yield Drawing(
            f"operators_{_file_name(name)}" if name else "operators",
            f"Where latency goes, by operator{of}",
            "Means over the completed requests of all settings and seeds.",
            lambda part=part, of=of: _operators(analysis, _pooled_operators(part), of),  # type: ignore[misc]
        )


def _operators(analysis: Analysis, frame: pl.DataFrame, of: str) -> Figure:
    """Draw the parts of latency at each operator, a panel for each planner."""
    planners = [name for name in planners_of(analysis.sweep) if name in set(frame["planner"])]
    planners = planners[:MOST_PLANNERS]
    columns = min(3, len(planners))
    rows = -(-len(planners) // columns)
    operators = max(frame.filter(planner=name).height for name in planners)
    titles = {name: wrapped(_label(name)) for name in planners}
    title_in = 0.2 * max(len(title.splitlines()) for title in titles.values())
    figure = Figure(
        (WIDTH_IN, 1.2 + rows * (0.7 + title_in + 0.3 * operators)), layout="constrained"
    )
    figure.suptitle(fill(f"Where latency goes, by operator{of}", 70))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    longest = _longest_s(frame)
    per, unit = _latency_unit(longest)
    for axes, name in zip(grid.flat, planners, strict=False):
        part = frame.filter(planner=name)
        total = float(part.select(pl.sum_horizontal(PARTS).sum()).item() or 0.0) / per
        axes.set_title(f"{titles[name]}\n{time_text(total)} {unit} in all", fontsize="medium")
        part_bars(axes, part, per, _parts_of(frame))
        axes.set_xlabel(f"mean time ({unit})")
        axes.tick_params("x", labelbottom=True)
    for axes in grid.flat[len(planners) :]:
        axes.set_visible(False)
    grid[0, 0].set_xlim(0, (1.15, 1.35, 1.6)[columns - 1] * longest / per or 1)
    grid[0, 0].invert_yaxis()
    legend(figure, grid[0, 0])
    return figure


def _bar_panels(
    frames: Mapping[str, pl.DataFrame], title: str, parts: Iterable[str]
) -> tuple[Figure, list[Axes]]:
    """Return a figure with room for a bar for each planner, in a panel for each setting."""
    heights = [
        0.85
        + 0.2 * len(_broken(name, 70).splitlines())
        + sum(0.14 + 0.2 * len(wrapped(_label(one)).splitlines()) for one in frame["planner"])
        for name, frame in frames.items()
    ]
    figure = Figure((WIDTH_IN, 0.5 + sum(heights) + legend_in(list(parts))), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(frames), 1, squeeze=False, height_ratios=heights)
    return figure, list(grid.flat)


# Shared by the figures


def _facets(
    analysis: Analysis, frame: pl.DataFrame, most: int, pooled: pl.DataFrame | None = None
) -> dict[str, pl.DataFrame]:
    """Return the part of a frame for each setting that gets a panel, by its short name.

    Of more settings than there is room for, all are drawn as one if that can be had, and else some,
    evenly spaced.
    """
    short = dict(analysis.sweep.settings.select("setting", "short").rows())
    here = set(frame["setting"])
    settings = [one for one in short if one in here]
    if len(settings) > most:
        if pooled is not None:
            return {POOLED: pooled}
        settings = [settings[at] for at in np.linspace(0, len(settings) - 1, most).astype(int)]
    return {short[one]: frame.filter(setting=one) for one in settings}


def _facets_text(analysis: Analysis, most: int) -> str:
    settings = len(analysis.comparisons)
    if settings <= most:
        return ""
    pooled = most in (3, MOST_BARS)
    return f"Over all {settings} settings." if pooled else f"{most} of {settings} settings."


def _looks(analysis: Analysis) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each planner with its colour, marker and dashes, the same in every figure."""
    planners = dict.fromkeys(planners_of(analysis.sweep))
    markers = islice(cycle(MARKERS), len(planners))
    for (name, color, dashes), marker in zip(looks(planners), markers, strict=True):
        yield name, {"color": color, "ls": (0, dashes) if dashes else "-", "marker": marker}


def _broken(setting: str, width: int) -> str:
    """Break the name of a setting into lines, if need be between a key and its value."""
    return fill(setting.replace("=", "= "), width).replace("= ", "=")


def _label(planner: str, longest: int = 60) -> str:
    """Return the name of a planner as figures show it: the end of a very long one is left out."""
    return planner if len(planner) <= longest else f"{planner[: longest - 1]}…"


def _legend_in(labels: Sequence[str]) -> float:
    return legend_in([_label(label) for label in labels])
