"""JellyBean: choose the cheapest models that are accurate enough, then the cheapest workers.

Details follow the authors' artifact (github.com/libertyeagle/JellyBean, ``optimizer/``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import inf

from planners.common.offline_profiles import by_deviation, own_knobs, profile_ahead
from planners.common.orders import Orders, QueryByQuery
from planners.common.ranges import Count, NonNegative, Positive
from planners.common.workers import Crew, Labour, Worker, crews
from scenarios.applications.pipeline import KnobValue, Pipeline
from scenarios.queries import Query
from sim import Estimate, Plan, PlanningContext


def select_models(
    pipeline: Pipeline,
    profile: Sequence[Estimate],
    floor: float,
    price_usd_per_s: Sequence[float],
    width: int,
) -> list[Estimate]:
    """Return the cheapest configurations that reach an accuracy, by beam search.

    Knob values are chosen operator by operator, from the last to the first. A state consists of the
    values chosen so far. The cost of a state is the cost of the operators decided so far, in the
    cheapest profiled configuration that has these values and reaches the floor. States without such
    a configuration are dropped. The ``width`` cheapest states are kept. At equal cost, states whose
    configuration is more accurate are preferred.

    ``price_usd_per_s``, of shape (N,), has each operator's price per profiled second.
    """
    reaching = [each for each in profile if each.accuracy_mean >= floor]
    costs = {id(each): each.measurement.operator_mean_s * price_usd_per_s for each in reaching}
    states: set[tuple[KnobValue, ...]] = {()}
    for operator in reversed(range(len(pipeline.operators))):
        own = own_knobs(pipeline, operator)
        best: dict[tuple[KnobValue, ...], tuple[float, float]] = {}
        for estimate in reaching:
            values = estimate.measurement.configuration.values
            if values[own.stop :] in states:
                rank = float(costs[id(estimate)][operator:].sum()), -estimate.accuracy_mean
                settled = values[own.start :]
                best[settled] = min(rank, best.get(settled, rank))
        states = set(nsmallest(width, best, key=best.__getitem__))
    kept = [each for each in reaching if each.measurement.configuration.values in states]
    return sorted(kept, key=lambda each: (costs[id(each)].sum(), -each.accuracy_mean))


def assign_workers(
    context: PlanningContext,
    estimate: Estimate,
    crew: Crew,
    labour: Labour,
    requests_per_s: float,
    width: int,
) -> list[tuple[float, Plan]]:
    """Return plans of one configuration with enough workers for a request rate, the cheapest first.

    Operators are assigned in data-flow order. Each can use the node of the operator listed before
    it, or a higher node, even if that operator is on another branch. On each node, an operator gets
    the cheapest available worker (the fastest at equal prices), with as many replicas as the rate
    needs. After each operator, the ``width`` cheapest partial assignments are kept.

    Each plan comes with its list price in dollars per hour. The list is empty if no worker is
    available for some operator.
    """
    configuration = estimate.measurement.configuration
    nodes = list(context.world.cluster.nodes)
    states: list[tuple[float, tuple[Worker, ...]]] = [(0.0, ())]
    for operator, time_s in enumerate(estimate.measurement.operator_mean_s.tolist()):
        cheapest: dict[str, Worker] = {}
        for one in crew[operator]:
            worker = one.enough_for(requests_per_s * time_s, context.world.cluster.max_utilisation)
            if labour.offers(operator, configuration, worker):
                rival = cheapest.get(worker.node, worker)
                cheapest[worker.node] = min(
                    worker, rival, key=lambda each: (each.price_usd_per_hour, each.latency_factor)
                )
        grown = [
            (price + cheapest[node].price_usd_per_hour, (*chosen, cheapest[node]))
            for price, chosen in states
            for node in nodes[nodes.index(chosen[-1].node) if chosen else 0 :]
            if node in cheapest
        ]
        states = nsmallest(width, grown, key=lambda state: state[0])
    return [
        (
            price,
            Plan(
                configuration,
                tuple(worker.node for worker in chosen),
                tuple(worker.allocation for worker in chosen),
            ),
        )
        for price, chosen in states
    ]


@dataclass(eq=False, repr=False)
class JellyBean(QueryByQuery):
    """Choose the cheapest models that reach the accuracy, then the cheapest workers for the rate.

    This is a reconstruction of JellyBean (Wu et al., PVLDB 16(3), 2022), which serves a workflow of
    models at the lowest cost on workers of several tiers. JellyBean has no latency SLO.

    *Offline*, at the first query of a data set, its configurations are profiled. This adds to
    planning cost but not to response time.

    *At arrival*, model selection keeps the ``width`` cheapest configurations that reach the
    accuracy (`select_models`). Worker assignment then finds the cheapest workers for each of them
    (`assign_workers`). The cheapest plan is deployed; among plans of equal cost, the most accurate
    one is chosen. A query is planned again only if it has lost its deployment.

    ``docs/concepts/baselines.md`` lists what the paper confirms and what departs from the paper.

    Args:
        budget_s: planning seconds of each data set's profile; the authors' profiling has no limit.
        samples: number of items on which each configuration is profiled.
        width: number of states that each of the two searches keeps.
        latency_slack: plans whose predicted latency exceeds this share of the SLO's bound come
            last, in order of rising latency. None turns the check off, as in the authors' planner.
        pause_s: seconds from a failed search for a query to the next; freed room ends the pause.
    """

    behaviour = 1
    """1: versions begin."""

    budget_s: float = 600.0
    samples: Count = 100
    width: Count = 10
    latency_slack: Positive | None = None
    pause_s: NonNegative = 10.0

    def find(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the cheapest plan that fits, preferring those within ``latency_slack``."""
        profile = profile_ahead(
            context, query.dataset, by_deviation(context.world.pipeline), self.samples
        )
        bound_s = inf
        if self.latency_slack is not None and query.slo.latency_s is not None:
            bound_s = self.latency_slack * query.slo.latency_s
        offers = []
        models = self._models(context, query, profile)
        crew_of = crews(context, query, {each.measurement.configuration for each in models})
        for estimate in models:
            crew = crew_of[estimate.measurement.configuration]
            plans = assign_workers(
                context, estimate, crew, orders.labour, query.requests_per_s, self.width
            )
            context.charge(query, "step", self.width * len(crew))
            for price, plan in plans:
                latency_s = context.predict(query, plan, estimate).latency_quantile_s
                if latency_s < inf:
                    late_s = max(0.0, latency_s - bound_s)
                    offers.append(((late_s, price, -estimate.accuracy_mean), plan))
        offers.sort(key=lambda offer: offer[0])
        return next((plan for _, plan in offers if orders.fits(query, plan)), None)

    def _models(
        self, context: PlanningContext, query: Query, profile: Sequence[Estimate]
    ) -> list[Estimate]:
        """Return the configurations for which the search must find workers."""
        floor = query.slo.accuracy or 0.0
        prices = [
            _price_usd_per_s(context, operator.kind)
            for operator in context.world.pipeline.operators
        ]
        context.charge(query, "step", len(profile) * len(prices))
        reaching = select_models(context.world.pipeline, profile, floor, prices, self.width)
        if reaching or not profile:
            return reaching
        return [max(profile, key=lambda each: each.accuracy_mean)]


def _price_usd_per_s(context: PlanningContext, kind: str) -> float:
    """Return the lowest price, over all nodes, of a second of a core or of a whole GPU."""
    nodes = context.world.cluster.nodes.values()
    if kind == "cpu":
        return min(node.core_price_usd_per_hour for node in nodes) / 3600
    wholes = [
        max(map(node.slice_price_usd_per_hour, node.gpu_profiles))
        for node in nodes
        if node.gpu_profiles
    ]
    return min(wholes, default=0.0) / 3600
