"""Figures that compare planners: means, paired differences, trade-offs, goodput over time."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from lab.analysis import run_data as figure_data
from lab.analysis.settings import short_keys, short_texts
from lab.analysis.sweep_analysis import POOLED, Analysis, against, planners_of
from lab.common.formatting import count
from lab.common.metrics import COST, DRAWN, GOODPUT, RESPONSE, Metric
from lab.config.allowed import unit_of
from lab.reporting.drawings.panels import (
    MOST_BANDS,
    MOST_PANELS,
    broken,
    facets,
    facets_text,
    few_ticks,
    label_of,
    legend_room_in,
    name_places,
    name_setting,
    place_of,
    planner_looks,
)
from lab.reporting.plotting.style import (
    GREY,
    WIDTH_IN,
    from_zero,
    legend,
    mark_events,
    say,
    step_edges,
    steps,
    time_unit,
    wrapped,
)

MOST_ROWS = 48
MOST_TRADE_OFFS = 3


def by_key(analysis: Analysis, key: str) -> Figure:
    """Draw the metrics by a key's values, as lines if these are numbers and as dots otherwise."""
    frame = analysis.by_key[key]
    values = analysis.sweep.settings[key].unique(maintain_order=True)
    name = dict(zip(analysis.sweep.keys, short_keys(list(analysis.sweep.keys)), strict=True))[key]
    if values.dtype.is_numeric():
        return _lines(analysis, frame, key, name)
    return _dots(analysis, frame, key, values.to_list())


def planners_compared(analysis: Analysis) -> Figure:
    """Draw the metrics of planners in a single setting."""
    means = analysis.alike_means
    return _dots(analysis, means, "setting", [str(means["setting"][0])])


def title_of_all(analysis: Analysis) -> str:
    """Return the title of a figure that shows all planners."""
    return "Comparison of planners" if len(planners_of(analysis.sweep)) > 1 else "Metrics"


