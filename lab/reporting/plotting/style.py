"""The style of figures: colours, legends and bars.

Colours are seaborn's ``colorblind``; dashes, markers and hatches distinguish lines in grey prints.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from lab.analysis.run_data import PARTS, at_once
from lab.common.atomic_write import written_aside

WIDTH_IN = 7.2
DPI = 150
# Widths in characters, at the usual width and font size of figures.
LEGEND_WIDTH = 88
LEGEND_HANDLE = 9
GREY = "0.45"
EVENT_COLOR = "firebrick"
DASHES = ((), (4, 1.5), (1, 1), (3, 1, 1, 1), (5, 1, 1, 1, 1, 1), (2, 2))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo")

WIDE = 50.0
"""Logarithmic axes whose ends have at least this ratio are labelled only at powers of ten."""


@contextmanager
def style(font_scale: float = 1.25) -> Iterator[None]:
    """Set the style of figures in a ``with`` body; a smaller font suits figures with much text."""
    with sns.axes_style("whitegrid"), sns.plotting_context("paper", font_scale=font_scale):
        yield


def save(figure: Figure, path: Path, dpi: int = DPI) -> Path:
    """Write a figure atomically as PNG or SVG, without dates and versions; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=dpi, format=path.suffix[1:], metadata=plain)
    return path


