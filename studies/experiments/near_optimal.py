"""How close Compass comes to the optimum of the planning model, with few queries.

The ILP knows the true values, and planning takes it no time. Between Compass and the ILP, there are
planners that each differ in one respect from the next one (`planners.reference.compass_bounds`), so
the gap in goodput is split into parts that add up. The study also evaluates the active plans in the
planning model, and compares them with the model's optimum for the same queries
(`studies.probes.model_objective`).

The world is smooth, because the planning model knows neither links whose capacity changes nor
machines that boot.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lab.analysis.paired import Interval, mean_interval
from lab.analysis.sizing import limited_gpus
from lab.common.metrics import ANY, SHARE
from lab.hardware_tools.world_parameters import SMOOTH
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, legend_below, palette, save
from lab.run_cache.jobs import Job
from lab.runs.api import Result
from studies.common.claims import goal_reached, paired
from studies.common.measures import totals
from studies.common.scenes import APPLICATIONS, demand_of, up_to_optimum
from studies.common.study import Scale
from studies.common.tables import means
from studies.probes.model_objective import objective

TITLE = "Near the optimum"
GOAL = 0.95
CHAIN = (
    ("compass", ""),
    ("compass_sees_truth", "error of belief: plans are judged by the truth"),
    ("compass_no_delay", "planning delay: planning takes no time"),
    ("compass_all_plans", "pruning: every configuration is known, and every plan is offered"),
    ("ilp", "decomposition: all queries are planned together"),
)
"""Planners from Compass to the ILP, each with its advantage over the previous planner."""

QUERIES = (5, 20)
HORIZON_S = 300.0
CLUSTERS = ("one L4", "limited")
LOADS = {"model": 0.5, "busy_model": 0.7}
"""Utilisation limits of stations in the models of the ILP and of Compass, by prefix of columns."""

KEYS = ("application", "cluster", "expected")


def jobs(scale: Scale) -> list[Job]:
    """Return the runs: few queries, which stay until the end."""
    names = up_to_optimum(scale.planners or tuple(name for name, _ in CHAIN))
    return [
        Job(
            (
                f"application={APPLICATIONS[application]}",
                *machines(application, cluster, queries),
                *(word for words in SMOOTH.values() for word in words),
                "profiling=free",
                "cluster.profiling.lanes=100",
                f"horizon_s={HORIZON_S:g}",
                f"workload.rate={queries / HORIZON_S:.6g}",
                f"workload.lifetime_min_s={HORIZON_S:g}",
                f"workload.lifetime_mean_s={HORIZON_S + 1:g}",
                f"planner={planner}",
            ),
            seed,
            totals_and_objectives,
            {
                "application": application,
                "cluster": cluster,
                "expected": queries,
                "planner": planner,
            },
        )
        for application in APPLICATIONS
        for cluster in CLUSTERS
        for queries in (QUERIES[:1] if scale.quick else QUERIES)
        for planner in names
        for seed in scale.seeds_or()
    ]


def machines(application: str, cluster: str, queries: int) -> tuple[str, ...]:
    """Return the overrides that set up a cluster for the expected number of queries at the end.

    The cluster ``"one L4"`` has one L4 machine at the edge site, whose GPU is not partitioned;
    ``"limited"`` has in addition as many A100 machines as the least demand needs.
    """
    edge = ("cluster.nodes.edge.count=1", "cluster.nodes.edge.standby=1")
    if cluster == "one L4":
        return ("cluster=edge_only", *edge)
    cloud = limited_gpus(queries, demand_of(application))
    return ("cluster=small", *edge, f"cluster.nodes.cloud.count={cloud}")


def totals_and_objectives(result: Result) -> Mapping[str, Any]:
    """Return `totals` and `objectives` of a run."""
    return {**totals(result), **objectives(result)}


def objectives(result: Result) -> Mapping[str, Any]:
    """Return a run's `objective` at each of `LOADS`; each key begins with the model's name."""
    return {
        f"{model}_{key}": value
        for model, utilisation in LOADS.items()
        for key, value in objective(result, utilisation).items()
    }


def in_model(part: pl.DataFrame, model: str = "model") -> tuple[int, Interval]:
    """Return the number of seeds, and the mean ratio of served queries to the model's optimum.

    The interval is over the means of the seeds. The ratio is at most 1, unless limits stopped the
    solver.
    """
    some = part.filter(pl.col(f"{model}_optimum") > 0)
    within = ANY if (some[f"{model}_unproven"] > 0).any() else SHARE
    ratio = (pl.col(f"{model}_served") / pl.col(f"{model}_optimum")).mean().alias("ratio")
    ratios = some.group_by("seed", maintain_order=True).agg(ratio)["ratio"]
    return len(ratios), mean_interval(ratios.to_numpy(), within)


def in_simulation(part: pl.DataFrame, planner: str, reference: str) -> dict[str, Any]:
    """Return the ``ratio`` of goodput to the reference's, and the number of ``seeds``."""
    return paired(part.filter(planner=planner), part.filter(planner=reference), "goodput")


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    names = rows["planner"].unique(maintain_order=True).to_list()
    reference = names[-1]
    yield (
        f"Queries arrive over {HORIZON_S:g} s and stay; the second half counts. Each cluster has "
        "one L4 machine at the edge site, and some have A100 machines too: as many as the least "
        "demand needs. *In the model* is the number of queries whose active plan keeps their SLO "
        "by the planning model with true values, divided by the number that the model's optimum "
        "serves at the same moments and of the same queries. The table gives the mean over seeds "
        f"and whether it is at least {GOAL:g}. The utilisation at which latency must hold is an "
        f"assumption of the model. The ILP served the most in trials at {LOADS['model']:g} and "
        f"plans for that; Compass plans for {LOADS['busy_model']:g}."
    )
    yield ""
    parts = [
        *(
            (_scene(*key), planner, part)
            for (*key, planner), part in rows.group_by(*KEYS, "planner", maintain_order=True)
        ),
        *(("all scenes", planner, rows.filter(planner=planner)) for planner in names),
    ]
    yield from table(
        [
            "scene",
            "planner",
            "seeds",
            *(
                head
                for load in LOADS.values()
                for head in (f"in the model at {load:g}, over the optimum", f"at least {GOAL:g}")
            ),
        ],
        ([name, planner, in_model(part)[0], *_judged(part)] for name, planner, part in parts),
    )
    yield (
        f"The next table has goodput in simulation over that of `{reference}`, and differences "
        f"between neighbours in queries, paired over seeds. `{reference}` is the optimum of the "
        "model, not of the simulated world, so a part of the gap may be negative. The last step "
        f"has two more causes: `{reference}` plans for stations that are busy {LOADS['model']:g} "
        f"of the time, and the others for {LOADS['busy_model']:g}; and the others watch telemetry, "
        "which corrects for what the model does not know."
    )
    yield ""
    body = []
    for key, part in rows.group_by(*KEYS, maintain_order=True):
        wide = part.pivot("planner", index="seed", values="goodput").drop_nulls()
        found = in_simulation(part, names[0], reference)
        ratio = estimated(*found["ratio"])
        body.append([_scene(*key), f"{names[0]} over {reference}", found["seeds"], ratio])
        for before, after in pairwise(names):
            gain = (wide[after] - wide[before]).to_numpy()
            words = f"{after} minus {before}: {dict(CHAIN).get(after, '')}"
            body.append(["", words, wide.height, f"{estimated(*mean_interval(gain))} queries"])
    yield from table(["scene", "goodput", "seeds", "ratio or difference"], body)
    yield from means(rows, [*KEYS, "planner"])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw each planner's ratio to the optimum in the model, and to the ILP's goodput."""
    names = rows["planner"].unique(maintain_order=True).to_list()
    colors = palette(names)
    scenes = [(each, cluster) for each in APPLICATIONS for cluster in CLUSTERS]
    figure, panels = canvas(2, len(scenes), 2.9, sharex=True, sharey=True)
    for column, (application, cluster) in enumerate(scenes):
        there = rows.filter(application=application, cluster=cluster)
        loads = there["expected"].unique(maintain_order=True).to_list()
        parts = [there.filter(expected=queries) for queries in loads]
        for aside, name in zip(np.linspace(-0.25, 0.25, len(names)), names, strict=True):
            modelled = [in_model(part.filter(planner=name))[1] for part in parts]
            simulated = [in_simulation(part, name, names[-1])["ratio"] for part in parts]
            for row, found in enumerate((modelled, simulated)):
                middle, low, high = np.array(found, dtype=float).T
                panels[row][column].errorbar(
                    np.arange(len(loads)) + aside,
                    middle,
                    [middle - low, high - middle],
                    fmt="o",
                    ms=4,
                    color=colors[name],
                    label=name,
                )
        panels[0][column].set_title(f"{application},\n{cluster}")
        panels[1][column].set(
            xlabel="queries at the end", xticks=range(len(loads)), xticklabels=loads
        )
        for axes in (panels[0][column], panels[1][column]):
            axes.axhline(GOAL, color="0.35", lw=1, ls="--")
    panels[0][0].set_ylabel(f"in the model at {LOADS['model']:g},\nover its optimum")
    panels[1][0].set_ylabel(f"goodput over that\nof {names[-1]}")
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "near_optimal.png")]


def _judged(part: pl.DataFrame) -> Iterator[str]:
    for model in LOADS:
        _, ratio = in_model(part, model)
        yield from (estimated(*ratio), goal_reached(ratio, GOAL))


def _scene(application: str, cluster: str, queries: int) -> str:
    return f"{application}, {cluster}, {queries} queries"
