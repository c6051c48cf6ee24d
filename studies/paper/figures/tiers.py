"""Figure 16: goodput by the tiers of the network that have machines.

The machines are two L4 at the edge site alone, four A100 in the cloud alone, or one L4 and two
A100. Users' devices are always available. The mixture has half of the machines of each single tier,
not all of them, because the study compares planners on the same machines, not sets of machines. The
paper gives no details except that its settings include both single tiers and mixtures.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import seaborn as sns

from lab.analysis.paired import by_scene
from lab.reporting.plotting.canvas import canvas, legend_below, palette, save, t_interval
from lab.run_cache.jobs import Job
from studies.common.claims import Finding, ahead
from studies.common.measures import totals
from studies.common.metrics import GOODPUT
from studies.common.study import Scale
from studies.common.sweep_files import experiment
from studies.common.tables import means

TITLE = "Where only some tiers have machines"
REFERENCE = "compass"
TIERS = {"edge_only": "edge alone", "cloud_only": "cloud alone", "small": "edge and cloud"}


def jobs(scale: Scale) -> list[Job]:
    """Return the runs."""
    return experiment("fig16", scale).jobs(totals)


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether Compass serves more than each baseline on each set of tiers."""
    found = by_scene(rows, [GOODPUT], REFERENCE, ["application", "cluster"])
    return [
        ahead(
            f"{row['application'].replace('_', ' ')}, {TIERS[row['cluster']]}: ahead of "
            f"{row['planner']}",
            row,
            "VideoStorm uses only the cloud, or the edge site if there is no cloud"
            if row["planner"] == "videostorm"
            else "goodput over that of the other planner",
        )
        for row in found.iter_rows(named=True)
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the means."""
    yield from means(
        rows, ["application", "cluster", "planner"], ["goodput", "active", "response_s"]
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw goodput by set of tiers."""
    applications = rows["application"].unique(maintain_order=True).to_list()
    figure, panels = canvas(1, len(applications), 3.4)
    colors = palette(rows["planner"].unique(maintain_order=True).to_list())
    named = rows.with_columns(tiers=pl.col("cluster").replace(TIERS))
    for axes, application in zip(panels[0], applications, strict=True):
        sns.pointplot(
            named.filter(application=application)
            .select("tiers", "planner", "goodput")
            .to_dict(as_series=False),
            x="tiers",
            y="goodput",
            hue="planner",
            palette=colors,
            dodge=0.3,
            linestyles="none",
            errorbar=t_interval,
            ax=axes,
        )
        axes.set(title=application.replace("_", " "), xlabel="", ylabel="goodput, queries")
        axes.set_ylim(bottom=0)
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "tiers.png")]
