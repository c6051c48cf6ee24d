"""The headline ratios over the two caps that decide them: items and workers of profiling.

Planners without early stopping profile as many items for each configuration as they are told, here
from a quarter of the headline's number to twice as many; Compass's profiler stops by itself. The
number of workers of a lane is the same for all.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from lab.analysis.paired import PairedMetric, by_scene, counted, explained
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, legend_below, palette, save
from lab.run_cache.jobs import Job
from studies.common.measures import totals
from studies.common.scenes import APPLICATIONS, CLUSTERS, QUICK, Size, available, planner_of, scene
from studies.experiments.headline import COST, GOODPUT, PAPER, RESPONSE, paper_range

TITLE = "Ratios over the caps on profiling"
PLANNERS = ("compass", "vulcan", "videostorm")
ITEMS = (25, 50, 100, 200)
WORKERS = (8, 16, 32)
HEADLINE = {"items": 100, "workers": 16}
SIZE = Size(30, 240.0)
SEEDS = 5
"""Most seeds, of which each takes 24 runs of each planner."""

METRICS = {"limited": (GOODPUT,), "unlimited": (COST, RESPONSE)}


def jobs(seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
    """Return the runs; the first planner is not told how many items to profile."""
    listed = available(planners or PLANNERS)
    points = [("items", items, items, HEADLINE["workers"]) for items in ITEMS]
    points += [("workers", workers, HEADLINE["items"], workers) for workers in WORKERS]
    return [
        Job(
            (
                *scene(application, QUICK if quick else SIZE, cluster),
                planner_of(planner, cluster),
                f"cluster.profiling.workers={workers}",
                *([] if planner == listed[0] else [f"planner.samples={items}"]),
            ),
            seed,
            totals,
            {
                "application": application,
                "cluster": cluster,
                "cap": cap,
                "value": value,
                "planner": planner,
            },
        )
        for cap, value, items, workers in points
        for application in APPLICATIONS
        for cluster in CLUSTERS
        for planner in listed
        for seed in seeds[:SEEDS]
    ]


def found(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the ratios of the first planner to the others at every value of every cap."""
    reference = str(rows["planner"][0])
    keys = ["cap", "value", "application"]
    return pl.concat(
        by_scene(rows.filter(cluster=cluster), metrics, reference, keys)
        for cluster, metrics in METRICS.items()
    )


def section(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    metrics = [metric for group in METRICS.values() for metric in group]
    frame = found(rows)
    yield (
        f"{SIZE.queries} queries at the end of {SIZE.horizon_s:g} s. The headline has "
        f"{HEADLINE['items']} items and {HEADLINE['workers']} workers. Ratios as above."
    )
    yield ""
    for cap, unit in (("items", "items a configuration"), ("workers", "workers of a lane")):
        values = ITEMS if cap == "items" else WORKERS
        yield from table(
            ["metric", "application", "against", *(f"{each} {unit}" for each in values), "paper"],
            (
                [metric.title, application, planner]
                + [_cell(part.filter(value=value)) for value in values]
                + [paper_range(metric.name)]
                for metric in metrics
                for (application, planner), part in frame.filter(
                    cap=cap, metric=metric.name
                ).group_by("application", "planner", maintain_order=True)
            ),
        )
        yield from explained(frame.filter(cap=cap))


def _cell(part: pl.DataFrame) -> str:
    if part.is_empty():
        return "-"
    row = part.row(0, named=True)
    ratio = estimated(row["ratio"], row["low"], row["high"], row["sign"])
    seeds = counted(row["n"], row["of"])
    return ratio if row["n"] == row["of"] else f"{ratio} ({seeds} seeds)"


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios as curves over each cap."""
    metrics = [metric for group in METRICS.values() for metric in group]
    frame = found(rows)
    paths = []
    for cap, label in (("items", "items a configuration"), ("workers", "workers of a lane")):
        figure, panels = canvas(len(APPLICATIONS), len(metrics), 2.6)
        for application, row in zip(APPLICATIONS, panels, strict=True):
            for metric, axes in zip(metrics, row, strict=True):
                part = frame.filter(cap=cap, application=application, metric=metric.name)
                curves(axes, part, metric)
                axes.set_title(f"{application}:\n{metric.title}")
                axes.set(xlabel=label, ylabel="ratio")
        legend_below(figure, panels[0][0])
        paths.append(save(figure, directory / f"evaluation_caps_{cap}.png"))
    return paths


def curves(axes: Axes, part: pl.DataFrame, metric: PairedMetric) -> None:
    """Draw a curve with its intervals for each planner, on log axes."""
    planners = part["planner"].unique(maintain_order=True).to_list()
    colors = palette(planners)
    if metric.name in PAPER:
        axes.axhspan(*PAPER[metric.name], color="0.6", alpha=0.3, lw=0, zorder=0, label="the paper")
    axes.axhline(1, color="0.35", lw=1, zorder=0.5)
    for planner in planners:
        own = part.filter(planner=planner).drop_nulls("ratio").sort("value")
        x = own["value"].to_list()
        axes.plot(x, own["ratio"].to_list(), marker="o", ms=4, color=colors[planner], label=planner)
        known = own.drop_nulls("low")
        axes.fill_between(
            known["value"].to_numpy(),
            known["low"].to_numpy(),
            known["high"].to_numpy(),
            color=colors[planner],
            alpha=0.2,
            lw=0,
        )
    axes.set(xscale="log", yscale="log", xticks=part["value"].unique().sort().to_list())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
