"""Helpers for the figures of studies and what-if tools."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lab.analysis.paired import mean_interval
from lab.reporting.plotting import style
from lab.reporting.plotting.style import WIDTH_IN

DPI = 120


def canvas(
    rows: int, columns: int, height_in: float = 3.2, **subplots: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure that does not use ``pyplot``, and its panels, row by row.

    ``height_in`` is the height of a row in inches; ``subplots`` are passed to ``Figure.subplots``.
    """
    with style.style(1.1):
        figure = Figure((WIDTH_IN, height_in * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, **subplots)
    return figure, panels.tolist()


def palette(names: list[str]) -> dict[str, Any]:
    """Return a colour for each name; the same list gives the same colours."""
    return dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))


def curves(
    axes: Axes,
    rows: pl.DataFrame,
    x: str,
    y: str,
    by: str = "planner",
    *,
    colors: Mapping[str, Any] | None = None,
    markers: bool = False,
) -> None:
    """Draw means over seeds as lines, with bands that show their `t_interval`.

    `x` and `y` name the columns of the coordinates; each value of the column `by` has a line.
    Colours default to those of `palette`.
    """
    sns.lineplot(
        rows.select(x, y, by).to_dict(as_series=False),
        x=x,
        y=y,
        hue=by,
        style=by,
        markers=markers,
        palette="colorblind" if colors is None else dict(colors),
        errorbar=t_interval,
        ax=axes,
    )


def t_interval(values: ArrayLike) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean of n values; nan if n is below 2."""
    _, low, high = mean_interval(np.asarray(values, dtype=float))
    return (np.nan, np.nan) if low is None or high is None else (low, high)


def legend_below(figure: Figure, axes: Axes) -> None:
    """Replace the legends of panels by one legend below all panels."""
    for panel in figure.axes:
        if (legend := panel.get_legend()) is not None:
            legend.remove()
    style.legend(figure, axes)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; return the path."""
    return style.save(figure, path, DPI)
