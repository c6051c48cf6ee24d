"""Pictures of the atlas: for each pair of axes, which planner is most often the best."""

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Patch

from lab.atlas.axes import AXES, Categories, Ordered
from lab.atlas.verdicts import Outcome
from lab.common.formatting import number
from lab.reporting.plotting.canvas import DPI, canvas, palette
from scenarios.numerics import Ints

Axis = Ordered | Categories

BINS = 4
"""Number of equal parts of an ordered axis."""

OTHERS = (str(Outcome.TIE), str(Outcome.UNDECIDED), str(Outcome.NOBODY))


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
