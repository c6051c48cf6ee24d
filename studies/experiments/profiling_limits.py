"""How Compass's lead depends on two limits on profiling: items per configuration, and boards.

Planners without early stopping profile a fixed number of items for each configuration. Compass's
profiler stops by itself. The boards are those of the pool, which all planners pay for; a search
profiles on all of them.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, counted, explained
from lab.reporting.markdown import estimated, table
from lab.run_cache.jobs import Job
from studies.common.measures import totals
from studies.common.metrics import COST, GOODPUT
from studies.common.pictures import draw_ratios
from studies.common.study import Scale

TITLE = "Compass's lead by the limits on profiling"
SCENES = {
    "speech": ("experiment=speech_small", ("compass", "vulcan", "videostorm", "videostorm_60s")),
    "tracking": (
        "experiment=tracking_small",
        ("compass_15s", "vulcan_15s", "videostorm_15s", "videostorm_60s"),
    ),
}
"""Scenes, with their planners; the first one is compared with each other one."""

LIMITS = {
    "items": ("items per configuration", (25, 50, 100, 200)),
    "boards": ("boards", (2, 4, 8, 16)),
}
"""The name of each limit in tables, and its values."""

DEFAULT = {"items": 100, "boards": 4}
"""The value of each limit while the other one varies."""

METRICS = (GOODPUT, COST)


def jobs(scale: Scale) -> list[Job]:
    """Return the runs; the number of items is set for all planners except the first one."""
    return [
        Job(
            (
                experiment,
                f"planner={planner}",
                f"cluster.profiling.count={chosen['boards']}",
                f"cluster.profiling.workers={chosen['boards']}",
                *([] if planner == listed[0] else [f"planner.samples={chosen['items']}"]),
            ),
            seed,
            totals,
            {"scene": scene, "limit": limit, "value": value, "planner": planner},
        )
        for limit, (_, values) in LIMITS.items()
        for value in values
        for chosen in [{**DEFAULT, limit: value}]
        for scene, (experiment, own) in SCENES.items()
        for listed in [scale.planners or own]
        for planner in listed
        for seed in scale.seeds_or()
    ]


def found(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the ratios of the first planner to the others at every value of each limit."""
    return pl.concat(
        by_scene(part, METRICS, str(part["planner"][0]), ["limit", "value", "scene"])
        for _, part in rows.group_by("scene", maintain_order=True)
    )


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    frame = found(rows)
    yield (
        "Ratios above 1 are in favour of Compass. The cost is that of an hour in which a query "
        f"meets its SLO. While one limit varies, the other stays at {DEFAULT['items']} items or "
        f"{DEFAULT['boards']} boards."
    )
    yield ""
    for limit, (unit, values) in LIMITS.items():
        yield from table(
            ["metric", "scene", "against", *(f"{each} {unit}" for each in values)],
            (
                [metric.title, scene, planner, *(_cell(part.filter(value=at)) for at in values)]
                for metric in METRICS
                for (scene, planner), part in frame.filter(
                    limit=limit, metric=metric.name
                ).group_by("scene", "planner", maintain_order=True)
            ),
        )
        yield from explained(frame.filter(limit=limit))


def _cell(part: pl.DataFrame) -> str:
    if part.is_empty():
        return "-"
    row = part.row(0, named=True)
    ratio = estimated(row["ratio"], row["low"], row["high"])
    seeds = counted(row["n"], row["of"])
    return ratio if row["n"] == row["of"] else f"{ratio} ({seeds} seeds)"


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios with their intervals by the value of each limit."""
    frame = found(rows).sort("scene", "value", maintain_order=True)
    frame = frame.with_columns(scene=pl.format("{}, {} {}", "scene", "value", "limit"))
    return [
        draw_ratios(
            frame.filter(limit=limit), METRICS, directory / f"profiling_limits-{limit}.png", 5.0
        )
        for limit in LIMITS
    ]
