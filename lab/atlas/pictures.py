"""Pictures of the atlas: how often each planner is the best, in all and for each pair of axes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lab.atlas.advice import shares
from lab.atlas.axes import AXES, Categories, Ordered
from lab.atlas.verdicts import Outcome
from lab.common.formatting import number
from lab.reporting.plotting.canvas import DPI, canvas, legend_below, palette, save
from lab.reporting.plotting.style import stacked_bars
from scenarios.numerics import Ints

Axis = Ordered | Categories

BINS = 4
"""Number of equal parts of an ordered axis."""

OTHERS = (str(Outcome.TIE), str(Outcome.UNDECIDED), str(Outcome.NOBODY))

ROOM = 0.14
"""Least share whose bar has room for its number."""

PAIRS = tuple(combinations(AXES, 2))


def draw_pairs(
    found: pl.DataFrame,
    metric: str,
    planners: Sequence[str],
    to: Path,
    pairs: Iterable[tuple[Axis, Axis]] = PAIRS,
) -> list[Path]:
    """Draw one picture for each pair of axes as ``AXIS-AXIS.png``; return the paths.

    Each tile has the colour of the most frequent verdict of its cells, and says of how many cells.
    """
    to.mkdir(parents=True, exist_ok=True)
    paths = []
    for one, other in pairs:
        figure, [[axes]] = canvas(1, 1, 4.2)
        tiles(axes, found, metric, planners, one, other)
        axes.legend(
            handles=[Patch(color=each, label=name) for name, each in colours(planners).items()],
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
        )
        paths.append(to / f"{one.name}-{other.name}.png")
        figure.savefig(paths[-1], dpi=DPI)
    return paths


def draw_shares(
    found: pl.DataFrame, metrics: Mapping[str, str], planners: Sequence[str], path: Path
) -> Path:
    """Draw in which share of all cells each planner wins, ties, or may be the best.

    ``metrics`` maps the metrics, each of which has a panel, to words for their titles.
    """
    figure, [panels] = canvas(1, len(metrics), 0.9 + 0.4 * len(planners), sharey=True)
    for axes, (metric, words) in zip(panels, metrics.items(), strict=True):
        part = shares(found, planners, metric)
        lengths = {
            "alone the best": part["wins"].to_list(),
            "ties with the best": part["ties"].to_list(),
            "may be the best": part["undecided"].to_list(),
        }
        stacked_bars(axes, part["planner"].to_list(), lengths, _roomy)
        axes.set(
            title=f"by {words}",
            xlabel="share of all scenes",
            xlim=(0, 1),
            xticks=(0, 0.25, 0.5, 0.75),
        )
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    if not panels[0].yaxis_inverted():  # Panels share the axis, which each of them inverted.
        panels[0].invert_yaxis()
    legend_below(figure, panels[0])
    return save(figure, path)


def _roomy(share: float) -> str:
    """Return a share as text if its bar is long enough for it."""
    return f"{share:.0%}" if share >= ROOM else ""


def colours(planners: Sequence[str]) -> dict[str, Any]:
    """Return the colour of each planner, of a tie and of an undecided cell."""
    return {**palette(list(planners)), OTHERS[0]: "0.75", OTHERS[1]: "0.92", OTHERS[2]: "0.2"}


def tiles(
    axes: Axes,
    found: pl.DataFrame,
    metric: str,
    planners: Sequence[str],
    one: Axis,
    other: Axis,
) -> None:
    """Draw the tiles of two axes."""
    (rows, row_names), (columns, column_names) = _binned(found, one), _binned(found, other)
    shown = colours(planners)
    names = list(shown)
    labels = found[f"{metric}_verdict"].to_numpy()
    grid = np.full((len(row_names), len(column_names)), np.nan)
    for row in range(len(row_names)):
        for column in range(len(column_names)):
            here = labels[(rows == row) & (columns == column)]
            if not len(here):
                continue
            count = [int((here == name).sum()) for name in names]
            best = int(np.argmax(count))
            grid[row, column] = best
            dark = sum(to_rgb(shown[names[best]])) < 1.5
            axes.text(
                column,
                row,
                f"{count[best]} of {len(here)}",
                ha="center",
                va="center",
                size=8,
                color="white" if dark else "black",
            )
    axes.imshow(
        grid,
        cmap=ListedColormap(list(shown.values())),
        vmin=-0.5,
        vmax=len(names) - 0.5,
        aspect="auto",
        origin="lower",
    )
    axes.grid(visible=False)
    axes.set_xticks(range(len(column_names)), column_names, rotation=30, ha="right")
    axes.set_yticks(range(len(row_names)), row_names)
    axes.set(xlabel=_label(other), ylabel=_label(one))


def _label(axis: Axis) -> str:
    unit = axis.unit if isinstance(axis, Ordered) else ""
    return f"{axis.words} ({unit})" if unit else axis.words


def _binned(found: pl.DataFrame, axis: Axis) -> tuple[Ints, list[str]]:
    """Return the number of each cell's part of an axis, and the names of the parts."""
    if isinstance(axis, Ordered):
        at = np.array([axis.coordinate(value) for value in found[axis.name]])
        edges = [number(axis.at(each / BINS)) for each in range(BINS + 1)]
        names = [f"{low} to {high}" for low, high in pairwise(edges)]
        return np.clip((at * BINS).astype(int), 0, BINS - 1), names
    values = list(axis.values)
    return np.array([values.index(each) for each in found[axis.name]]), values
