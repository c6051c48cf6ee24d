"""INFaaS-style: give each operator its cheapest sufficient variant, and scale late operators."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf

from planners.common.offline_profiles import by_deviation, deviations, own_knobs, profile_ahead
from planners.common.orders import Orders, QueryByQuery
from planners.common.ranges import Count, NonNegative, Positive
from planners.common.windows import late_window
from planners.common.workers import Crew, Labour, Worker, crews
from scenarios.applications.pipeline import Configuration, KnobValue, Pipeline
from scenarios.queries import Query
from sim import Allocation, Estimate, Plan, PlanningContext, WindowReport


@dataclass(frozen=True, slots=True)
class Variant:
    """Values of an operator's own knobs, profiled with the richest values of all other knobs."""

    operator: int
    values: tuple[KnobValue, ...]
    configuration: Configuration
    time_s: float  # its mean time on the profiling hardware
    quality: float  # ratio of its configuration's accuracy to that of the richest


@dataclass(frozen=True, slots=True)
class VariantOffer:
    """A variant of an operator on enough workers for the query's load."""

    variant: Variant
    worker: Worker  # the workers, in all their replicas
    time_s: float  # its mean time there if it is served alone
    busy: float  # servers that the load keeps busy


def registered(pipeline: Pipeline) -> list[Configuration]:
    """Return the richest configuration and those that differ from it in one operator's knobs."""
    richest = pipeline.configurations[0]
    owner = [number for number, operator in enumerate(pipeline.operators) for _ in operator.knobs]
    return [
        each
        for each in by_deviation(pipeline)
        if len({owner[knob] for knob in deviations(each, richest)}) <= 1
    ]


def variants(pipeline: Pipeline, profile: Sequence[Estimate]) -> tuple[tuple[Variant, ...], ...]:
    """Return the variants of each operator, the richest first.

    ``profile`` has estimates of the configurations that `registered` returns, the richest first.
    """
    reference, found = profile[0], []
    richest = reference.measurement.configuration
    for operator in range(len(pipeline.operators)):
        own = own_knobs(pipeline, operator)
        found.append(
            tuple(
                Variant(
                    operator,
                    configuration.values[own],
                    configuration,
                    float(each.measurement.operator_mean_s[operator]),
                    each.accuracy_mean / max(reference.accuracy_mean, 1e-9),
                )
                for each in profile
                for configuration in (each.measurement.configuration,)
                if all(own.start <= knob < own.stop for knob in deviations(configuration, richest))
            )
        )
    return tuple(found)


def offers(
    choices: Sequence[Variant],
    crews: Mapping[Configuration, Crew],
    requests_per_s: float,
    max_utilisation: float,
) -> list[VariantOffer]:
    """Return all pairs of a variant and a type of worker, with enough workers for a request rate.

    ``crews`` maps each configuration with a profiled variant to the workers that can run it.
    """
    found = []
    for variant in choices:
        work = requests_per_s * variant.time_s
        for worker in crews[variant.configuration][variant.operator]:
            found.append(
                VariantOffer(
                    variant,
                    worker.enough_for(work, max_utilisation),
                    variant.time_s * worker.latency_factor,
                    work * worker.capacity_factor,
                )
            )
    return found


def assembled(pipeline: Pipeline, chosen: Sequence[VariantOffer]) -> Plan:
    """Return the plan that has the chosen offer for every operator."""
    values = tuple(value for each in chosen for value in each.variant.values)
    return Plan(
        _configuration(pipeline, values),
        tuple(each.worker.node for each in chosen),
        tuple(each.worker.allocation for each in chosen),
    )


@dataclass(frozen=True, slots=True)
class Goal:
    """The latency and accuracy that one operator must reach for the query to meet its SLO."""

    time_s: float  # largest time of a request; infinite without a bound
    quality: float  # least ratio of accuracy to that of the richest configuration

    def shortfall(self, offer: VariantOffer) -> tuple[float, float, float, float]:
        """Return an offer's sort key: its deficits in accuracy and time, its price and its load."""
        return (
            max(0.0, self.quality - offer.variant.quality),
            max(0.0, offer.time_s - self.time_s),
            offer.worker.price_usd_per_hour,
            offer.busy,
        )


@dataclass(frozen=True, slots=True)
class VariantMarket:
    """Each operator's goal, and its variants on all workers that can run them."""

    goals: tuple[Goal, ...]
    offers: tuple[list[VariantOffer], ...]

    def on(self, node: str, labour: Labour) -> list[list[VariantOffer]]:
        """Return each operator's offers on a node, as far as their workers are available now."""
        return [
            [
                each
                for each in offered
                if each.worker.node == node
                and labour.offers(each.variant.operator, each.variant.configuration, each.worker)
            ]
            for offered in self.offers
        ]


