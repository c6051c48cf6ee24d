"""Pictures that several studies draw: ratios with their intervals, and curves in panels."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lab.analysis.paired import PairedMetric
from lab.reporting.plotting.canvas import canvas, curves, legend_below, palette, save
from lab.reporting.plotting.style import plain_log

ABREAST, TOGETHER = 0.16, 0.8
"""Distance between neighbouring dots of a scene, and largest total height of its dots, in rows."""

BEYOND = 1.5
"""Distance, as a factor, from the outermost number to the end of a line that stands for no end."""

LETTERS = 76
"""Most characters in a line below all panels of a row, plus the longest label of a row of dots."""

MANY_DECADES = 100.0
"""If the ends of an axis have at least this ratio, only powers of ten are marked."""


def draw_ratios(
    found: pl.DataFrame,
    titles: Mapping[PairedMetric, str] | Sequence[PairedMetric],
    path: Path,
    height_in: float = 3.4,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    goal: float | None = None,
) -> Path:
    """Draw the ratios from `paired.by_scene`, with a panel for each metric; return the path.

    `titles` lists the metrics, or maps them to titles. `ranges` maps names of metrics to the
    paper's ranges, which are drawn as bands. `goal` is drawn as a red line.
    """
    figure, [panels] = canvas(1, len(titles), height_in, sharey=True)
    for axes, metric in zip(panels, titles, strict=True):
        dots(axes, found.filter(metric=metric.name), (ranges or {}).get(metric.name))
        axes.set_title(titles[metric] if isinstance(titles, Mapping) else metric.title)
        if goal is not None:
            axes.axvline(goal, color="firebrick", lw=1)
    legend_below(figure, panels[0])
    return save(figure, path)


def draw_curves(
    rows: pl.DataFrame,
    panel: str,
    x: str,
    y: str,
    path: Path,
    by: str = "planner",
    *,
    markers: bool = True,
    mark: float | None = None,
    settings: Mapping[str, Any],
) -> Path:
    """Draw means over seeds as curves, with a panel for each value of `panel`; return the path.

    There is a row with `x` and `y` for each panel, each line (value of `by`) and each seed. `mark`
    is drawn as a red line. `settings` are passed to ``Axes.set``; without ``ylim``, linear y axes
    start at 0.
    """
    titles = rows[panel].unique(maintain_order=True).to_list()
    figure, [panels] = canvas(1, len(titles), 3.2, sharey="ylim" in settings)
    colors = palette(rows[by].unique(maintain_order=True).to_list())
    for one, title in zip(panels, titles, strict=True):
        part = rows.filter(pl.col(panel) == title)
        curves(one, part, x, y, by, colors=colors, markers=markers)
        one.set(title=title, **settings)
        if mark is not None:
            one.axvline(mark, color="firebrick", lw=1)
        for axis in (one.xaxis, one.yaxis):
            if axis.get_scale() == "log":
                plain_log(axis)
        if one.get_yscale() == "linear" and "ylim" not in settings:
            one.set_ylim(bottom=0)
    legend_below(figure, panels[0])
    return save(figure, path)


def dots(axes: Axes, frame: pl.DataFrame, paper: tuple[float, float] | None) -> None:
    """Draw a dot with its interval for each scene and planner, on a logarithmic axis.

    `frame` has ``scene``, ``planner``, ``ratio``, ``low`` and ``high``. A dot is open if its
    interval begins at 0 or has no upper end; the line of the interval then ends near the outermost
    numbers. The paper's range is drawn as a band. The label of the axis says which ratios are not
    drawn, and why.
    """
    scenes = frame["scene"].unique(maintain_order=True).to_list()
    planners = frame["planner"].unique(maintain_order=True).to_list()
    colors = palette(planners)
    if paper is not None:
        axes.axvspan(*paper, color="0.6", alpha=0.3, lw=0, zorder=0, label="the paper")
    axes.axvline(1, color="0.35", lw=1, zorder=0.5)
    abreast = min(ABREAST, TOGETHER / max(1, len(planners)))
    drawn = pl.concat([frame[name] for name in ("ratio", "low", "high")]).drop_nulls().to_numpy()
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    ends = (drawn.min() / BEYOND, drawn.max() * BEYOND) if drawn.size else (1.0, 1.0)
    for number, planner in enumerate(planners):
        part = frame.filter(pl.col("ratio").is_finite(), pl.col("ratio") > 0, planner=planner)
        y = [
            scenes.index(scene) + abreast * (number - (len(planners) - 1) / 2)
            for scene in part["scene"]
        ]
        for position, ratio, least, most in zip(
            y, part["ratio"], part["low"], part["high"], strict=True
        ):
            beyond = least is not None and (least == 0 or most == inf)
            if least is not None and most is not None:
                line = max(least, ends[0]), min(most, ends[1])
                axes.plot(line, [position, position], color=colors[planner], lw=1.5)
            axes.plot(
                ratio,
                position,
                marker="o",
                ms=5,
                color=colors[planner],
                markerfacecolor="white" if beyond else colors[planner],
            )
        axes.plot([], [], marker="o", color=colors[planner], label=planner)
    label = _ratio(frame, (LETTERS - max(map(len, scenes), default=0)) // len(axes.figure.axes))
    axes.set(xscale="log", yticks=range(len(scenes)), yticklabels=scenes, xlabel=label)
    if not axes.yaxis_inverted():  # Panels share the axis.
        axes.invert_yaxis()
    low, high = axes.get_xlim()
    few = high / low < MANY_DECADES
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _ratio(frame: pl.DataFrame, most: int) -> str:
    """Return the label of an axis of ratios, with how many a logarithmic axis cannot show, and why.

    A line of it has at most `most` characters. `frame` has ``ratio``, which is null if no seed has
    values of both planners, or all are 0.
    """
    ratio = frame["ratio"]
    left_out = {
        "infinite (the mean that divides is 0)": ratio.is_infinite().sum(),
        "zero (the mean that is divided is 0)": (ratio == 0).sum(),
        "unknown (both are 0, or no seed has both)": ratio.is_null().sum(),
    }
    said = "; ".join(f"{number} {words}" for words, number in left_out.items() if number)
    return fill(f"ratio; not drawn: {said}", most) if said else "ratio"
