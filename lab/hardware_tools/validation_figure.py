"""A figure of predictions against measurements."""

from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from lab.reporting.drawings.panels import label_of
from lab.reporting.plotting.canvas import canvas, save
from lab.reporting.plotting.style import legend, legend_in, looks, plain_log, say, style

MOST_GROUPS = 12
BAND = 0.1
LONGEST = 34
"""Largest number of characters of a group's name in the legend."""


def draw_validation(rows: pl.DataFrame, title: str, path: Path) -> Path:
    """Draw each target's predictions, and their ratios to measurements; return the path.

    A line marks exact predictions, and a band marks errors up to 10 %. If there are more than
    `MOST_GROUPS` groups, the last ones are drawn as one group.
    """
    rows = rows.drop_nulls("predicted").filter(pl.col("predicted") > 0)
    targets = rows["target"].unique(maintain_order=True).to_list()
    names = _names(rows["group"])
    rows = rows.with_columns(
        pl.col("group").replace(names), ratio=pl.col("predicted") / pl.col("measured")
    )
    labels = {name: label_of(name, LONGEST) for name in dict.fromkeys(names.values())}
    rows_drawn = max(len(targets), 1)
    height_in = 3.4 + legend_in(list(labels.values())) / rows_drawn
    figure, panels = canvas(rows_drawn, 2, height_in)
    figure.suptitle(title)
    for (left, right), target in zip(panels, targets, strict=False):
        part = rows.filter(target=target)
        for axes, y in ((left, "predicted"), (right, "ratio")):
            for name, look in looks(labels, markers=True):
                group = part.filter(group=name)
                look |= {"ls": "", "ms": 4.5, "mec": "white", "mew": 0.2, "label": labels[name]}
                axes.plot(group["measured"], group[y], **look)
        _agreement(left, right, part)
        left.set(xlabel=f"measured {target}", ylabel=f"predicted {target}")
        right.set(xlabel=f"measured {target}", ylabel="predicted / measured")
    if not targets:
        for axes in panels[0]:
            say(axes, "no predicted rows")
    with style(1.1):
        legend(figure, panels[0][0])
    return save(figure, path)


def _names(groups: pl.Series) -> dict[str, str]:
    """Return each group's name in the legend; if there are many, the last ones share a name."""
    order = sorted(groups.unique())
    if len(order) <= MOST_GROUPS:
        return {name: name for name in order}
    kept = order[: MOST_GROUPS - 1]
    rest = f"{len(order) - len(kept)} others"
    return {name: name if name in kept else rest for name in order}


def _agreement(left: Axes, right: Axes, part: pl.DataFrame) -> None:
    """Draw the line of exact predictions and the 10 % band; fit the axes to the data."""
    both = np.concatenate([part["measured"].to_numpy(), part["predicted"].to_numpy()])
    low, high = both.min() / 1.2, both.max() * 1.2
    ends = np.array([low, high])
    for axes, exact in ((left, ends), (right, np.ones(2))):
        axes.fill_between(
            ends, (1 - BAND) * exact, (1 + BAND) * exact, color="0.6", alpha=0.3, lw=0, zorder=0
        )
        axes.plot(ends, exact, color="0.35", lw=1, zorder=0.5)
        axes.set(xscale="log", yscale="log", xlim=(low, high))
    left.set_ylim(low, high)
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        plain_log(axis)
    off = np.abs(np.log(part["ratio"].to_numpy())).max()
    widest = max(1.25, 1.1 * np.exp(off))
    marks = (0.8, 1, 1.25) if widest < 2.5 else (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100)
    ticks = [one for one in marks if 1 / widest < one < widest]
    right.set(ylim=(1 / widest, widest), yticks=ticks)
    right.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    right.yaxis.set_minor_formatter(NullFormatter())
