"""Panels, styles and labels shared by the figures of a report."""

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lab.analysis.sweep_analysis import POOLED, Analysis, planners_of
from lab.reporting.plotting.style import legend_in, looks

MOST_BARS = 8
MOST_PANELS = 6
MOST_BANDS = 5


def facets(
    analysis: Analysis, frame: pl.DataFrame, most: int, pooled: pl.DataFrame | None = None
) -> dict[str, pl.DataFrame]:
    """Return the rows of each setting that gets a panel, by the setting's short name.

    If there are more than `most` settings, the result is the pooled frame if it is given, and the
    rows of some settings otherwise.
    """
    short = dict(analysis.sweep.settings.select("setting", "short").rows())
    here = set(frame["setting"])
    settings = [one for one in short if one in here]
    if len(settings) > most:
        if pooled is not None:
            return {POOLED: pooled}
        settings = [settings[at] for at in np.linspace(0, len(settings) - 1, most).astype(int)]
    return {short[one]: frame.filter(setting=one) for one in settings}


def facets_text(analysis: Analysis, most: int, pooled: bool) -> str:
    """Return a sentence on the settings that `facets` shows; empty if it shows all settings.

    `pooled` says whether more than `most` settings are pooled.
    """
    settings = len(analysis.comparisons)
    if settings <= most:
        return ""
    return f"Over all {settings} settings." if pooled else f"Shown: {most} of {settings} settings."


def planner_looks(analysis: Analysis) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each planner with its colour, marker and dashes, which all figures share."""
    return looks(planners_of(analysis.sweep), markers=True)


def place_of(place: int, at: int, count: int) -> float:
    """Return the y coordinate of dot number `at` of the `count` dots that share a row."""
    return place + (at - (count - 1) / 2) * 0.7 / count


def name_places(axes: Axes, labels: Sequence[str], lines: bool) -> None:
    """Label the rows of dots from top to bottom; `lines` draws lines between the rows."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    for place in range(1, len(labels) if lines else 1):
        axes.axhline(place - 0.5, color="0.85", lw=0.8)


def name_setting(axes: Axes, name: str, width: int) -> None:
    """Use the name of a setting as the title of a panel, unless the name is empty."""
    if name:
        axes.set_title(broken(name, width), fontsize="medium")


def broken(setting: str, width: int) -> str:
    """Break the name of a setting into lines, if necessary between a key and its value."""
    return fill(setting.replace("=", "= "), width).replace("= ", "=")


def label_of(planner: str, longest: int = 60) -> str:
    """Return the name of a planner for figures; a very long name is cut."""
    return planner if len(planner) <= longest else f"{planner[: longest - 1]}…"


def legend_room_in(labels: Sequence[str]) -> float:
    """Return the height in inches of a legend of planners."""
    return legend_in([label_of(label) for label in labels])


def few_ticks(axis: Any) -> None:
    """Use few ticks, so that the labels of an axis do not touch."""
    axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
