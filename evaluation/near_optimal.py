"""How near to the optimum of the planning model Compass comes, with few queries.

The ILP sees the truth and plans in no time. Between it and Compass lie planners that differ in one
respect from their neighbour, so that the gap in goodput splits into parts that add up.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from evaluation.figures import canvas, palette, save
from evaluation.grid import Job
from evaluation.headline import means
from evaluation.markdown import interval, table
from evaluation.measures import totals
from evaluation.paired import mean_interval, ratio_interval
from evaluation.scenes import APPLICATIONS, available

TITLE = "Near the optimum"
GOAL = 0.95
CHAIN = (
    ("compass", ""),
    ("compass_no_delay", "planning delay: planning takes no time"),
    ("compass_sees_truth", "error of belief: plans are judged by the truth"),
    ("compass_all_plans", "pruning: all plans are offered, not the plan set"),
    ("ilp", "decomposition: all queries are planned together"),
)
"""Planners from Compass to the ILP, each with what it has beyond the one before it."""

QUERIES = (5, 10, 20)
HORIZON_S = 300.0
CLUSTER = {
    "speech": ("cluster=edge_only", "cluster.nodes.edge.count=1", "cluster.nodes.edge.standby=1"),
    "tracking": ("cluster=edge_only", "cluster.nodes.edge.count=1", "cluster.nodes.edge.standby=1"),
}
"""One L4 machine: about the least demand of 20 queries of either application."""


def jobs(seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
    """Return the runs: few queries that arrive in the first part and stay."""
    names = available(planners or tuple(name for name, _ in CHAIN))
    return [
        Job(
            (
                f"application={APPLICATIONS[application]}",
                *CLUSTER[application],
                "cluster.profiling.lanes=100",
                f"horizon_s={HORIZON_S:g}",
                f"workload.rate={queries / HORIZON_S:.6g}",
                f"workload.lifetime_min_s={HORIZON_S:g}",
                f"workload.lifetime_mean_s={HORIZON_S + 1:g}",
                f"planner={planner}",
            ),
            seed,
            totals,
            {"application": application, "expected": queries, "planner": planner},
        )
        for application in APPLICATIONS
        for queries in (QUERIES[:1] if quick else QUERIES)
        for planner in names
        for seed in seeds
    ]


def section(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    yield (
        "On one L4 machine at the edge site; queries arrive over "
        f"{HORIZON_S:g} s and stay. Goodput of the second half, over that of the ILP, and "
        "differences between neighbours in queries; paired over seeds."
    )
    yield ""
    names = rows["planner"].unique(maintain_order=True).to_list()
    reference = names[-1]
    lines = []
    for (application, queries), part in rows.group_by(
        "application", "expected", maintain_order=True
    ):
        wide = part.pivot("planner", index="seed", values="goodput").drop_nulls()
        served = wide.filter((pl.col(names[0]) > 0) & (pl.col(reference) > 0))
        ours, best = served[names[0]].to_numpy(), served[reference].to_numpy()
        lines.append(
            [
                f"{application}, {queries} queries",
                f"{names[0]} over {reference}",
                served.height,
                interval(*ratio_interval(ours, best)),
            ]
        )
        for before, after in pairwise(names):
            gain = (wide[after] - wide[before]).to_numpy()
            lines.append(
                [
                    "",
                    f"{after} beyond {before}: {dict(CHAIN).get(after, '')}",
                    wide.height,
                    f"{interval(*mean_interval(gain))} queries",
                ]
            )
    yield from table(["scene", "goodput", "seeds", "ratio or difference"], lines)
    yield from means(rows, ["application", "expected", "planner"])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw goodput over that of the reference, for each planner of the chain."""
    names = rows["planner"].unique(maintain_order=True).to_list()
    colors = palette(names)
    figure, panels = canvas(1, len(APPLICATIONS), 3.0, sharey=True)
    for axes, application in zip(panels[0], APPLICATIONS, strict=True):
        part = rows.filter(application=application)
        for name in names:
            shares = []
            for queries in part["expected"].unique(maintain_order=True).to_list():
                here = part.filter(expected=queries)
                own = here.filter(planner=name)["goodput"].to_numpy()
                best = here.filter(planner=names[-1])["goodput"].to_numpy()
                shares.append((queries, float(np.sum(own) / np.sum(best))))
            x, y = zip(*shares, strict=True)
            axes.plot(x, y, marker="o", color=colors[name], label=name)
        axes.axhline(GOAL, color="0.35", lw=1, ls="--")
        axes.set_title(application)
        axes.set(xlabel="queries at the end", ylabel=f"goodput over that of {names[-1]}")
    panels[0][0].legend()
    return [save(figure, directory / "evaluation_near_optimal.png")]
