"""A figure of predictions against what was measured."""

from itertools import cycle, islice
from pathlib import Path

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from lab.common.atomic_write import written_aside
from lab.reporting.plotting.style import plain_log

WIDTH_IN = 7.2
DPI = 120
MOST_GROUPS = 12
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "d")
BAND = 0.1
# In characters, as they come out at this width and size of letters.
LONGEST = 34
LEGEND_WIDTH = 84
LEGEND_HANDLE = 9


def draw_validation(rows: pl.DataFrame, title: str, path: Path) -> Path:
    """Draw predicted over measured figures, and their ratio, on log axes: a row for each target.

    The line is where both agree, the band 10 % to either side of it. Groups are told apart by
    colour and marker; beyond a dozen of them, the last ones share one look.

    Args:
        rows: compared rows, see `lab.hardware_tools.validation.compare`.
        title: what stands above.
        path: the PNG file to write.

    Returns:
        The path.
    """
    rows = rows.drop_nulls("predicted").filter(pl.col("predicted") > 0)
    targets = rows["target"].unique(maintain_order=True).to_list()
    names = _names(rows["group"])
    rows = rows.with_columns(
        pl.col("group").replace(names), ratio=pl.col("predicted") / pl.col("measured")
    )
    shown = list(dict.fromkeys(names.values()))
    looks = dict(zip(shown, sns.color_palette("colorblind", len(shown)), strict=True))
    markers = dict(zip(shown, islice(cycle(MARKERS), len(shown)), strict=True))
    labels = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in shown]
    columns = max(1, LEGEND_WIDTH // (max(map(len, labels), default=0) + LEGEND_HANDLE))
    with sns.axes_style("whitegrid"), sns.plotting_context("paper", font_scale=1.1):
        size = WIDTH_IN, 3.4 * max(len(targets), 1) + 0.2 * -(-len(shown) // columns)
        figure = Figure(size, layout="constrained")
        figure.suptitle(title)
        panels = figure.subplots(max(len(targets), 1), 2, squeeze=False)
        for (left, right), target in zip(panels, targets, strict=False):
            part = rows.filter(pl.col("target") == target)
            for axes, y in ((left, "predicted"), (right, "ratio")):
                sns.scatterplot(
                    part.select("measured", y, "group").to_dict(as_series=False),
                    x="measured",
                    y=y,
                    hue="group",
                    style="group",
                    hue_order=shown,
                    style_order=shown,
                    palette=looks,
                    markers=markers,
                    s=16,
                    linewidth=0.2,
                    legend=False,
                    ax=axes,
                )
            _agreement(left, right, part)
            left.set(xlabel=f"measured {target}", ylabel=f"predicted {target}")
            right.set(xlabel=f"measured {target}", ylabel="predicted / measured")
        for axes in panels[len(targets) :].flat:
            axes.text(0.5, 0.5, "no row is predicted", ha="center", va="center")
        handles = [Line2D([], [], ls="", marker=markers[name], color=looks[name]) for name in shown]
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            # The name of the software would make bytes depend on its version.
            figure.savefig(aside, dpi=DPI, format="png", metadata={"Software": None})
    return path


def _names(groups: pl.Series) -> dict[str, str]:
    """Name what each group is shown as: itself, or the rest."""
    order = sorted(groups.unique())
    if len(order) <= MOST_GROUPS:
        return {name: name for name in order}
    kept = order[: MOST_GROUPS - 1]
    rest = f"{len(order) - len(kept)} others"
    return {name: name if name in kept else rest for name in order}


def _agreement(left: Axes, right: Axes, part: pl.DataFrame) -> None:
    """Draw where predictions are right, and where they are 10 % off; fit the axes to the data."""
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
