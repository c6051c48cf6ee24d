"""What matching by prices gains on a slow shared link, by the capacity of the link.

The scene is the shipped experiment ``tracking_frames_large``, 32 times smaller. Every frame of 50
users crosses the backhaul of their site, unless it is processed at the site or on the phone. If too
many queries share a link, all of them are late, because links, unlike machines, never refuse a
query.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene
from lab.run_cache.jobs import Job
from studies.common.measures import totals
from studies.common.metrics import GOODPUT
from studies.common.pictures import draw_curves
from studies.common.scenes import LIFETIME_S, Size
from studies.common.study import Scale
from studies.common.tables import means, ratio_table

TITLE = "A slow backhaul"
PLANNERS = ("compass", "compass_no_scheduler", "videostorm")
SIZE = Size(50, 240.0)
EDGE, CLOUD = 2, 8
"""Numbers of machines; the shipped experiment has 64 and 240 for 1,600 queries."""

MBPS_PER_QUERY = (1, 2, 4, 10)
"""Capacities of the backhaul; the other scenes of the evaluation have the last one."""

METRICS = (GOODPUT,)


def jobs(scale: Scale) -> list[Job]:
    """Return the runs for each capacity, planner and seed."""
    return [
        Job(
            (
                "application=visual_tracking_frames",
                "cluster=large",
                "network=mobile",
                f"horizon_s={SIZE.horizon_s:g}",
                f"workload.rate={SIZE.rate:.6g}",
                f"workload.lifetime_mean_s={LIFETIME_S:g}",
                f"cluster.nodes.edge.count={EDGE}",
                f"cluster.nodes.edge.standby={EDGE}",
                f"cluster.nodes.cloud.count={CLOUD}",
                "profiling=free",
                f"cluster.profiling.lanes={SIZE.queries}",
                f"network.backhaul_bps={1e6 * mbps * SIZE.queries:g}",
                f"planner={planner}",
            ),
            seed,
            totals,
            {"mbps": mbps, "planner": planner},
        )
        for mbps in (MBPS_PER_QUERY[:1] if scale.quick else MBPS_PER_QUERY)
        for planner in scale.planners or PLANNERS
        for seed in scale.seeds_or()
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    reference = str(rows["planner"][0])
    yield (
        f"After {SIZE.horizon_s:g} s, {SIZE.queries} queries are active. There are {EDGE} machines "
        f"at the site and {CLOUD} in the cloud. The ratios are goodput of `{reference}` over that "
        "of each other planner, by the capacity of the backhaul per query."
    )
    yield ""
    found = by_scene(rows, METRICS, reference, ["mbps"])
    yield from ratio_table(found, {"mbps": "Mbit/s per query", "planner": "against"})
    yield from means(rows, ["mbps", "planner"])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw goodput by the capacity of the backhaul."""
    path = directory / "backhaul.png"
    titled = rows.with_columns(title=pl.lit("by capacity of the backhaul"))
    labels = {"xscale": "log", "xlabel": "Mbit/s per query", "ylabel": "goodput (queries)"}
    draw_curves(titled, "title", "mbps", "goodput", path, settings=labels)
    return [path]
