"""Boxes, arrows and words of schematic pictures, in tenths of an inch from the lower left.

Colours, sizes of fonts and the legend are those of all pictures of concepts.
"""

from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from lab.reporting.plotting.style import WIDTH_IN

UNIT = 10.0
"""Units per inch."""

WIDTH = WIDTH_IN * UNIT
INK, FAINT = "0.15", "0.45"
SMALL, NORMAL = 8.0, 9.0
"""Sizes of fonts, in points. Smaller ones cannot be read where a page is 700 pixels wide."""

_PALE = sns.color_palette("pastel")
BLUE, ORANGE, GREEN, RED, VIOLET, GREY = (_PALE[at] for at in (0, 1, 2, 3, 4, 7))
"""Pale fills, on which black words can be read."""

_STRONG = sns.color_palette("colorblind")
STRONG_BLUE, STRONG_ORANGE, STRONG_GREEN, STRONG_RED = (_STRONG[at] for at in (0, 1, 2, 3))


def sheet(height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of this height in units, and its axes without ticks."""
    figure = Figure((WIDTH_IN, height / UNIT))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(
    axes: Axes,
    place: tuple[float, float, float, float],
    text: str = "",
    fill: Any = "white",
    **words: Any,
) -> None:
    """Draw a box at (left, bottom, width, height) with a text in its middle."""
    left, bottom, width, height = place
    shape = "round,pad=0,rounding_size=0.5"
    axes.add_patch(
        FancyBboxPatch((left, bottom), width, height, shape, fc=fill, ec=FAINT, lw=0.8, zorder=2)
    )
    say(axes, left + width / 2, bottom + height / 2, text, **words)


def area(axes: Axes, place: tuple[float, float, float, float], title: str) -> None:
    """Draw a large box at (left, bottom, width, height) with a bold title at its top."""
    left, bottom, width, height = place
    axes.add_patch(Rectangle((left, bottom), width, height, fc="0.97", ec="0.7", lw=0.8, zorder=1))
    say(axes, left + width / 2, bottom + height - 1.4, title, weight="bold")


def say(axes: Axes, x: float, y: float, text: str, size: float = NORMAL, **look: Any) -> None:
    """Write a text whose middle is at (x, y), or its end as ``ha`` and ``va`` say."""
    usual = {"ha": "center", "va": "center", "color": INK, "zorder": 4, "linespacing": 1.15}
    axes.text(x, y, text, size=size, **{**usual, **look})


def key(axes: Axes, x: float, y: float, text: str, **look: Any) -> None:
    """Write the keys of the configuration that set what is drawn above."""
    say(axes, x, y, text, SMALL, **({"family": "monospace", "color": STRONG_BLUE} | look))


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: Any = INK,
    bend: float = 0.0,
    **look: Any,
) -> None:
    """Draw an arrow; `bend` curves it to the left of its way if positive."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=look.pop("arrowstyle", "-|>"),
            mutation_scale=9,
            shrinkA=0,
            shrinkB=0,
            connectionstyle=f"arc3,rad={-bend}",
            color=color,
            zorder=look.pop("zorder", 3),
            **({"lw": 1.2} | look),
        )
    )


def legend(figure: Figure, axes: Axes, columns: int, above: bool = False) -> None:
    """Put one legend below or above all panels, in columns, in a readable size."""
    handles, labels = axes.get_legend_handles_labels()
    look: dict[str, Any] = {"ncols": columns, "frameon": False, "fontsize": NORMAL}
    place: Any = f"outside {'upper' if above else 'lower'} center"
    figure.legend(handles, labels, loc=place, **look)
