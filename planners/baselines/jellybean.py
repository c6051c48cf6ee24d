"""JellyBean: the cheapest models that are accurate enough, then the cheapest workers."""

from collections.abc import Sequence
from math import inf

from planners.baselines.beam import assign_workers, select_models
from planners.common.offline_profiles import by_deviation, profile_ahead
from planners.common.orders import Orders
from planners.common.ranges import above, at_least
from planners.common.retries import IN_VAIN, due, give_up
from planners.common.workers import Labour, crews
from scenarios.queries import Query
from sim import Estimate, Plan, Planner, PlanningContext


class JellyBean(Planner):
    """Choose the cheapest models that reach the accuracy, then the cheapest workers for the rate.

    A reconstruction of JellyBean (Wu et al., PVLDB 16(3), 2022), which serves a workflow of models
    on workers of several tiers at least cost; it has no latency SLO.

    *Offline*, when the first query of a data set arrives, its configurations are profiled. This is
    planning cost, and no response time.

    *At arrival*, in two stages. Model selection: a beam search from the sink upward keeps the
    ``width`` cheapest choices of models that reach the query's accuracy. Worker assignment: for
    each of them, operator after operator gets the cheapest workers that keep up with the query's
    rate, on the tier of the operator before or a higher one, with ``width`` states kept. Of all
    plans the cheapest is deployed, and among equals the most accurate. A query is never planned
    anew, unless it lost its deployment.

    Confirmed by the authors' artifact: both stages, their order, that demand is a rate and traffic
    goes up only, the beam of 10 in both, the objective, and how ties are broken. Departures:

    * Theirs profiles each operator's accuracy over that of its inputs and composes them. Here
      accuracies are those of whole configurations; a state of the beam is kept if the best profiled
      completion reaches the target.
    * The only traffic with a price here is answers, which cost the same from all nodes of a region.
      So costs are list prices; that other queries may share a station is not foreseen.
    * The workers are those of the cluster. A user's device is where data come from; it is not for
      hire. A worker is also to be had if a station like it already runs.
    * Where operators fork, an operator is still on no lower tier than the one assigned before it,
      though it may not follow that one: some placements that would do are not looked at.
    * Replicas of one operator are alike, and a worker is filled to ``cluster.max_utilisation``.
    * An overloaded plan, whose predicted latency is infinite, and one that does not fit, give way
      to the next.
    * An SLO's ceiling on cost is not looked at: what it finds is the cheapest that it knows.
    * Where no profiled configuration reaches the floor, theirs fails; this one takes the most
      accurate, as the profile is of the data set and not of the query's own content.

    Choose it to see what planning for throughput and cost alone comes to when users wait for
    answers, and, with ``latency_slack`` 1, how far a check afterwards makes up for that.

    Args:
        budget_s: planning seconds of each data set's offline profile. Theirs has no limit; with
            100 samples, 16 workers and 600 s, all of speech recognition and visual tracking is
            profiled. With less, the configurations that differ from the richest in fewer knobs come
            first.
        samples: items profiled for each configuration. Fewer let more be seen within the budget,
            and misjudge more of them.
        width: states kept by both searches. Theirs is 10; more finds cheaper plans if operators
            have many variants.
        latency_slack: the post-check: most that a plan's predicted latency should be, over the
            SLO's bound; what fails it is deployed only if nothing passes, the least late first.
            None is theirs, which knows no latency; 1 checks against the bound itself.
        pause_s: seconds that a query is left alone after a search in vain, unless room became free.
            More saves planning; less serves sooner when load falls.

    Raises:
        ValueError: a parameter is out of range.
    """

    query_records = (IN_VAIN,)

    def __init__(
        self,
        budget_s: float = 600.0,
        samples: int = 100,
        width: int = 10,
        latency_slack: float | None = None,
        pause_s: float = 10.0,
    ) -> None:
        at_least(1, samples=samples, width=width)
        at_least(0, pause_s=pause_s)
        if latency_slack is not None:
            above(0, latency_slack=latency_slack)
        self.budget_s = budget_s
        self.samples = samples
        self.width = width
        self.latency_slack = latency_slack
        self.pause_s = pause_s

    def plan(self, context: PlanningContext) -> None:
        """Serve each waiting query, unless nothing was found for it a moment ago."""
        labour, orders = Labour(context), Orders(context)
        for query in context.waiting:
            if not due(context, query, self.pause_s):
                continue
            profile = profile_ahead(
                context, query.dataset, by_deviation(context.world.pipeline), self.samples
            )
            plan = self._cheapest(context, query, profile, labour, orders)
            if plan is None:
                give_up(context, query)
            else:
                orders.deploy(query, plan)

    def _cheapest(
        self,
        context: PlanningContext,
        query: Query,
        profile: Sequence[Estimate],
        labour: Labour,
        orders: Orders,
    ) -> Plan | None:
        """Return the cheapest plan of all model sets that fits, those that pass the check first."""
        bound_s = inf
        if self.latency_slack is not None and query.slo.latency_s is not None:
            bound_s = self.latency_slack * query.slo.latency_s
        offers = []
        models = self._models(context, query, profile)
        crew_of = crews(context, query, {each.measurement.configuration for each in models})
        for estimate in models:
            crew = crew_of[estimate.measurement.configuration]
            plans = assign_workers(
                context, estimate, crew, labour, query.requests_per_s, self.width
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
        """Return the model sets to find workers for."""
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
    """Return the price of a second of a core, or of a whole GPU, where it is cheapest."""
    nodes = context.world.cluster.nodes.values()
    if kind == "cpu":
        return min(node.core_price_usd_per_hour for node in nodes) / 3600
    wholes = [
        max(map(node.slice_price_usd_per_hour, node.gpu_profiles))
        for node in nodes
        if node.gpu_profiles
    ]
    return min(wholes, default=0.0) / 3600
