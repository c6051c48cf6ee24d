"""Means of metrics by planner and by a swept key."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from lab.analysis.settings import short_keys, short_texts
from lab.analysis.sweep_analysis import Analysis, planners_of
from lab.common.metrics import DRAWN, GOODPUT, Metric
from lab.common.units import unit_of
from lab.reporting.drawings.panels import (
    MOST_BANDS,
    few_ticks,
    label_of,
    legend_room_in,
    name_places,
    place_of,
    planner_looks,
)
from lab.reporting.plotting.style import WIDTH_IN, from_zero, legend, say, wrapped


def by_key(analysis: Analysis, key: str) -> Figure:
    """Draw the metrics over the values of a key: lines over numbers, dots over words."""
    frame = analysis.by_key[key]
    values = analysis.sweep.settings[key].unique(maintain_order=True)
    name = dict(zip(analysis.sweep.keys, short_keys(list(analysis.sweep.keys)), strict=True))[key]
    if values.dtype.is_numeric():
        return _lines(analysis, frame, key, name)
    return _dots(analysis, frame, key, values.to_list())


def planners_compared(analysis: Analysis) -> Figure:
    """Draw the metrics of planners that met one setting."""
    means = analysis.alike_means
    return _dots(analysis, means, "setting", [str(means["setting"][0])])


def title_of_all(analysis: Analysis) -> str:
    """Return the title of a figure of all planners; one alone is compared with nothing."""
    return "Planners compared" if len(planners_of(analysis.sweep)) > 1 else "Figures of merit"


def _panels(
    analysis: Analysis, title: str, panel_in: float, share_y: bool
) -> tuple[Figure, dict[Metric, Axes]]:
    """Return a figure with a panel for each metric that is drawn."""
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
                low, high = (known[end].to_numpy() for end in ("boot_low", "boot_high"))
                axes.vlines(known[key].to_numpy(), low, high, color=look["color"], lw=1.2)
        axes.set_title(fill(metric.title, 38), fontsize="medium")
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
    # Names are broken into lines, for which there must be room.
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
                _dot(axes, found, y, look, label_of(planner) if place == 0 else "")
        name_places(axes, list(map(wrapped, labels)), lines=not alone)
        axes.set_title(fill(metric.title, 38), fontsize="medium")
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


def _say_not_reached(axes: Axes, axis: Any) -> None:
    """Say that a metric has no value in any run, and leave its axis bare."""
    say(axes, "in no run")
    axis.set_ticks([])


def _percent(axis: Any, metric: Metric) -> None:
    if metric.unit == "":
        axis.set_major_formatter(PercentFormatter(1))