def with_operator(
    pipeline: Pipeline,
    plan: Plan,
    operator: int,
    allocation: Allocation,
    variant: Variant | None = None,
) -> Plan:
    """Return a copy of a plan in which one operator has a new allocation and variant (if given)."""
    values = list(plan.configuration.values)
    if variant is not None:
        values[own_knobs(pipeline, operator)] = variant.values
    shares = list(plan.allocation)
    shares[operator] = allocation
    return Plan(_configuration(pipeline, tuple(values)), plan.placement, tuple(shares))


def _configuration(pipeline: Pipeline, values: tuple[KnobValue, ...]) -> Configuration:
    return next(each for each in pipeline.configurations if each.values == values)


FASTER = 0.9
"""An upgrade must reduce an operator's time to this share of its present time, or less."""

MOST_SPREAD = 10.0
"""Cap on the assumed ratio of the latency quantile to the mean of an operator's time."""


@dataclass(eq=False, repr=False)
class INFaaS(QueryByQuery):
    """Give each operator the cheapest variant for its share of the SLO; scale late operators up.

    This planner follows INFaaS (Romero et al., USENIX ATC 2021), which serves single models. The
    users of INFaaS state the latency and accuracy that they need. INFaaS chooses profiled variants
    and hardware, and scales them.

    *Offline*, at the first query of a data set, each operator's variants are profiled while all
    other operators keep their richest knob values. This adds to planning cost but not to response
    time.

    *At arrival* the SLO is split over operators. The product of ``headroom`` and the latency bound
    is divided in proportion to the operators' times in the richest configuration. Let r be the
    ratio of the accuracy floor to the richest configuration's accuracy. Each of the m operators
    with knobs is allowed to multiply accuracy by r^(1/m). Each operator gets the cheapest variant
    and workers that meet its share. Among equal prices, those with the lowest load are chosen. If
    no variant meets the share, the most accurate one is chosen. Among equally accurate ones, this
    is the fastest. All operators run on the cheapest node where these choices fit.

    *Every* ``replan_every_s``, if a query's last window was late, the operator that most exceeds
    its share is scaled. If its requests mostly wait, it gets one more replica. Otherwise it gets
    the cheapest upgrade that is at least a tenth faster and accurate enough.

    ``docs/concepts/baselines.md`` lists what the paper confirms and what departs from the paper.

    Args:
        budget_s: planning seconds of each data set's profile.
        samples: number of items on which each variant is profiled.
        headroom: share of the latency bound that is split; the rest is for network and waiting.
        replan_every_s: seconds between two runs of the autoscaler.
        settle_s: seconds for which a plan must have been active before a window starts to count.
        pause_s: seconds from a failed search for a query to the next; freed room ends the pause.
    """

    behaviour = 1
    """1: versions begin."""

    budget_s: float = 600.0
    samples: Count = 100
    headroom: Positive = 0.7
    replan_every_s: float = 10.0
    settle_s: NonNegative = 30.0
    pause_s: NonNegative = 10.0

    def plan(self, context: PlanningContext) -> None:
        """Serve waiting queries, and at ticks scale the running ones that are late."""
        orders = Orders(context)
        self.serve(context, orders)
        if context.trigger == "tick":
            for query in context.running:
                self._scale(context, query, orders)

    def _scale(self, context: PlanningContext, query: Query, orders: Orders) -> None:
        """Scale a running query's slowest operator, if its last window was late."""
        plan = context.plan_of(query)
        if plan is None or query.id in context.world.loading:
            return
        report = late_window(context, query, self.settle_s)
        market = None if report is None else self._market(context, query)
        if report is None or market is None:
            return
        for larger in scaled(context.world.pipeline, plan, report, market, orders.labour):
            if _possible(context, query, larger, orders):
                orders.deploy(query, larger)
                return

    def _market(self, context: PlanningContext, query: Query) -> VariantMarket | None:
        """Return a query's goals and offers, or None if the richest configuration is unprofiled."""
        profile = profile_ahead(
            context, query.dataset, registered(context.world.pipeline), self.samples
        )
        if not profile or profile[0].measurement.configuration.index:
            return None
        choices = variants(context.world.pipeline, profile)
        crew_of = crews(context, query, {each.measurement.configuration for each in profile})
        limit = context.world.cluster.max_utilisation
        found = tuple(offers(each, crew_of, query.requests_per_s, limit) for each in choices)
        context.charge(query, "step", sum(map(len, found)))
        return VariantMarket(self._goals(context, query, choices, profile[0].accuracy_mean), found)

    def _goals(
        self,
        context: PlanningContext,
        query: Query,
        choices: Sequence[Sequence[Variant]],
        richest_accuracy: float,
    ) -> tuple[Goal, ...]:
        times_s = [each[0].time_s for each in choices]
        bound_s = inf if query.slo.latency_s is None else self.headroom * query.slo.latency_s
        tunable = sum(bool(operator.knobs) for operator in context.world.pipeline.operators)
        needed = (query.slo.accuracy or 0.0) / max(richest_accuracy, 1e-9)
        quality = needed ** (1 / max(1, tunable))
        return tuple(
            Goal(bound_s * time_s / fsum(times_s), quality if operator.knobs else 0.0)
            for operator, time_s in zip(context.world.pipeline.operators, times_s, strict=True)
        )

    def find(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the plan of the operators' cheapest offers, on the node where they cost least."""
        market = self._market(context, query)
        if market is None:
            return None
        plans = []
        for node in context.world.cluster.nodes:
            chosen = [
                min(offered, key=goal.shortfall)
                for goal, offered in zip(market.goals, market.on(node, orders.labour), strict=True)
                if offered
            ]
            if len(chosen) == len(market.goals):
                plans.append(assembled(context.world.pipeline, chosen))
        plans.sort(key=lambda plan: plan.list_price_usd_per_hour(context.world.cluster))
        return next((each for each in plans if _possible(context, query, each, orders)), None)


def _possible(context: PlanningContext, query: Query, plan: Plan, orders: Orders) -> bool:
    """Return whether a plan can run, costs no more than the ceiling, and fits."""
    ceiling = query.slo.cost_usd_per_hour
    if ceiling is not None and plan.list_price_usd_per_hour(context.world.cluster) > ceiling:
        return False
    return context.world.refusal(query, plan) is None and orders.fits(query, plan)


def scaled(
    pipeline: Pipeline, plan: Plan, report: WindowReport, market: VariantMarket, labour: Labour
) -> Iterator[Plan]:
    """Yield plans that scale the operator that most exceeds its goal, the best first.

    If that operator's requests compute longer than they wait, upgrades are yielded first, by rising
    price. The plan with one more replica of that operator comes last. An operator's latency
    quantile is taken as its mean latency times the ratio of the whole latency's quantile to its
    mean. If all operators meet their goals, nothing is yielded. Network time is not considered.
    """
    spread = min(MOST_SPREAD, max(1.0, report.latency_quantile_s / report.latency_mean_s))
    taken_s = [fsum(pair) for pair in zip(report.waiting_s, report.compute_s, strict=True)]
    excess = [
        spread * time_s / goal.time_s for time_s, goal in zip(taken_s, market.goals, strict=True)
    ]
    worst = max(range(len(excess)), key=excess.__getitem__)
    if excess[worst] <= 1:
        return
    if report.waiting_s[worst] <= report.compute_s[worst]:
        yield from _upgrades(pipeline, plan, worst, market, labour)
    share = plan.allocation[worst]
    more = share._replace(replicas=share.replicas + 1)
    yield with_operator(pipeline, plan, worst, more)


def _upgrades(
    pipeline: Pipeline, plan: Plan, operator: int, market: VariantMarket, labour: Labour
) -> Iterator[Plan]:
    """Yield a copy of the plan for each faster offer of one operator, the cheapest first."""
    values = plan.configuration.values[own_knobs(pipeline, operator)]
    share, node = plan.allocation[operator], plan.placement[operator]
    current = next(
        (
            each
            for each in market.offers[operator]
            if each.worker.node == node
            and each.variant.values == values
            and each.worker.allocation.profile == share.profile
        ),
        None,
    )
    if current is None:
        return
    least = min(market.goals[operator].quality, current.variant.quality)
    faster = [
        each
        for each in market.on(node, labour)[operator]
        if each.time_s <= FASTER * current.time_s and each.variant.quality >= least
    ]
    for each in sorted(faster, key=lambda each: (each.worker.price_usd_per_hour, each.busy)):
        allocation = each.worker.allocation
        replicas = max(share.replicas, allocation.replicas)
        more = allocation._replace(replicas=replicas)
        yield with_operator(pipeline, plan, operator, more, each.variant)
