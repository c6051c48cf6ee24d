"""VideoStorm: profile offline, then divide the cloud among queries by utility every second."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

from planners.baselines.utilities import (
    Objective,
    QueryOption,
    ResourcePool,
    Valuation,
    allocate,
    concave_ladder,
)
from planners.common.offline_profiles import climb, pareto_set
from planners.common.one_node import home_node
from planners.common.orders import Orders
from planners.common.ranges import Count, InRange, NonNegative, Positive
from scenarios.queries import Query
from sim import Estimate, Planner, PlanningContext

SEEN = "videostorm seen"

Targets = dict[int, QueryOption]
"""The target option of each query, by id."""


@dataclass(eq=False, repr=False)
class VideoStorm(InRange, Planner):
    """Profile each data set offline; then, every second, divide a node among queries by utility.

    This is a reconstruction of VideoStorm (Zhang et al., NSDI 2017), a scheduler of video analytics
    in one cloud cluster.

    *Offline*, at the first query of a data set, greedy hill climbing from random starts increases
    X(c) = Q(c) - beta D(c) by changing one knob at a time. Here Q is the accuracy, and D is the
    demand in seconds of compute per request. The Pareto set of the profiled configurations is kept.
    This adds to planning cost but not to response time, except in `VideoStormOnline`.

    *Online*, every ``replan_every_s``, queries share the highest node that can serve them all, by
    max-sum or max-min over the utilities

        U = u_base + alpha_quality (Q - Q_M)+ - alpha_lag (L - L_M)+,   Q >= Q_M

    Here Q_M and L_M are the accuracy and latency of the SLO, and L is the latency that
    ``context.predict`` returns under the present load. A query that is not served has U = 0. Then
    waiting queries are placed, and running queries migrate if they gain enough utility.

    ``docs/concepts/baselines.md`` lists what the paper confirms and what departs from the paper.

    Args:
        objective: ``"max_sum"`` or ``"max_min"``; their results differ only if the node is too
            small for all queries.
        budget_s: planning seconds of each data set's profile, and of each query's search.
        samples: number of items on which each configuration is profiled.
        beta: least gain in accuracy that justifies one more second of demand.
        starts: number of random configurations, of which the best is the start of a climb.
        u_base: utility of a query that just meets its goals.
        alpha_quality: utility of accuracy beyond the floor.
        alpha_lag: utility lost with each second beyond the bound.
        headroom: ratio of the latency bound used in planning to the SLO's bound.
        migrate_gain: a running query migrates only if its utility rises by at least this much.
        replan_every_s: seconds between two runs of the scheduler.
        starts_seed: seed of the climbs' random starts and orders, independent of the run's seed.
    """

    behaviour = 1
    """1: versions begin."""

    objective: Objective = "max_sum"
    budget_s: float = 5.0
    samples: Count = 100
    beta: NonNegative = 0.5
    starts: Count = 3
    u_base: NonNegative = 1.0
    alpha_quality: NonNegative = 1.0
    alpha_lag: NonNegative = 1.0
    headroom: Positive = 1.0
    migrate_gain: NonNegative = 0.1
    replan_every_s: float = 1.0
    starts_seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in ("max_sum", "max_min"):
            raise ValueError(f"objective={self.objective!r}: choose max_sum or max_min")
        super().__post_init__()

    def plan(self, context: PlanningContext) -> None:
        """Divide the node again if anything relevant has changed since the last time."""
        node = home_node(context)
        if node is None or context.trigger != "tick":
            return  # The scheduler is periodic: a new query waits for its next round.
        datasets = dict.fromkeys(each.dataset for each in (*context.running, *context.waiting))
        found = {dataset: self.profile_of(context, dataset) for dataset in datasets}
        profiles = {dataset: known for dataset, known in found.items() if known is not None}
        seen = *_fingerprint(context, node), tuple(profiles)
        if context.recall(SEEN) == seen:
            return
        context.remember(SEEN, seen)
        value = Valuation(
            context,
            node,
            profiles,
            u_base=self.u_base,
            alpha_quality=self.alpha_quality,
            alpha_lag=self.alpha_lag,
            headroom=self.headroom,
        )
        targets = self._targets(value)
        orders = Orders(context)
        starved = self._place_waiting(value, targets, orders)
        if starved:
            self._cut_back(value, targets, orders, max(each.utility for each in starved))
        else:
            self._upgrade(value, targets, orders)

    def profile_of(self, context: PlanningContext, dataset: str) -> tuple[Estimate, ...] | None:
        """Return a data set's Pareto set, sorted by demand, or None while it is being profiled.

        The first call profiles the data set. To climb again costs nothing, unless a crash of the
        planner deleted results.
        """
        key = "videostorm profile", dataset
        known: tuple[Estimate, ...] | None = context.recall(key)
        if known is None:
            visited = climb(
                context, dataset, self.samples, self.beta, self.starts, self.starts_seed
            )
            context.remember(key, pareto_set(visited), dataset)
            known = context.recall(key)
        return known

    def _targets(self, value: Valuation) -> Targets:
        """Divide the node among queries; return the target option of each query that gets one."""
        context = value.context
        queries = (*value.running, *value.waiting)
        wishes = {query.id: value.wish(query, self.migrate_gain) for query in queries}
        wanted = {number: wish for number, wish in wishes.items() if wish is not None}
        pool = ResourcePool()
        for wish in wanted.values():
            pool.add(wish)
        if not pool.full:
            return wanted  # With enough room, every query gets its best option.
        ladders = [concave_ladder(self._sticky(value, query)) for query in queries]
        levels = allocate(ladders, self.objective)
        for query, ladder in zip(queries, ladders, strict=True):
            context.charge(query, "step", len(ladder))
        return {
            query.id: ladder[level - 1]
            for query, ladder, level in zip(queries, ladders, levels, strict=True)
            if level
        }

    def _sticky(self, value: Valuation, query: Query) -> list[QueryOption]:
        """Return a query's options, with ``migrate_gain`` added to its present plan's utility."""
        current, options = value.current(query), value.options(query)
        if current is None:
            return options
        if value.away(query):  # queries without service need the room more
            return options if current.utility <= 0 else []
        kept = replace(current, utility=current.utility + self.migrate_gain)
        return [kept, *(option for option in options if option.plan != current.plan)]

    def _place_waiting(
        self, value: Valuation, targets: Targets, orders: Orders
    ) -> list[QueryOption]:
        """Place waiting queries that have a target; return the targets that found no room."""
        starved: list[QueryOption] = []
        for query in value.waiting:
            target = targets.get(query.id)
            if target is None:
                continue
            option: QueryOption | None = target
            if not orders.fits(query, target.plan):
                option = self._next_best(value, query, orders)
            if option is None:
                starved.append(target)
            else:
                orders.deploy(query, option.plan)
        return starved

    def _next_best(self, value: Valuation, query: Query, orders: Orders) -> QueryOption | None:
        """Return the option of most utility that fits, if its utility is above 0."""
        options = [each for each in value.options(query) if each.utility > 0]
        options.sort(key=lambda each: each.rank, reverse=True)
        return next((each for each in options if orders.fits(query, each.plan)), None)

    def _upgrade(self, value: Valuation, targets: Targets, orders: Orders) -> None:
        """Move running queries to their targets if that gains enough utility."""
        for query in value.running:
            target, current = targets.get(query.id), value.current(query)
            if target is None or current is None or target.plan == current.plan:
                continue
            if query.id in value.context.world.loading:
                continue  # another order would discard the loaded models
            gain = target.utility - current.utility
            gains = gain >= 0 if value.away(query) else gain > self.migrate_gain
            if gains and orders.fits(query, target.plan):
                orders.deploy(query, target.plan)

    def _cut_back(self, value: Valuation, targets: Targets, orders: Orders, utility: float) -> None:
        """Move running queries to smaller targets, to make room for a query without a plan."""
        for query in value.running:
            target, current = targets.get(query.id), value.current(query)
            if current is None or query.id in value.context.world.loading or value.away(query):
                continue
            if target is None:
                if current.utility < utility - self.migrate_gain:
                    value.context.release(query)
            elif target.dominant_share < current.dominant_share:
                if orders.fits(query, target.plan):
                    orders.deploy(query, target.plan)
                else:
                    value.context.release(query)  # Its smaller plan needs this room.


class VideoStormOnline(VideoStorm):
    """VideoStorm whose profile of a data set begins at its first query, and delays its queries."""

    profiles_ahead = False


def _fingerprint(context: PlanningContext, node: str) -> tuple[Hashable, ...]:
    """Return keys that change whenever the node must be divided again."""
    waiting = tuple(query.id for query in context.waiting)
    running = []
    for query in context.running:
        reports = context.telemetry(query)
        running.append((query.id, reports[-1].end_s if reports else None))
    free: tuple[int, ...] = (context.world.machines_up(node),)
    if waiting:  # draining machines become free some time after the departure
        profiles = context.world.cluster.nodes[node].gpu_profiles
        instances = (context.world.free_instances(node, profile) for profile in profiles)
        free = context.world.machines_up(node), context.world.free_cores(node), *instances
    return waiting, tuple(running), free
