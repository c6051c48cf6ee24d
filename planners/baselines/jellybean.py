"""JellyBean: the cheapest models that are accurate enough, then the cheapest workers.

Facts from the authors' artifact (github.com/libertyeagle/JellyBean, ``optimizer/``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import inf

from planners.common.offline_profiles import by_deviation, own_knobs, profile_ahead
from planners.common.orders import Orders, serve_waiting
from planners.common.ranges import above, at_least
from planners.common.retries import IN_VAIN
from planners.common.workers import Crew, Labour, Worker, crews
from scenarios.application import KnobValue, Pipeline
from scenarios.queries import Query
from sim import Estimate, Plan, Planner, PlanningContext


def select_models(
    pipeline: Pipeline,
    profile: Sequence[Estimate],
    floor: float,
    price_usd_per_s: Sequence[float],
    width: int,
) -> list[Estimate]:
    """Return the cheapest configurations that reach an accuracy, by beam search.

    Operators are settled from the sink upward. A state is the knob values of those settled; it is
    kept if some profiled configuration completes it and reaches the floor, and costs what the
    settled operators cost in the cheapest of these. Of all states the ``width`` cheapest are kept;
    among equals, those of the most accurate completion.

    Args:
        pipeline: the pipeline, N operators.
        profile: what is known of its configurations.
        floor: least accuracy.
        price_usd_per_s: price of one profiled second of each operator, shape (N,).
        width: states kept.

    Returns:
        At most ``width`` configurations, the cheapest first; none if none reaches the floor.
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
    """Return plans of one configuration whose workers keep up with a rate, the cheapest first.

    Operators get workers in the order in which they are numbered, which is one in which data flow.
    On each node at or above that of the operator before, even where that is on another branch, the
    cheapest worker to be had is taken, or as many of a kind as the rate needs,
    and of equals the fastest. The ``width`` cheapest states are kept after each operator.

    Args:
        context: the planning context.
        estimate: what is known of the configuration.
        crew: who could run it.
        labour: who is to be had.
        requests_per_s: the rate that each operator must keep up with.
        width: states kept.

    Returns:
        (list price in dollars per hour, plan); none if some operator finds no worker.
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
                cheapest[worker.node] = min(worker, rival, key=_by_price)
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


def _by_price(worker: Worker) -> tuple[float, float]:
    return worker.price_usd_per_hour, worker.latency_factor


@dataclass(eq=False, repr=False)
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

    budget_s: float = 600.0
    samples: int = 100
    width: int = 10
    latency_slack: float | None = None
    pause_s: float = 10.0

    def __post_init__(self) -> None:
        at_least(1, samples=self.samples, width=self.width)
        at_least(0, pause_s=self.pause_s)
        if self.latency_slack is not None:
            above(0, latency_slack=self.latency_slack)

    def plan(self, context: PlanningContext) -> None:
        """Serve each waiting query, unless nothing was found for it a moment ago."""
        labour, orders = Labour(context), Orders(context)
        serve_waiting(
            context,
            orders,
            self.pause_s,
            lambda query: self._cheapest(context, query, labour, orders),
        )

    def _cheapest(
        self, context: PlanningContext, query: Query, labour: Labour, orders: Orders
    ) -> Plan | None:
        """Return the cheapest plan of all model sets that fits, those that pass the check first."""
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
