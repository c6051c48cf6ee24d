"""Figure 12: how soon a query is served well.

The runs of figure 11 in which queries want an answer within seconds. Response time is that until
the first plan that truly meets the SLO. Quartiles are Kaplan-Meier estimates, in which queries that
leave without one count for as long as they waited. On a seed where too few get one a quartile is
infinite, and its mean over seeds with it.
"""

from collections.abc import Iterator
from math import isfinite, isinf
from pathlib import Path

import numpy as np
import polars as pl

from lab.analysis.paired import PairedMetric, by_scene, counted
from lab.common.formatting import number
from lab.reporting.markdown import table
from lab.reporting.plotting.canvas import canvas, legend_below, palette, save
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, of_range
from studies.experiments.headline import PAPER
from studies.paper.figures import cost

COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in cost.SOON)
QUARTILES = ["response_p25_s", "response_p50_s", "response_p75_s"]
MEDIAN = PairedMetric("response_p50_s", "median response time", more_is_better=False)
ABREAST = 0.15


def jobs(quick: bool) -> list[Job]:
    """Return the runs."""
    return cost.runs_within_seconds(quick)


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return the ratios of median response times against the paper's range."""
    found = by_scene(rows, [MEDIAN], cost.REFERENCE, ["scene"])
    return [
        of_range(
            f"{row['scene']}: responds 4.2 to 10.5 times sooner than {row['planner']}",
            (row["ratio"], row["low"], row["high"]),
            PAPER["response_s"],
            "ratios of medians; Compass and VideoStorm profile each data set ahead, Vulcan does not"
            + ("; of seeds on which both serve at least half" if row["sign"] else ""),
            counted(row["n"], row["of"]),
            row["sign"],
        )
        for row in found.iter_rows(named=True)
    ]


def _means(rows: pl.DataFrame) -> pl.DataFrame:
    """Return means over seeds; a quartile that some seed does not reach is infinite."""
    return rows.group_by("scene", "planner", maintain_order=True).agg(
        pl.col(QUARTILES).fill_null(np.inf).mean(), pl.col("served").mean()
    )


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the means."""
    yield "Means over seeds:"
    yield ""
    yield from table(
        ["application", "planner", "p25, s", "median, s", "p75, s", "ever served"],
        ([*row[:2], *map(number, row[2:])] for row in _means(rows).iter_rows()),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw medians with quartiles; a triangle stands for those that some seed does not reach."""
    by = _means(rows)
    scenes = by["scene"].unique(maintain_order=True).to_list()
    planners = by["planner"].unique(maintain_order=True).to_list()
    colors = palette(planners)
    figure, panels = canvas(1, 1, 3.6)
    axes = panels[0][0]
    every = by.select(QUARTILES).to_numpy()
    longest = 3 * float(every[np.isfinite(every)].max(initial=1.0))
    for at, planner in enumerate(planners):
        shift = ABREAST * (at - (len(planners) - 1) / 2)
        for place, scene in enumerate(scenes):
            part = by.filter(scene=scene, planner=planner)
            x = place + shift
            if not part.height:
                continue
            low, middle, high = part.select(QUARTILES).row(0)
            color = colors[planner]
            axes.plot([x, x], [min(low, longest), min(high, longest)], color=color, lw=1.5)
            if isinf(high):
                axes.plot(x, longest, marker="^", color=color, ms=5)
            if isfinite(middle):
                axes.plot(x, middle, marker="o", color=color, ms=5)
        axes.plot([], [], marker="o", color=colors[planner], label=planner)
    axes.set(yscale="log", xticks=range(len(scenes)), xticklabels=scenes)
    axes.set(
        ylabel="response time, s", title="medians and quartiles; triangles: on some seed never"
    )
    legend_below(figure, axes)
    return [save(figure, directory / "fig12_response.png")]
