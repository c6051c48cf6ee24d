"""What matching by prices is worth where a link is short, over how short it is.

The shipped experiment ``tracking_frames_large``, 32 times smaller: every frame of 50 users crosses
the backhaul of their site, unless it is looked at on the site or on the phone. Machines refuse what
they have no room for, links do not, so whoever shares one is late once too many do.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, counted, explained
from lab.common.formatting import probability
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, curves, legend_below, palette, save
from lab.reporting.plotting.style import plain_log
from lab.run_cache.jobs import Job
from studies.common.means import means
from studies.common.measures import totals
from studies.common.scenes import LIFETIME_S, Size, available
from studies.experiments.headline import GOODPUT

TITLE = "A backhaul that is short"
PLANNERS = ("compass", "compass_no_scheduler", "videostorm")
SIZE = Size(50, 240.0)
EDGE, CLOUD = 2, 8
"""Machines, 1,600 queries having 64 and 240."""

MBPS_PER_QUERY = (1, 2, 4, 10)
"""Capacities of the backhaul; elsewhere in the evaluation it has the last."""

METRICS = (GOODPUT,)


def jobs(seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
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
        for mbps in (MBPS_PER_QUERY[:1] if quick else MBPS_PER_QUERY)
        for planner in available(planners or PLANNERS)
        for seed in seeds
    ]


def section(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    reference = str(rows["planner"][0])
    yield (
        f"{SIZE.queries} queries at the end of {SIZE.horizon_s:g} s, {EDGE} machines at the site "
        f"and {CLOUD} in the cloud. How many times the goodput of each other planner `{reference}` "
        "has, by the capacity of the backhaul for each query."
    )
    yield ""
    found = by_scene(rows, METRICS, reference, ["mbps"])
    yield from table(
        ["Mbit/s a query", "against", "seeds", "ratio of goodput", "p"],
        (
            [mbps, planner, counted(n, of), estimated(ratio, low, high, sign), probability(p)]
            for mbps, _, planner, n, ratio, low, high, p, sign, of in found.iter_rows()
        ),
    )
    yield from explained(found)
    yield from means(rows, ["mbps", "planner"])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw goodput over the capacity of the backhaul."""
    figure, panels = canvas(1, 1, 3.2)
    axes = panels[0][0]
    colors = palette(rows["planner"].unique(maintain_order=True).to_list())
    curves(axes, rows, "mbps", "goodput", colors=colors, markers=True)
    axes.set(
        xscale="log",
        xlabel="capacity of the backhaul (Mbit/s a query)",
        ylabel="goodput (queries)",
    )
    axes.set_ylim(bottom=0)
    plain_log(axes.xaxis)
    legend_below(figure, axes)
    return [save(figure, directory / "evaluation_backhaul.png")]