def _panels(
    analysis: Analysis, title: str, panel_in: float, share_y: bool
) -> tuple[Figure, dict[Metric, Axes]]:
    labels = planners_of(analysis.sweep)
    figure = Figure((WIDTH_IN, 0.6 + 3 * panel_in + legend_room_in(labels)), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(3, 2, sharey=share_y)
    grid.flat[-1].set_visible(False)
    return figure, dict(zip(DRAWN, grid.flat, strict=False))


def _lines(analysis: Analysis, frame: pl.DataFrame, key: str, name: str) -> Figure:
    figure, panels = _panels(analysis, f"Planners by {name}", 2.3, share_y=False)
    values = frame[key].unique().sort().to_numpy()
    unit = unit_of(key)
    for metric, axes in panels.items():
        for planner, look in planner_looks(analysis):
            rows = frame.filter(metric=metric.name, planner=planner).sort(key).drop_nulls("mean")
            x = rows[key].to_numpy()
            label = label_of(planner)
            axes.plot(x, rows["mean"], label=label, lw=1.8, ms=4.5, **look)
            known = rows.drop_nulls("low")
            at, low, high = (known[name].to_numpy() for name in (key, "low", "high"))
            if len(planners_of(analysis.sweep)) <= MOST_BANDS:
                axes.fill_between(at, low, high, color=look["color"], alpha=0.18, lw=0)
            else:
                axes.vlines(at, low, high, color=look["color"], lw=1.2)
        _name(axes, metric, frame, key)
        axes.set_xlabel(f"{name} ({unit})" if unit else name)
        if values.min() > 0 and values.max() > 20 * values.min():
            axes.set_xscale("log")
        if len(values) <= 7:
            axes.set_xticks(values)
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if np.isfinite(axes.dataLim.ymax):
            from_zero(axes)
            _percent(axes.yaxis, metric)
        else:
            _say_not_reached(axes, axes.yaxis)
    legend(figure, panels[GOODPUT])
    return figure


def _dots(analysis: Analysis, frame: pl.DataFrame, key: str, values: Sequence[Any]) -> Figure:
    """Draw a dot with its interval for each value and planner, one below the other."""
    planners = planners_of(analysis.sweep)
    alone = len(values) == 1
    rows = len(planners) * len(values)
    labels = [label_of(name) for name in planners] if alone else short_texts(values)
    # The panel must be high enough for names that are broken into lines.
    lines = sum(max(1.2, len(wrapped(label).splitlines())) for label in labels)
    panel_in = 0.75 + max(0.19 * rows, 0.19 * lines, 0.5)
    [name] = short_keys([key])
    title = title_of_all(analysis) if alone else f"Planners by {name}"
    figure, panels = _panels(analysis, title, panel_in, share_y=True)
    for metric, axes in panels.items():
        for at, (planner, look) in enumerate(planner_looks(analysis)):
            for place, value in enumerate(values):
                found = frame.filter(pl.col(key) == value, metric=metric.name, planner=planner)
                y = at if alone else place_of(place, at, len(planners))
                label = label_of(planner) if place == 0 else ""
                _dot(axes, found.drop_nulls("mean"), "mean", y, look, label, ms=5.5)
        name_places(axes, list(map(wrapped, labels)), lines=not alone)
        _name(axes, metric, frame, key)
        low, high = axes.dataLim.intervalx
        if not np.isfinite(high):
            _say_not_reached(axes, axes.xaxis)
        else:
            axes.set_xlim(min(0, low) - 0.03 * (high or 1), 1.08 * high or 1)
            few_ticks(axes.xaxis)
        _percent(axes.xaxis, metric)
    if not alone:
        legend(figure, panels[GOODPUT])
    return figure


def _dot(
    axes: Axes,
    rows: pl.DataFrame,
    column: str,
    y: float,
    look: Mapping[str, Any],
    label: str,
    **more: Any,
) -> None:
    """Draw a column of the only row, if there is one, with its interval."""
    for low, high in rows.select("low", "high").drop_nulls().rows():
        axes.plot([low, high], [y, y], color=look["color"], lw=2)
    shape = {"color": look["color"], "marker": look["marker"], **more}
    axes.plot(rows[column], [y] * rows.height, ls="", label=label, **shape)


def _name(axes: Axes, metric: Metric, frame: pl.DataFrame, key: str) -> None:
    """Name a panel after its metric; say how many points lack a value on all or some seeds."""
    most = pl.col("n").max().over(key, "planner").alias("most")
    points = frame.with_columns(most).filter(metric=metric.name)
    shown = points.filter(pl.col("n") > 0)
    lacks = "not reached" if metric.null_is_late else "without a value"
    lacking = {
        lacks: points.height - shown.height,
        f"{lacks} on some seeds": shown.filter(pl.col("n") < pl.col("most")).height,
    }
    parts = [f"{number} {words}" for words, number in lacking.items() if number]
    said = f"of {count(points.height, 'point')}, {', '.join(parts)}" if parts else ""
    said *= shown.height > 0  # Otherwise, the panel says that it is empty.
    axes.set_title(f"{fill(metric.title, 38)}\n{fill(said, 38)}".strip(), fontsize="medium")


def _say_not_reached(axes: Axes, axis: Any) -> None:
    """Write that a metric has no value in any run, and remove the ticks."""
    say(axes, "no value in any run")
    axis.set_ticks([])


def _percent(axis: Any, metric: Metric) -> None:
    if metric.unit == "":
        axis.set_major_formatter(PercentFormatter(1))


def differences_to(analysis: Analysis, best: str) -> pl.DataFrame:
    """Return one planner's goodput minus that of each rival, by setting or over all settings."""
    frame = analysis.alike_differences.filter(metric=GOODPUT.name)
    found = against(frame.drop(analysis.sweep.keys), best)
    if found.height > MOST_ROWS and analysis.pooled is not None:
        found = against(analysis.pooled.differences.filter(metric=GOODPUT.name), best)
        found = found.select(pl.lit(POOLED).alias("setting"), pl.all())
    return found.drop_nulls("difference")


def forest(analysis: Analysis, best: str) -> Figure:
    """Draw the differences in goodput between one planner and the others, by setting."""
    found = differences_to(analysis, best)
    short = {POOLED: POOLED, **dict(analysis.sweep.settings.select("setting", "short").rows())}
    settings = [one for one in short if one in set(found["setting"])]
    planners = [name for name in planners_of(analysis.sweep) if name in set(found["other"])]
    several = len(settings) > 1
    labels = [broken(short[one] or POOLED, 30) for one in settings] if several else []
    heights = [
        max(0.24 * len(planners), 0.2 * len(label.splitlines()) + 0.06)
        for label in (labels or [""])
    ]
    if not several:
        heights = [
            sum(max(0.3, 0.2 * len(wrapped(label_of(name)).splitlines())) for name in planners)
        ]
    figure = Figure(
        (WIDTH_IN, 1.3 + sum(heights) + (legend_room_in(planners) if several else 0)),
        layout="constrained",
    )
    axes = figure.subplots()
    axes.set_title(fill(f"Service goodput: {label_of(best)} minus each other planner", 60))
    axes.axvline(0, color="black", lw=1.2)
    for at, (planner, look) in enumerate(
        (planner, look) for planner, look in planner_looks(analysis) if planner in planners
    ):
        for place, setting in enumerate(settings):
            rows = found.filter(setting=setting, other=planner)
            y = place_of(place, at, len(planners)) if several else at
            label = f"minus {label_of(planner)}" if place == 0 else ""
            _dot(axes, rows, "difference", y, look, label, mec="black", mew=0.6, ms=6)
    ticks = labels if several else [wrapped(label_of(name)) for name in planners]
    name_places(axes, ticks, lines=several)
    about = "paired over seeds, with 95 % intervals"
    if found["low"].null_count() == found.height:
        about = "one seed, so no intervals"
    axes.set_xlabel(f"difference (queries), {about}")
    axes.xaxis.set_major_locator(MaxNLocator(7))
    if several:
        legend(figure, axes)
    return figure


def trade_offs_text(analysis: Analysis) -> str:
    """Return a sentence on settings that `trade_offs` leaves out or pools, or an empty text."""
    short = dict(analysis.sweep.settings.select("setting", "short").rows())
    left = [short[one] for one in analysis.comparisons if one not in analysis.alike]
    if not left or len(analysis.comparisons) > MOST_TRADE_OFFS:
        return facets_text(analysis, MOST_TRADE_OFFS, analysis.pareto_pooled.height > 0)
    return f"Left out, because the planners have no common seed there: {'; '.join(left)}."


def trade_offs(analysis: Analysis) -> Figure:
    """Draw goodput against cost and response time; dominated planners have hollow markers."""
    sweep = analysis.sweep
    frames = facets(analysis, analysis.pareto, MOST_TRADE_OFFS)
    if len(analysis.comparisons) > MOST_TRADE_OFFS and analysis.pareto_pooled.height:
        frames = {POOLED: analysis.pareto_pooled}
    hollow = any(frame["dominated"].any() for frame in frames.values())
    labels = [*map(label_of, planners_of(sweep)), *(["hollow: dominated"] if hollow else [])]
    figure = Figure(
        (WIDTH_IN, 0.7 + 2.7 * len(frames) + legend_room_in(labels)), layout="constrained"
    )
    figure.suptitle("Goodput against cost and response time")
    grid = figure.subplots(len(frames), 2, squeeze=False)
    for (name, frame), pair in zip(frames.items(), grid, strict=True):
        for axes, metric in zip(pair, (COST, RESPONSE), strict=True):
            _trade_off(axes, analysis, frame, metric)
            axes.set_ylabel(GOODPUT.title)
            axes.set_xlabel(metric.title)
            name_setting(axes, name, 32)
    if hollow:
        look = {"mfc": "white", "mew": 1.6, "ms": 7.5, "color": GREY}
        grid[0, 0].plot([], [], "o", label="hollow: dominated", **look)
    legend(figure, *grid.flat)
    return figure


def _trade_off(axes: Axes, analysis: Analysis, frame: pl.DataFrame, metric: Metric) -> None:
    known = frame[metric.name].drop_nulls()
    farthest = 1.25 * float(known.max() or 1.0)  # type: ignore[arg-type]
    for planner, look in planner_looks(analysis):
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
                label=label_of(planner),
            )
    if frame[metric.name].null_count():
        axes.axvline(farthest, color=GREY, lw=1, ls=":")
        edge = axes.get_xaxis_transform()
        look = {"ha": "right", "va": "top", "rotation": 90, "color": GREY}
        axes.text(farthest, 0.98, "not reached", transform=edge, **look)
    axes.set_xlim(-0.02 * farthest, 1.08 * farthest)
    few_ticks(axes.xaxis)
    if known.is_empty():
        axes.set_xticks([])
    from_zero(axes)
    axes.set_ylim(top=1.15 * axes.get_ylim()[1])


