"""Service goodput over time."""

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from lab.analysis import run_data as figure_data
from lab.analysis.sweep_analysis import Analysis, planners_of
from lab.reporting.drawings.panels import (
    MOST_BANDS,
    MOST_PANELS,
    facets,
    label_of,
    legend_room_in,
    name_setting,
    planner_looks,
)
from lab.reporting.plotting.style import (
    GREY,
    WIDTH_IN,
    from_zero,
    legend,
    mark_events,
    step_edges,
    steps,
    time_unit,
)


def over_time(analysis: Analysis) -> Figure:
    """Draw goodput over time, with what is active, setting by setting."""
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
                # An interval of two seeds may reach far beyond what there is.
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
    """Return the drift events of a setting, which all its runs share."""
    run = analysis.sweep.finished.filter(setting=frame["setting"][0])["run"][0]
    return figure_data.events(analysis.sweep.directory / run)
