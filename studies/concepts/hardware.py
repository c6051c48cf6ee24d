"""What a part of a GPU can do: measured times by MIG slices and MPS shares, and MIG layouts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hardware_models.gpu import mig, mps
from hardware_models.tables import load_table
from lab.reporting.plotting import style
from lab.reporting.plotting.canvas import palette, save

BOARD = "A100-80GB"
SLICES = ("resnet50", "bert", "vgg19")
BATCHES = (1, 32)
SHARES, SHARES_BATCHES = ("resnet50", "vgg19"), (1, 16)
LOOKS: tuple[dict[str, Any], ...] = ({"ls": "--", "marker": "o"}, {"ls": "-", "marker": "s"})
"""Of small and of large batches."""

COLUMNS = 3


def hardware(path: Path) -> Path:
    """Draw measured times and the layouts of a card; return the path."""
    with style.style(1.0):
        figure = Figure((style.WIDTH_IN, 5.6), layout="constrained")
        halves: Any = figure.subfigures(2, 1, height_ratios=(1.25, 1))
        upper, lower = halves
        by_slices, by_share = upper.subplots(1, 2)
        layouts = lower.subplots(1, COLUMNS)
    _by_slices(by_slices)
    _by_share(by_share)
    _layouts(list(layouts))
    lower.suptitle(
        f"All layouts of an {BOARD} to which no GPU instance can be added, by memory slice",
        fontsize=9.5,
    )
    return save(figure, path)


def _by_slices(axes: Axes) -> None:
    """Draw the times of a batch on instances, relative to that on the whole card."""
    table = load_table("gpu_latency").filter(gpu=BOARD, mps_procs=1)
    _slowdowns(axes, table, SLICES, BATCHES, "mig_gpcs", "batch_latency_ms")
    slices = np.linspace(1, 7, 50)
    axes.plot(slices, 7 / slices, color="0.5", ls=":", label="7 / slices", zorder=0)
    axes.set(xlabel="compute slices of the instance", xticks=(1, 2, 3, 4, 7))
    axes.set_title(f"MIG, {BOARD}", fontsize=9.5)
    axes.set_ylabel("time of a batch, in multiples\nof that on the whole card")
    axes.legend(fontsize=8, handlelength=2.6)


def _by_share(axes: Axes) -> None:
    """Draw the times of a batch with a limited share of threads, relative to all threads."""
    rows = mps.thread_rows()
    _slowdowns(axes, rows, SHARES, SHARES_BATCHES, "mps_active_thread_pct", "value")
    shares = np.linspace(10, 100, 50)
    axes.plot(shares, 100 / shares, color="0.5", ls=":", label="100 / share", zorder=0)
    axes.set(xlabel="share of the GPU's threads (%)", xticks=(10, 50, 100))
    axes.set_title(f"MPS, {rows['gpu'][0]}", fontsize=9.5)
    axes.legend(fontsize=8, handlelength=2.6)


def _slowdowns(
    axes: Axes, rows: pl.DataFrame, models: Sequence[str], batches: Sequence[int], x: str, y: str
) -> None:
    """Draw a line for each model and batch, relative to the time of the largest part of a GPU."""
    colors = palette(list(SLICES))
    for model in models:
        for batch, look in zip(batches, LOOKS, strict=True):
            one = rows.filter(model=model, batch=batch).sort(x)
            times = one[y].to_numpy() / one[y][-1]
            label = f"{model}, batch {batch}"
            axes.plot(one[x].to_list(), times, color=colors[model], ms=4.5, label=label, **look)


def _layouts(panels: list[Axes]) -> None:
    """Draw every layout of plain profiles to which no instance can be added."""
    profiles = mig.profiles(BOARD)
    plain = [name for name in profiles if name != "1g.20gb" and "+me" not in name]
    layouts = sorted(mig.maximal_layouts(BOARD, plain), key=lambda each: (len(each), each))
    colors = dict(zip(plain, sns.color_palette("pastel"), strict=False))
    rows = -(-len(layouts) // len(panels))
    for column, axes in enumerate(panels):
        for row, layout in enumerate(layouts[column * rows : (column + 1) * rows]):
            for name, start in layout:
                size = profiles[name].size
                axes.barh(row, size, left=start, height=0.84, color=colors[name], ec="0.4", lw=0.8)
                text = name.partition(".")[0]
                axes.text(start + size / 2, row, text, ha="center", va="center", size=8)
        axes.set(xlim=(0, 8), ylim=(rows - 0.45, -0.55), yticks=[], xticks=range(9))
        axes.grid(visible=False)
        axes.tick_params(labelsize=8)