def over_time(analysis: Analysis) -> Figure:
    """Draw goodput and active queries over time, with a panel for each setting."""
    frames = facets(analysis, analysis.goodput, MOST_PANELS)
    columns = min(2, len(frames))
    rows = -(-len(frames) // columns)
    events = {name: _events(analysis, frame) for name, frame in frames.items()}
    kinds = {kind: None for found in events.values() for kind, _ in found}
    labels = ["active", *map(label_of, planners_of(analysis.sweep)), *kinds]
    figure = Figure(
        (WIDTH_IN, 0.7 + (3.2 if columns == 1 else 2.4) * rows + legend_room_in(labels)),
        layout="constrained",
    )
    figure.suptitle("Service goodput over time")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, frame) in zip(grid.flat, frames.items(), strict=False):
        end_s = float(frame["end_s"].max() or 1.0)  # type: ignore[arg-type]
        per, unit = time_unit(end_s)
        active = frame.group_by("window").agg(pl.col("start_s", "end_s", "active").max())
        steps(axes, active.sort("window"), "active", per, color=GREY, lw=1.3, label="active")
        for planner, look in planner_looks(analysis):
            part = frame.filter(planner=planner).sort("window")
            if part.is_empty():
                continue
            line = {"color": look["color"], "ls": look["ls"], "lw": 1.8}
            steps(axes, part, "goodput", per, label=label_of(planner), **line)
            if len(planners_of(analysis.sweep)) <= MOST_BANDS and part["low"].null_count() == 0:
                times, low = step_edges(part, "low")
                high = step_edges(part, "high")[1]
                # The interval of few seeds can exceed the number of active queries.
                most = step_edges(active.sort("window"), "active")[1].max()
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
        name_setting(axes, name, 32)
        from_zero(axes)
        mark_events(axes, events[name], end_s, per, list(kinds))
    for axes in grid.flat[len(frames) :]:
        axes.set_visible(False)
    legend(figure, *grid.flat)
    return figure


def _events(analysis: Analysis, frame: pl.DataFrame) -> list[tuple[str, float]]:
    run = analysis.sweep.finished.filter(setting=frame["setting"][0])["run"][0]
    return figure_data.events(analysis.sweep.directory / run)
