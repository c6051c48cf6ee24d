"""What a planner could have ordered for a query instead: plans among the candidates that fit."""

from itertools import islice

import numpy as np

from scenarios.numerics import Bools, Floats
from scenarios.queries import Query
from scenarios.slo import SLO
from sim.api.choices import DEFAULT_CHOICES
from sim.api.plan import Plan
from sim.api.plan_view import PlanView
from sim.controlplane.planner_calls import Outcome
from sim.controlplane.recording import misfit
from sim.controlplane.world import World
from sim.planning.queueing import Sizes, present_loads, sojourns

BEST = 8
"""Number of plans that are tried because their prediction is best."""


def alternatives(world: World, outcome: Outcome, query: Query, best: int = BEST) -> list[Plan]:
    """Return plans that fit now, together with the orders that a call of the planner just gave.

    The truth about the query, which planners do not know, predicts each candidate's latency,
    accuracy and cost under the present load. Of each layout, the plan with the best prediction
    counts. The first ``best`` of them are returned, those that meet the SLO first, and of these the
    cheapest first; then the fastest plan that meets it, and the cheapest candidate of all.
    """
    service, orders = world.planning_service, list(outcome.orders.values())

    def fits(plan: Plan) -> bool:
        return misfit(world, orders, query, plan) is None

    view, meets, excess = _predicted(world, query)
    cost = view.cost_usd_per_hour
    by_layout = np.lexsort((excess, np.where(meets, cost, np.inf), ~meets))
    _, first = np.unique(view.layout[by_layout], return_index=True)
    ranked = (view.plan(int(index)) for index in by_layout[np.sort(first)])
    found = list(islice(filter(fits, ranked), best))
    by_speed = np.lexsort((cost, excess, ~meets))
    found += islice(filter(fits, (view.plan(int(index)) for index in by_speed)), 1)
    found += islice(filter(fits, service.plan_space.ordered("cost", query.device)), 1)
    return list(dict.fromkeys(found))


def _predicted(world: World, query: Query) -> tuple[PlanView, Bools, Floats]:
    """Return all candidates, whether each meets the SLO, and by how much it would be exceeded.

    The arrays have shape (P,). The excess is the largest ratio of a figure to its bound.
    """
    service, slo = world.planning_service, query.slo
    state = world.registry.living[query.id]
    truth = service.truths.of(query, state.truth, world.now_s, DEFAULT_CHOICES)
    view, every = truth.view, np.arange(len(truth.view))
    dataset = service.application.datasets[query.dataset]
    sizes = Sizes(
        truth.operator_time_s,
        truth.time_cv,
        truth.normalised,
        np.ascontiguousarray(view.configuration, dtype=np.int64),
        shares_links=service.nominal.shares_links,
    )
    loads = present_loads(world.machines, dataset, query, view, every)
    _, latency_s = sojourns(query, view, every, sizes, loads)
    ratios = _ratios(slo, latency_s, truth.accuracy[view.configuration], view.cost_usd_per_hour)
    return view, ratios <= 1.0, ratios


def _ratios(slo: SLO, latency_s: Floats, accuracy: Floats, cost_usd_per_hour: Floats) -> Floats:
    found = np.zeros(len(latency_s)) if slo.latency_s is None else latency_s / slo.latency_s
    if slo.accuracy is not None:
        found = np.where(accuracy >= slo.accuracy, found, np.inf)
    if slo.cost_usd_per_hour is not None:
        found = np.where(cost_usd_per_hour <= slo.cost_usd_per_hour, found, np.inf)
    return found
