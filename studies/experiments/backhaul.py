"""What matching by prices is worth where a link is short, over how short it is.

The shipped experiment ``tracking_frames_large``, 32 times smaller: every frame of 50 users crosses
the backhaul of their site, unless it is looked at on the site or on the phone. Machines refuse what
they have no room for, links do not, so whoever shares one is late once too many do.
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
"""Machines, 1,600 queries having 64 and 240."""

MBPS_PER_QUERY = (1, 2, 4, 10)
"""Capacities of the backhaul; elsewhere in the evaluation it has the last."""

METRICS = (GOODPUT,)


def jobs(scale: Scale) -> list[Job]:
    """Return the runs."""
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
        f"There are {SIZE.queries} queries at the end of {SIZE.horizon_s:g} s, {EDGE} machines at "
        f"the site and {CLOUD} in the cloud. The ratios are goodput of `{reference}` over that of "
        "each other planner, by the capacity of the backhaul per query."
    )
    yield ""
    found = by_scene(rows, METRICS, reference, ["mbps"])
    yield from ratio_table(found, {"mbps": "Mbit/s a query", "planner": "against"})
    yield from means(rows, ["mbps", "planner"])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw goodput over the capacity of the backhaul."""
    path = directory / "backhaul.png"
    titled = rows.with_columns(title=pl.lit("over the capacity of the backhaul"))
    labels = {"xscale": "log", "xlabel": "Mbit/s a query", "ylabel": "goodput (queries)"}
    draw_curves(titled, "title", "mbps", "goodput", path, settings=labels)
    return [path]
