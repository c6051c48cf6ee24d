"""Samples and verdicts of profilers, recorded by a planner that serves no query."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import polars as pl

from lab.runs.api import Result
from planners.compass.profiling.decisions import TTest
from planners.compass.profiling.profiler import Profiler, RandomProfiler, StratifiedProfiler
from sim import Planner, PlanningContext

OWN = StratifiedProfiler(most=96, decision=TTest())
"""The paper's rule of decision, with the limits of ``planner=compass_t_test``."""

GAPS = (0.0, 0.02, 0.05, 0.1, 1.0)
"""Bounds of the classes of gaps; a gap is the distance between true accuracy and floor."""


class ProfilingTrial(Planner):
    """Profiles every configuration for every query, deploys nothing, and records verdicts.

    `profiler` is ``"random"``, ``"proportional"`` or ``"neyman"``; `first` is the number of items
    before the first test, and `most` the largest number of items.
    """

    def __init__(
        self, profiler: str = "random", first: int = 32, most: int = 256, budget_s: float = 1e7
    ) -> None:
        self.profiler = profiler
        self.first = first
        self.most = most
        self.budget_s = budget_s

    def plan(self, context: PlanningContext) -> None:
        """Profile every configuration for the new queries."""
        profiler = made(self.profiler, self.first, self.most)
        for query in context.waiting:
            view = context.bulk.view(query)
            some_plan = dict(zip(view.configuration.tolist(), range(len(view)), strict=True))
            for index, plan in some_plan.items():
                configuration = context.world.pipeline.configurations[index]
                belief = profiler.profile(context, query, configuration)
                role = "met" if belief.accurate(query.slo.accuracy) else "missed"
                reason = "mean" if belief.verdict is None else "test"
                context.bulk.log_candidate(
                    query, view.plan(plan), role, 0.0, belief.accuracy, reason=reason
                )


def made(profiler: str, first: int, most: int) -> Profiler:
    """Return the profiler that a name denotes."""
    if profiler == "random":
        return RandomProfiler(first, OWN.batch, most, OWN.alpha, OWN.decision)
    allocation: Literal["neyman", "proportional"] = (
        "neyman" if profiler == "neyman" else "proportional"
    )
    return replace(OWN, first=first, most=most, allocation=allocation)


def verdicts(result: Result) -> Mapping[str, Any]:
    """Return the numbers of samples and of correct verdicts, by data set and class of gap."""
    samples = result.profiling.group_by("query", "configuration").agg(pl.col("samples").max())
    floors = result.queries.select("query", "dataset", "slo_accuracy")
    each = result.offers.join(samples, ["query", "configuration"]).join(floors, "query")
    gap = pl.col("true_accuracy") - pl.col("slo_accuracy")
    each = each.with_columns(
        gap=gap.abs().cut(list(GAPS[1:-1]), labels=list(gap_names())).cast(pl.String),
        correct=(pl.col("role") == "met") == (gap >= 0),
        decided=pl.col("reason") == "test",
    )
    by = each.group_by("dataset", "gap").agg(
        pl.len().alias("tests"), pl.col("samples", "correct", "decided").sum()
    )
    return {"cells": by.sort("dataset", "gap").to_dicts()}


def gap_names() -> tuple[str, ...]:
    """Return the names of the classes of gap."""
    return tuple(
        f"{low:g} to {high:g}" if high < 1 else f"over {low:g}" for low, high in pairwise(GAPS)
    )
