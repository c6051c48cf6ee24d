"""Figure 12: how soon a query is served well.

The runs of figure 11 in which queries want an answer within seconds. Response time is that until
the first plan that truly meets the SLO; queries that never get one count, as infinitely late.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from evaluation.figures import canvas, legend_below, palette, save
from evaluation.grid import Job
from evaluation.headline import PAPER, RESPONSE
from evaluation.markdown import table
from evaluation.paired import by_scene
from evaluation.paper import cost
from evaluation.paper.figure import Finding, of_range
from lab.wording import number

COMMANDS = tuple(f"compass-sim -m experiment={name}" for name in cost.SOON)
QUARTILES = ["response_p25_s", "response_p50_s", "response_p75_s"]
ABREAST = 0.15


def jobs(quick: bool) -> list[Job]:
    """Return the runs."""
    return cost.runs_within_seconds(quick)


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return the ratios of median response times against the paper's range."""
    found = by_scene(rows, [RESPONSE], cost.REFERENCE, ["scene"])
    return [
        of_range(
            f"{row['scene']}: responds 4.2 to 10.5 times sooner than {row['planner']}",
            (row["ratio"], row["low"], row["high"]),
            PAPER["response_s"],
            "ratios of medians"
            + ("; where most are never served, the longest life stands in" if row["sign"] else ""),
            row["n"],
            row["sign"],
        )
        for row in found.iter_rows(named=True)
    ]


def _means(rows: pl.DataFrame) -> pl.DataFrame:
    columns = [*QUARTILES, "served"]
    return rows.group_by("scene", "planner", maintain_order=True).agg(pl.col(columns).mean())


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield quartiles, means over seeds of those that have one."""
    yield from table(
        ["application", "planner", "p25, s", "median, s", "p75, s", "ever served"],
        ([*row[:2], *map(number, row[2:])] for row in _means(rows).iter_rows()),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw medians with quartiles; an arrow stands for a quartile that is never reached."""
    by = _means(rows)
    scenes = by["scene"].unique(maintain_order=True).to_list()
    planners = by["planner"].unique(maintain_order=True).to_list()
    colors = palette(planners)
    figure, panels = canvas(1, 1, 3.6)
    axes = panels[0][0]
    longest = 3 * float(np.nanmax([1.0, *by.select(QUARTILES).to_numpy().astype(float).ravel()]))
    for at, planner in enumerate(planners):
        shift = ABREAST * (at - (len(planners) - 1) / 2)
        for place, scene in enumerate(scenes):
            part = by.filter(scene=scene, planner=planner)
            x = place + shift
            if not part.height:
                continue
            low, middle, high = part.select(QUARTILES).row(0)
            if low is not None:
                axes.plot([x, x], [low, high or longest], color=colors[planner], lw=1.5)
                if high is None:
                    axes.plot(x, longest, marker="^", color=colors[planner], ms=5)
            if middle is not None:
                axes.plot(x, middle, marker="o", color=colors[planner], ms=5)
        axes.plot([], [], marker="o", color=colors[planner], label=planner)
    axes.set(yscale="log", xticks=range(len(scenes)), xticklabels=scenes)
    axes.set(ylabel="response time, s", title="medians and quartiles; triangles: never for so many")
    legend_below(figure, axes)
    return [save(figure, directory / "fig12_response.png")]