def looks(names: Iterable[str], markers: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each name with its colour, dashes and optional marker, which all figures share."""
    every = list(names)
    colors = sns.color_palette("colorblind", len(every))
    for name, color, dashes, marker in zip(every, colors, cycle(DASHES), cycle(MARKERS)):
        look = {"color": color, "ls": (0, dashes) if dashes else "-"}
        yield name, look | ({"marker": marker} if markers else {})


def time_unit(end_s: float) -> tuple[float, str]:
    """Return a unit for times up to `end_s`, as its length in seconds and its symbol."""
    if end_s > 4 * 3600:
        return 3600.0, "h"
    return (60.0, "min") if end_s > 600 else (1.0, "s")


def mark_events(
    axes: Axes,
    events: Sequence[tuple[str, float]],
    end_s: float,
    per: float,
    kinds: Sequence[str] = (),
) -> None:
    """Mark the events before `end_s` by vertical lines; each kind has its own dashes.

    ``per`` is the unit of the axis in seconds. ``kinds`` are the kinds in all panels that share a
    legend.
    """
    seen = [(kind, at_s) for kind, at_s in events if at_s < end_s]
    kinds = list(dict.fromkeys([*kinds, *(kind for kind, _ in seen)]))
    labelled: set[str] = set()
    for kind, at_s in seen:
        dashes = DASHES[1 + kinds.index(kind) % (len(DASHES) - 1)]
        label = None if kind in labelled else kind
        axes.axvline(at_s / per, color=EVENT_COLOR, lw=1.4, ls=(0, dashes), label=label)
        labelled.add(kind)


def from_zero(axes: Axes) -> None:
    """Start the y axis just below 0, so that a line at 0 is visible."""
    top = axes.dataLim.ymax * 1.05 or 1
    axes.set_ylim(-0.02 * top, top)


def log_ticks(axes: Axes, left: float, right: float) -> None:
    """Label a logarithmic x axis with a sufficient number of plain numbers."""
    steps = (1, 2, 5) if right < 300 * left else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter("")


def part_looks() -> dict[str, dict[str, Any]]:
    """Return the colour and hatch of each part of latency, which all figures share."""
    colors = sns.color_palette("colorblind")
    return {
        part: {"color": color, "hatch": hatch, "edgecolor": "white"}
        for part, color, hatch in zip(PARTS, colors, HATCHES, strict=False)
    }


def part_bars(
    axes: Axes,
    means: pl.DataFrame,
    per: float,
    parts: Sequence[str],
    whole_s: Sequence[float | None] = (),
) -> None:
    """Draw a horizontal bar for each operator, with its mean times by part and their total.

    ``per`` is the unit of the axis in seconds. ``whole_s`` has the mean latency of a request for
    each bar; it is added in brackets if operators worked in parallel.
    """
    left = np.zeros(means.height)
    for part, look in part_looks().items():
        if part not in parts:
            continue
        lengths = means[part].to_numpy() / per
        axes.barh(
            means["operator"].to_list(), lengths, left=left, lw=0.5, height=0.7, label=part, **look
        )
        left += lengths
    for row, (operator, total) in enumerate(zip(means["operator"], left, strict=True)):
        text = time_text(total)
        mean_s = whole_s[row] if whole_s else None
        if mean_s is not None and at_once(total * per, mean_s):
            text += f" ({time_text(mean_s / per)})"
        axes.annotate(text, (total, operator), (4, 0), textcoords="offset points", va="center")
    axes.grid(axis="y", visible=False)


def time_text(time: float) -> str:
    """Return a time as text with a suitable number of digits."""
    return f"{time:,.0f}" if time >= 10 else f"{time:.1f}"


def total_text(sum_s: float, mean_s: float | None, per: float, unit: str) -> str:
    """Return the total time of operators, or the mean latency if they worked in parallel."""
    if mean_s is not None and at_once(sum_s, mean_s):
        return f"{time_text(mean_s / per)} {unit} in total,\nsome in parallel"
    return f"{time_text(sum_s / per)} {unit} in total"


def stacked_bars(
    axes: Axes,
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    text: Callable[[float], str],
) -> None:
    """Draw a horizontal bar for each name; its parts are labelled where there is room."""
    left = np.zeros(len(names))
    longest = max(sum(column) for column in zip(*parts.values(), strict=True)) or 1.0
    # These colours are pale, so that black numbers can be read on them.
    colors = sns.color_palette("pastel")
    for (label, lengths), color, hatch in zip(
        parts.items(), [colors[at] for at in (0, 1, 7, 2, 4, 3)], HATCHES, strict=False
    ):
        axes.barh(
            names,
            lengths,
            left=left,
            color=color,
            hatch=hatch,
            edgecolor="0.3",
            height=0.65,
            label=label,
        )
        for y, length in enumerate(lengths):
            if length > 0.08 * longest:
                axes.text(
                    left[y] + length / 2,
                    y,
                    text(length),
                    ha="center",
                    va="center",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
                )
        left += lengths
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)


def wrapped(name: str) -> str:
    """Break a planner's long name into lines."""
    return "\n".join(wrap(name.replace("(", " (", 1), 24)).replace(" (", "(")


def step_edges(frame: pl.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the times at which steps begin or end, and the steps' heights."""
    times = np.append(frame["start_s"].to_numpy(), frame["end_s"][-1])
    return times, np.append(frame[column].to_numpy(), frame[column][-1])


def steps(axes: Axes, frame: pl.DataFrame, column: str, per: float, **look: Any) -> None:
    """Draw a column as steps, one per window; ``per`` is the unit of the axis in seconds."""
    times, heights = step_edges(frame, column)
    axes.plot(times / per, heights, drawstyle="steps-post", **look)


def legend(figure: Any, *panels: Axes) -> None:
    """Put one legend below all panels, with each label once, in as many columns as fit."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    labels = list(found)
    if labels:
        figure.legend(
            list(found.values()),
            labels,
            loc="outside lower center",
            ncols=legend_columns(labels),
            frameon=False,
        )


def legend_in(labels: Sequence[str]) -> float:
    """Return the approximate height of a legend in inches."""
    return 0.25 * -(-len(labels) // legend_columns(labels)) if labels else 0.0


def legend_columns(labels: Sequence[str]) -> int:
    """Return how many columns of a legend, filled in matplotlib's order, fit into a figure."""
    for columns in range(len(labels), 1, -1):
        widest = [max(map(len, column)) for column in np.array_split(labels, columns)]
        if sum(widest) + LEGEND_HANDLE * len(widest) <= LEGEND_WIDTH:
            return columns
    return 1


def no_data(axes: Axes, text: str = "no data") -> None:
    """Write a text in the middle of empty axes, and remove their ticks."""
    say(axes, text)
    axes.set(xticks=[], yticks=[])


def say(axes: Axes, text: str) -> None:
    """Write a text in the middle of the axes."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)


def plain_log(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers: powers of ten and, on short ranges, 2 and 5."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < WIDE else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
