"""The runs of the signature, and the numbers that stand for the results of each.

A number per table folds all its columns, so that a change of any value in any row shows. Each
column counts in proportion to its size, and each row has a weight, so that order shows, too.
"""

from dataclasses import dataclass
from math import fsum, log10
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from lab import run
from lab.runs.api import Result
from sim import Planner, PlanningContext

SMALL = "experiment=speech_small horizon_s=200 "
TRACKING = "experiment=tracking_small workload.rate=0.05 "
CHAT = "experiment=chat_small horizon_s=400 workload.rate=0.03 "
HOURS = "horizon_s=7200 workload.rate=0.002 "
TABLES = ("queries", "windows", "operators", "decisions", "profiling", "machines", "allocations")
HEADLINES = ("service_goodput_mean", "total_cost_usd", "planning_charged_s", "goodput_bound")

Numbers = dict[str, float]


class SimpleCalls(Planner):
    """A planner that asks for one plan at a time, as planners of users do."""

    replan_every_s = 20.0

    def plan(self, context: PlanningContext) -> None:
        """Deploy the cheapest plan that is predicted to meet the SLO."""
        for query in context.waiting:
            for plan in context.candidates(query, order="cost"):
                accurate = context.profile(query, plan, 16).accurate_enough(query.slo)
                fast = accurate and context.predict(query, plan).meets(query.slo)
                if fast and context.fits(query, plan):
                    context.deploy(query, plan)
                    break


@dataclass(frozen=True)
class Scene:
    """A scene and the planners that are run in it."""

    overrides: str
    planners: tuple[str, ...]


DRIFT = (
    "drift.events=[{kind:device_slowdown,at_s:50,factor:0.5,share:0.7},"
    "{kind:link_degradation,at_s:90,factor:0.33,share:0.5,ramp_s:40}] "
)
SCENES = {
    "speech": Scene(
        SMALL + "workload.rate=0.15 requests=true",
        (
            "static_plan",
            "cheapest_feasible",
            "videostorm",
            "greedy",
            "compass",
            "compass_cold",
            "vulcan",
        ),
    ),
    "speech on events": Scene(
        SMALL + "data_plane=events network=wifi cluster.discipline=edf cluster.shed_late=true "
        "tiers=gold_silver " + DRIFT,
        ("static_plan", "random_feasible", "cherrypick", "simple_calls"),
    ),
    "speech on free boards": Scene(
        SMALL + "profiling=free switching=free network=replayed " + DRIFT,
        ("compass", "jellybean", "ilp"),
    ),
    "speech on shared links": Scene(
        SMALL
        + "data_plane=events network=lte network.discipline=processor_sharing workload.rate=0.15",
        ("cheapest_feasible",),
    ),
    "speech at a crowded edge": Scene(
        SMALL + "cluster=edge_only workload.rate=3", ("static_plan",)
    ),
    "tracking": Scene(TRACKING + "horizon_s=900 drift=mps_fault", ("compass", "infaas")),
    "tracking on idle instances": Scene(
        TRACKING + "horizon_s=300 profiling=idle_instances cluster=edge_only switching=bare "
        "drift=planner_crash cluster.discipline=priority",
        ("compass", "spare_machines"),
    ),
    "frames": Scene(
        "experiment=tracking_frames_large horizon_s=60 workload.rate=0.5 network=mmwave "
        "drift=machine_failure",
        ("compass",),
    ),
    "chat": Scene(CHAT + "drift=content_shift", ("chameleon_15s", "compass_15s")),
    "chat on recorded arrivals": Scene(
        CHAT + "workload=azure_conversation workload.rate=0.05 workload.slo_scale=3 "
        "network.capacity=speed_tests drift=machine_failure",
        ("jellybean", "compass_15s"),
    ),
    "chat on events": Scene(CHAT + "data_plane=events workload.rate=0.05", ("static_plan",)),
    "captioning": Scene(
        HOURS + "experiment=captioning_hours planner.budget_s=600 drift=rate_surge",
        ("cheapest_feasible", "compass"),
    ),
    "coding": Scene(
        HOURS + "experiment=coding_hours planner.budget_s=600 switching=operator "
        "cluster=cloud_only",
        ("videostorm", "compass"),
    ),
}
"""The scenes, by name. Together, they use every mechanism and every planner."""

NAMES = [f"{scene}: {planner}" for scene in SCENES for planner in SCENES[scene].planners]
"""The runs of the signature."""


def made(name: str) -> tuple[dict[str, int | None], Numbers]:
    """Make a run; return its behaviour versions and its numbers."""
    scene, _, planner = name.partition(": ")
    chosen: dict[str, Any] = {}
    overrides = SCENES[scene].overrides.split()
    if planner == "simple_calls":
        chosen["planner"] = SimpleCalls()
    else:
        overrides.append(f"planner={planner}")
    with threadpool_limits(limits=1, user_api="blas"):
        result = run(overrides, **chosen)
    return result.summary["behaviour"], numbers(result)


def numbers(result: Result) -> Numbers:
    """Return the numbers of a run: some of its summary, and one for each table."""
    found = {name: float(result.summary[name] or 0.0) for name in HEADLINES}
    if result.requests is not None:
        found["requests"] = folded(result.requests)
    return found | {table: folded(getattr(result, table)) for table in TABLES}


def folded(table: pl.DataFrame) -> float:
    """Return one number of the order of the table's size that depends on each value."""
    parts = [float(table.height)]
    for column in table:
        values = _numeric(column)
        known = np.isfinite(values)
        weights = 1 + np.arange(len(values)) % 97 / 97
        total = float(np.abs(values[known]).sum())
        scale = 10 ** np.ceil(log10(total)) if total else 1.0
        parts += [float((values * weights)[known].sum()) / scale, float(known @ weights)]
    return fsum(parts)


def _numeric(column: pl.Series) -> np.ndarray:
    """Return a column as numbers; a text is the sum of its characters, each times its place."""
    if column.dtype == pl.String:
        texts = [each or "" for each in column.to_list()]
        return np.array([sum(map(ord, each)) + len(each) / 97 for each in texts], dtype=float)
    return column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
