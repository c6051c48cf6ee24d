"""The value of a planner's decisions in the planning model, and the optimum of this model.

A run is evaluated after its end, so the evaluation does not affect it. A second simulation has the
same queries and deploys nothing. At several moments of the second half, it counts the active plans
that meet the whole SLO by the planning model with true values, and the living queries that the
optimum serves. The model is that of `planners.reference.ilp.ILP`. Runs with faults cannot be
evaluated, because decisions do not record that a fault ended a deployment.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from lab.reporting.explain.record import deployment_intervals
from lab.runs.api import Result
from lab.runs.runner import single_threaded
from planners.reference.ilp import ILP
from scenarios.queries import Query
from sim import PlanningContext
from sim.controlplane.world import World
from sim.dataplane.blocks.plane import BlocksPlane

EVERY_S = 25.0
KEEPS, MISSES = "keeps", "misses"


class Stay(NamedTuple):
    """A plan, as text, and the time span in seconds during which it was active for a query."""

    query: int
    plan: str
    begin_s: float
    end_s: float


def objective(result: Result, utilisation: float, every_s: float = EVERY_S) -> Mapping[str, Any]:
    """Return the value of a run's plans in the planning model, as means over moments.

    * ``served``: queries with an active plan that meets their SLO by the model.
    * ``optimum``: queries that the optimum serves, of all living queries.
    * ``deployed``: queries with an active plan.
    * ``unproven``: share of moments at which limits stopped the solver, so that the true optimum
      can be higher.

    `result` must have no faults. `utilisation` is that of `planners.reference.ilp.ILP`. Raises
    RuntimeError if the model does not know an active plan.
    """
    horizon_s = result.scenario.horizon_s
    active = stays(result.decisions, horizon_s)
    judge = Judge(active, horizon_s / 2, horizon_s, utilisation, every_s)
    world = World(result.scenario, judge, result.seed, BlocksPlane)
    with single_threaded():
        world.run(horizon_s)
    if world.planner_errors:
        raise RuntimeError(f"a run cannot be judged: {world.planner_errors[0]}")
    said = world.tables.take()["offers"]
    moments = ceil(horizon_s / every_s) - ceil(horizon_s / 2 / every_s)
    chosen = said.filter(role="chosen")
    unproven = chosen.filter(pl.col("reason").str.contains("limits"))["triggered_s"].n_unique()
    kept, missed = said.filter(role=KEEPS).height, said.filter(role=MISSES).height
    return {
        "served": kept / moments,
        "optimum": chosen.height / moments,
        "deployed": (kept + missed) / moments,
        "unproven": unproven / moments,
    }


def stays(decisions: pl.DataFrame, horizon_s: float) -> tuple[Stay, ...]:
    """Return when each plan was active, from the table of decisions and the end of the run."""
    ordered = decisions.sort("decided_s", maintain_order=True)
    found = [
        Stay(int(str(query)), spell.order["plan"], spell.start_s, spell.end_s)
        for (query,), part in ordered.group_by("query")
        for spell in deployment_intervals(part, horizon_s)
    ]
    return tuple(sorted(found))


class Judge(ILP):
    """Deploys nothing, and records the value of another planner's plans.

    In [`begin_s`, `end_s`), it logs an offer with role ``keeps`` or ``misses`` for each active
    plan, and one with role ``chosen`` for each query that the optimum serves.
    """

    def __init__(
        self,
        active: tuple[Stay, ...],
        begin_s: float,
        end_s: float,
        utilisation: float,
        replan_every_s: float = EVERY_S,
    ) -> None:
        super().__init__(utilisation=utilisation, replan_every_s=replan_every_s)
        self.active = active
        self.begin_s = begin_s
        self.end_s = end_s

    def plan(self, context: PlanningContext) -> None:
        """Judge all living queries."""
        if context.trigger != "tick" or not self.begin_s <= context.now_s < self.end_s:
            return
        queries = {query.id: query for query in context.waiting}
        for stay in self.active:
            if stay.query in queries and stay.begin_s <= context.now_s < stay.end_s:
                self._judge(context, queries[stay.query], stay.plan)
        if queries:
            self._optimum(context, tuple(queries.values()), None)

    def _judge(self, context: PlanningContext, query: Query, plan: str) -> None:
        truth = context.bulk.truth(query, self._choices)
        view = truth.view
        configurations = context.world.pipeline.configurations
        alike = [plan.startswith(f"{configurations[index]} @ ") for index in view.configuration]
        here = [int(each) for each in np.flatnonzero(alike) if str(view.plan(int(each))) == plan]
        if not here:
            raise RuntimeError(f"query {query.id}: {plan} is not a plan of the ILP")
        number = np.array(here[:1])
        keeps = len(self.feasible(context, query, truth, number)) > 0
        accuracy = float(truth.accuracy[view.configuration[number[0]]])
        latency_s = float(self._latency_s(context, query, truth, number)[0])
        role = KEEPS if keeps else MISSES
        context.bulk.log_candidate(query, view.plan(int(number[0])), role, latency_s, accuracy)
