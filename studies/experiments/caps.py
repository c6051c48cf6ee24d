"""How the headline ratios depend on two limits on profiling: items and workers.

Planners without early stopping profile a fixed number of items for each configuration; the study
varies it from a quarter of the headline's number to twice as many. Compass's profiler stops by
itself. The number of workers of a profiling lane is the same for all planners.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, counted, explained
from lab.reporting.markdown import estimated, table
from lab.run_cache.jobs import Job
from studies.common.measures import totals
from studies.common.metrics import COST, GOODPUT, PAPER, RESPONSE, paper_range
from studies.common.pictures import draw_ratios
from studies.common.scenes import APPLICATIONS, CLUSTERS, QUICK, Size, planner_of, scene
from studies.common.study import Scale

TITLE = "Ratios by the limits on profiling"
PLANNERS = ("compass", "vulcan", "videostorm")
CAPS = {
    "items": ("items per configuration", (25, 50, 100, 200)),
    "workers": ("workers of a lane", (8, 16, 32)),
}
"""The name of each limit in tables, and its values."""

HEADLINE = {"items": 100, "workers": 16}
SIZE = Size(30, 240.0)
SEEDS = range(5)
"""Each seed takes 24 runs of each planner."""

METRICS = {GOODPUT: "limited", COST: "unlimited", RESPONSE: "unlimited"}
"""Metrics, and the clusters in which each is measured."""


def jobs(scale: Scale) -> list[Job]:
    """Return the runs; the number of items is set for all planners except the first one."""
    listed = scale.planners or PLANNERS
    return [
        Job(
            (
                *scene(application, QUICK if scale.quick else SIZE, cluster),
                planner_of(planner, cluster),
                "profiling=free",
                f"cluster.profiling.lanes={SIZE.queries}",
                f"cluster.profiling.workers={value if cap == 'workers' else HEADLINE['workers']}",
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
        for cap, (_, values) in CAPS.items()
        for value in values
        for items in [value if cap == "items" else HEADLINE["items"]]
        for application in APPLICATIONS
        for cluster in CLUSTERS
        for planner in listed
        for seed in scale.seeds_or(SEEDS)
    ]


def found(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the ratios of the first planner to the others at every value of each limit."""
    reference = str(rows["planner"][0])
    keys = ["cap", "value", "application"]
    return pl.concat(
        by_scene(rows.filter(cluster=cluster), [metric], reference, keys)
        for metric, cluster in METRICS.items()
    )


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    frame = found(rows)
    yield (
        f"After {SIZE.horizon_s:g} s, {SIZE.queries} queries are active. The ratios above "
        f"are for {HEADLINE['items']} items and {HEADLINE['workers']} workers."
    )
    yield ""
    for cap, (unit, values) in CAPS.items():
        yield from table(
            ["metric", "application", "against", *(f"{each} {unit}" for each in values), "paper"],
            (
                [metric.title, application, planner]
                + [_cell(part.filter(value=value)) for value in values]
                + [paper_range(metric.name)]
                for metric in METRICS
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
    ratio = estimated(row["ratio"], row["low"], row["high"])
    seeds = counted(row["n"], row["of"])
    return ratio if row["n"] == row["of"] else f"{ratio} ({seeds} seeds)"


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios with their intervals by the value of each limit."""
    frame = found(rows).sort("application", "value", maintain_order=True)
    frame = frame.with_columns(scene=pl.format("{}, {} {}", "application", "value", "cap"))
    return [
        draw_ratios(frame.filter(cap=cap), [*METRICS], directory / f"caps-{cap}.png", 5.0, PAPER)
        for cap in CAPS
    ]
