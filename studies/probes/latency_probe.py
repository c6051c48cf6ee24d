"""Errors of latency surrogates, by the number of profiled plans.

A surrogate learns from profiled plans. Each plan is profiled on 20 items of its configuration. CMBO
learns the time of each operator; ordinary Bayesian optimisation learns the latency of the plan. The
error is the relative difference between the believed mean latency and the latency with true
operator times. Both latencies are without queueing and at nominal speeds of links and devices. The
error for a query is the median over all its plans.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from lab.runs.api import Result
from planners.bayesopt.encodings import blocks, joint, one_hot
from planners.compass.search.cmbo import Cmbo
from planners.compass.search.normal_bo import NormalBo
from scenarios.numerics import Floats
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Planner, PlanningContext, PlanView

AT = (5, 10, 20)
"""Numbers of profiled plans at which errors are recorded."""

ITEMS = 20
INITIAL = 3
"""Plans drawn at random before a surrogate's own proposals are followed."""


class LatencyProbe(Planner):
    """Profiles plans for every query, deploys nothing, and records errors of surrogates.

    Args:
        surrogate: ``"cmbo"`` or ``"normal"``.
        order: with ``"same"``, both surrogates learn from the same random plans. With ``"own"``,
            each learns from its own proposals.
        budget_s: planning seconds per query; the default is more than a query ever needs.
    """

    sees_truth = True

    def __init__(self, surrogate: str = "cmbo", order: str = "same", budget_s: float = 1e7) -> None:
        self.surrogate = surrogate
        self.order = order
        self.budget_s = budget_s

    def plan(self, context: PlanningContext) -> None:
        """Profile plans for the new queries."""
        for query in context.waiting:
            self.probe(context, query)

    def probe(self, context: PlanningContext, query: Query) -> None:
        """Let a surrogate learn from plans one by one; record its error at the counts `AT`."""
        view = context.bulk.view(query)
        truth = context.bulk.truth(query)
        true_s = mean_latency_s(view, truth.operator_time_s, truth.normalised)
        model = surrogate(self.surrogate, context, query, view)
        drawn = stream(0, "evaluation", "surrogates", query.id).permutation(len(view)).tolist()
        told = np.zeros(model.subjects, dtype=bool)
        plans: set[int] = set()
        while len(plans) < max(AT):
            plan = None
            if self.order == "own" and len(plans) >= INITIAL:
                plan = model.propose(told)
            if plan is None:
                plan = next(each for each in drawn if not told[model.subject(each)])
            told[model.subject(plan)] = True
            plans.add(plan)
            measured = context.profile(query, view.plan(plan), ITEMS).measurement
            model.observe(
                model.subject(plan),
                measured.accuracy_mean,
                measured.accuracy_variance / measured.count,
                measured.operator_mean_s,
                measured.time_cv,
                measured.count,
                measured.normalised,
            )
            if len(plans) in AT:
                believed_s = model.believed()[0]
                error = float(np.median(np.abs(believed_s / true_s - 1)))
                context.bulk.log_candidate(query, view.plan(plan), str(len(plans)), error, 0.0)


def surrogate(name: str, context: PlanningContext, query: Query, view: PlanView) -> Cmbo | NormalBo:
    """Return an untrained surrogate for the plans of a query."""
    transfer_s = view.access_s + view.backhaul_s
    plans = view.latency_factors, transfer_s, view.cost_usd_per_hour
    bounds: dict[str, Any] = {
        "latency_s": query.slo.latency_s,
        "accuracy": query.slo.accuracy,
        "fixed_s": view.fixed_s,
    }
    if name == "normal":
        features, widths = joint(context.world.pipeline, view)
        return NormalBo(features, *plans, **bounds, blocks=widths)
    points = one_hot(context.world.pipeline)
    return Cmbo(
        points,
        view.configuration,
        *plans,
        **bounds,
        blocks=blocks(context.world.pipeline, points),
        upstream=context.world.pipeline.upstream_knobs,
    )


def mean_latency_s(view: PlanView, operator_time_s: Floats, normalised: Floats) -> Floats:
    """Return the mean latency of every plan in seconds without queueing, shape (P,).

    `operator_time_s` are mean times on profiling hardware, shape (C, N); `normalised` has the
    configurations' values of ``Measurement.normalised``, shape (C, 2).
    """
    which = view.configuration
    compute_s = np.einsum("pn,pn->p", view.latency_factors, operator_time_s[which])
    moving_s = compute_s + view.access_s + view.backhaul_s
    return np.asarray(normalised[which, 0] * moving_s + normalised[which, 1] * view.fixed_s)


def errors(result: Result) -> Mapping[str, Any]:
    """Return the median error over queries as ``cells``, by the number of profiled plans."""
    by = result.offers.group_by(pl.col("role").cast(pl.Int64).alias("plans")).agg(
        pl.col("latency_s").median().alias("error")
    )
    return {"cells": by.sort("plans").to_dicts()}
