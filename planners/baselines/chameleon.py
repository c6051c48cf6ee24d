"""Chameleon-style: profile a few promising configurations again in every window."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from planners.common.offline_profiles import demand_s, deviations, neighbours
from planners.common.one_node import home_node, partitions, plan_on
from planners.common.orders import IN_VAIN, Orders, due, give_up
from planners.common.ranges import Count, InRange, NonNegative, Positive
from scenarios.applications.pipeline import Configuration, KnobValue, Pipeline
from scenarios.queries import Query
from sim import Estimate, Plan, Planner, PlanningContext

Setting = tuple[int, KnobValue]
"""The index of a knob, and a value of that knob."""


@dataclass(frozen=True, slots=True)
class KnobEffect:
    """The accuracy and the demand of a setting, as ratios to those of the knob's richest value."""

    accuracy: float
    demand: float


@dataclass(frozen=True, slots=True)
class KnobProfile:
    """The measured effects of each knob on one data set; knobs are assumed to be independent."""

    since_s: float  # when its first leader began
    accuracy: float  # accuracy of the richest configuration
    # The effect of each setting that was profiled.
    effects: Mapping[Setting, KnobEffect] = field(default_factory=dict)

    def missing(self, pipeline: Pipeline) -> Iterator[Configuration]:
        """Yield a configuration for each setting that is not profiled yet, richer values first.

        Among values of equal rank, those of later operators' knobs come first, because earlier
        operators need not run again.
        """
        richest = pipeline.configurations[0]
        around = list(neighbours(pipeline, richest))

        def turn(configuration: Configuration) -> tuple[int, int]:
            knob, value = _setting(configuration, richest)
            return pipeline.knobs[knob].choices.index(value), -knob

        for configuration in sorted(around, key=turn):
            if _setting(configuration, richest) not in self.effects:
                yield configuration

    def with_effect(self, shown: Estimate, richest: Estimate) -> "KnobProfile":
        """Return the profile with the effect of the only setting of ``shown`` below the richest."""
        setting = _setting(shown.measurement.configuration, richest.measurement.configuration)
        effect = KnobEffect(
            shown.accuracy_mean / max(richest.accuracy_mean, 1e-9),
            demand_s(shown) / demand_s(richest),
        )
        return replace(self, effects={**self.effects, setting: effect})

    def composed(self, pipeline: Pipeline, configuration: Configuration) -> KnobEffect | None:
        """Return the product of the effects of all settings, or None if one is unknown."""
        accuracy, demand = 1.0, 1.0
        for knob in deviations(configuration, pipeline.configurations[0]):
            effect = self.effects.get((knob, configuration.values[knob]))
            if effect is None:
                return None
            accuracy *= effect.accuracy
            demand *= effect.demand
        return KnobEffect(accuracy, demand)

    def ranked(self, pipeline: Pipeline, floor: float) -> list[Configuration]:
        """Return the configurations whose effects are known, the most promising first.

        Those that are expected to reach the accuracy floor come first, in order of rising demand.
        The others follow in order of falling accuracy.
        """
        keys: dict[Configuration, tuple[float, float]] = {}
        for configuration in pipeline.configurations:
            effect = self.composed(pipeline, configuration)
            if effect is not None:
                lacks = max(0.0, floor - self.accuracy * effect.accuracy)
                keys[configuration] = lacks, effect.demand
        return sorted(keys, key=keys.__getitem__)


def _setting(configuration: Configuration, richest: Configuration) -> Setting:
    (knob,) = deviations(configuration, richest)
    return knob, configuration.values[knob]


LEADER_SHARE = 0.5
"""Share of a search's budget that a leader can spend on profiling for the whole data set."""
RICHEST_SHARE = 0.5
"""Part of the leader's share that it can spend on the richest configuration."""


