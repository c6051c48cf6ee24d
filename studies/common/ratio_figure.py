"""Ratios with their intervals, drawn."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lab.reporting.plotting.canvas import palette

ABREAST, TOGETHER = 0.16, 0.8
"""Rows between the dots of one scene, and that all of them take at most."""

MANY_DECADES = 100.0
"""Ratio of the ends of an axis from which on only powers of ten are marked."""


def dots(axes: Axes, frame: pl.DataFrame, paper: tuple[float, float] | None) -> None:
    """Draw a dot with its interval for each scene and planner, on a log axis.

    Args:
        axes: where to draw.
        frame: with ``scene``, ``planner``, ``ratio``, ``low``, ``high`` and ``sign``; an open dot
            stands for a ratio that is a bound.
        paper: the paper's range, drawn as a band.
    """
    scenes = frame["scene"].unique(maintain_order=True).to_list()
    planners = frame["planner"].unique(maintain_order=True).to_list()
    colors = palette(planners)
    if paper is not None:
        axes.axvspan(*paper, color="0.6", alpha=0.3, lw=0, zorder=0, label="the paper")
    axes.axvline(1, color="0.35", lw=1, zorder=0.5)
    abreast = min(ABREAST, TOGETHER / max(1, len(planners)))
    for number, planner in enumerate(planners):
        part = frame.filter(planner=planner).drop_nulls("ratio")
        y = [
            scenes.index(scene) + abreast * (number - (len(planners) - 1) / 2)
            for scene in part["scene"]
        ]
        for position, ratio, least, most, sign in zip(
            y, part["ratio"], part["low"], part["high"], part["sign"], strict=True
        ):
            if least is not None and most is not None:
                axes.plot([least, most], [position, position], color=colors[planner], lw=1.5)
            axes.plot(
                ratio,
                position,
                marker="o",
                ms=5,
                color=colors[planner],
                markerfacecolor="white" if sign else colors[planner],
            )
        axes.plot([], [], marker="o", color=colors[planner], label=planner)
    axes.set(xscale="log", yticks=range(len(scenes)), yticklabels=scenes, xlabel="ratio")
    axes.invert_yaxis()
    low, high = axes.get_xlim()
    few = high / low < MANY_DECADES
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