@dataclass(eq=False, repr=False)
class Chameleon(InRange, Planner):
    """In every window, use fresh data to profile the few configurations that were best so far.

    This planner follows Chameleon (Jiang et al., SIGCOMM 2018), which adapts configurations of
    video analytics to the content with little profiling:

    * Knobs are assumed to be independent. A leader profiles the richest configuration. It also
      profiles every other value of each knob, while all other knobs keep their richest value. The
      effect of a configuration is the product of the effects of its values.
    * A leader's profile serves all queries of the data set for ``lead_every_s``. Each query is a
      follower. On its own data, it profiles the ``top`` configurations that are expected to be the
      cheapest accurate ones.
    * Every ``window_s``, a running query takes fresh data and profiles ``top`` configurations
      again, including the active one. It moves to the cheapest accurate one. If none is accurate,
      more configurations are profiled.

    ``docs/concepts/baselines.md`` lists what the paper confirms and what departs from the paper.

    Args:
        budget_s: planning seconds of each search.
        samples: number of items on which each of the ``top`` configurations is profiled.
        top: number of configurations profiled again in each window, including the active one.
        window_s: seconds between two profilings of a running query.
        lead_every_s: seconds after which a leader profiles all knobs again.
        headroom: largest allowed predicted latency of a plan, as a share of the latency bound.
        replan_every_s: seconds between checks for windows that have ended; should be far below
            ``window_s``.
        pause_s: seconds from a failed search for a query to the next; freed room ends the pause.
    """

    behaviour = 1
    """1: versions begin."""

    query_records = (IN_VAIN, "chameleon looked")

    budget_s: float = 5.0
    samples: Count = 100
    top: Count = 3
    window_s: Positive = 60.0
    lead_every_s: Positive = 300.0
    headroom: Positive = 0.8
    replan_every_s: float = 10.0
    pause_s: NonNegative = 10.0

    def plan(self, context: PlanningContext) -> None:
        """Serve waiting queries; at ticks, also profile running queries whose window has ended."""
        node = home_node(context)
        if node is None:
            return
        orders = Orders(context)
        for query in context.waiting:
            if due(context, query, self.pause_s) and not self._serve(context, query, node, orders):
                give_up(context, query)
        if context.trigger == "tick":
            for query in context.running:
                looked_s = context.recall(("chameleon looked", query.id))
                # A crash may have lost the time of the last profiling.
                if looked_s is None or context.now_s >= looked_s + self.window_s:
                    context.resample(query)
                    self._serve(context, query, node, orders)

    def _serve(self, context: PlanningContext, query: Query, node: str, orders: Orders) -> bool:
        """Profile for a query and deploy its best plan; return whether the query has a plan."""
        context.remember(("chameleon looked", query.id), context.now_s, query)
        estimates = self._profiled(context, query, self._lead(context, query))
        accurate = [each for each in estimates if each.accurate_enough(query.slo)]
        if not accurate and estimates:
            accurate = [max(estimates, key=lambda each: each.accuracy_mean)]
        current = context.plan_of(query)
        for plan in self._ways(context, query, node, accurate):
            if plan == current:
                return True
            if orders.fits(query, plan):
                orders.deploy(query, plan)
                return True
        return current is not None

    def _lead(self, context: PlanningContext, query: Query) -> KnobProfile | None:
        """Return the knob profile, after profiling missing settings as far as the budget allows.

        Every setting is profiled on as many items as the richest configuration, so that ratios
        compare the same items. If the query has profiled a setting on more items before, all of
        these items count.
        """
        key = "chameleon knobs", query.dataset
        known: KnobProfile | None = context.recall(key)
        if known is not None and context.now_s >= known.since_s + self.lead_every_s:
            known = None
        missing = None if known is None else next(known.missing(context.world.pipeline), None)
        if known is not None and missing is None:
            return known
        allowed_s = (1 - LEADER_SHARE) * self.budget_s
        richest = self._richest(context, query)
        if richest is None:
            return known
        known = known or KnobProfile(context.now_s, richest.accuracy_mean)
        for configuration in known.missing(context.world.pipeline):
            if context.remaining(query) <= allowed_s:
                break
            shown = context.profile(query, configuration, richest.count)
            if shown.count < richest.count:
                break
            known = known.with_effect(shown, richest)
        context.remember(key, known, query)
        return known

    def _richest(self, context: PlanningContext, query: Query) -> Estimate | None:
        """Profile the richest configuration on as many items as its share of the budget allows."""
        configuration = context.world.pipeline.configurations[0]
        workers = context.world.cluster.profiling.boards
        before_s = context.remaining(query)
        estimate = context.profile(query, configuration, min(workers, self.samples))
        round_s = before_s - context.remaining(query)
        if round_s > 0:
            rounds = int(LEADER_SHARE * RICHEST_SHARE * self.budget_s / round_s)
            estimate = context.profile(query, configuration, min(self.samples, rounds * workers))
        return estimate if estimate.count else None

    def _profiled(
        self, context: PlanningContext, query: Query, knobs: KnobProfile | None
    ) -> list[Estimate]:
        """Profile the active and top configurations, then others until one is accurate enough."""
        order = (
            [] if knobs is None else knobs.ranked(context.world.pipeline, query.slo.accuracy or 0.0)
        )
        plan = context.plan_of(query)
        if plan is not None:
            order = [plan.configuration, *(each for each in order if each != plan.configuration)]
        estimates: list[Estimate] = []
        found = False
        for configuration in order:
            if len(estimates) >= self.top and found:
                break
            estimate = context.profile(query, configuration, self.samples)
            if not estimate.count:
                break  # the budget is spent
            estimates.append(estimate)
            found = found or estimate.accurate_enough(query.slo)
        return estimates

    def _ways(
        self, context: PlanningContext, query: Query, node: str, estimates: Sequence[Estimate]
    ) -> Iterator[Plan]:
        """Yield plans of the given configurations: first those that are in time, by rising price.

        Among plans of equal rank, the active plan comes first.
        """
        slo, current = query.slo, context.plan_of(query)
        bound_s = inf if slo.latency_s is None else self.headroom * slo.latency_s
        ways = []
        for estimate in sorted(estimates, key=demand_s):
            for partition in partitions(context, node):
                found = plan_on(context, node, query, estimate, partition)
                if found is None:
                    continue
                plan = found[0]
                prediction = context.predict(query, plan)
                latency_s, price = prediction.latency_quantile_s, prediction.cost_usd_per_hour
                if latency_s == inf or price > (slo.cost_usd_per_hour or inf):
                    continue
                late_s = max(0.0, latency_s - bound_s)
                rank = late_s, price, plan != current, -estimate.accuracy_mean
                ways.append((rank, plan))
        ways.sort(key=lambda way: way[0])
        return (plan for _, plan in ways)
