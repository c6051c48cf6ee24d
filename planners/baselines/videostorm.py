"""VideoStorm: profile ahead, then share the cloud by utility, every second."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

from planners.baselines.ladders import Objective, Option, Pool, allocate, concave_ladder
from planners.baselines.utilities import Valuation
from planners.common.offline_profiles import climb, pareto_set
from planners.common.one_node import home_node
from planners.common.orders import Orders
from planners.common.ranges import above, at_least
from scenarios.queries import Query
from sim import Estimate, Planner, PlanningContext

SEEN = "videostorm seen"


@dataclass(eq=False, repr=False)
class VideoStorm(Planner):
    """Profile each data set ahead; then, every second, give queries shares by utility.

    A reconstruction of VideoStorm (Zhang et al., NSDI 2017), a scheduler of video analytics in one
    cloud cluster.

    *Offline*, when the first query of a data set arrives: greedy hill climbing over one-knob moves
    from random starts on X(c) = Q(c) - beta D(c), with Q the accuracy and D the demand, seconds of
    compute per request. Of all that was profiled the Pareto set is kept (Q up, D down). This is
    planning cost, and no response time.

    *Online*, every ``replan_every_s``, queries share the highest node that can serve them all, by
    max-sum or max-min over the utilities

        U = u_base + alpha_quality (Q - Q_M)+ - alpha_lag (L - L_M)+,   Q >= Q_M

    where Q_M and L_M are the accuracy and latency of the SLO, L is what ``context.predict`` expects
    under the present load, and a query that is not served has U = 0. Then waiting queries are
    placed, and running ones migrate if they gain much.

    Confirmed by public summaries of the paper: profiles by a variant of greedy hill climbing that
    keep a Pareto set; a periodic scheduler that first allocates and then places; utilities of
    quality and lag with penalties against goals; max-sum and max-min. From memory and unverified:
    the formulas of X and U, migration if the gain is large, and the correction of a profile that
    proves wrong by the factor observed. All else is reconstruction. Departures:

    * The planning budget bounds each offline profile; theirs took as long as it took. So a climb
      takes the first better neighbour, as to find the best of all would use up a budget of seconds.
    * The world serves requests at once, so lag is not work left over but latency beyond a bound.
    * There are no tiers: every operator runs on the one node, all GPU operators on partitions of
      one size. An option takes load on stations that all queries of the same configuration share,
      up to ``cluster.max_utilisation``; it is ranked by its share of the GPU slices or of the
      cores, whichever is larger, and stations take whole slots of the node as declared.
    * What the machines have no room for, as packing is not perfect and machines fail, gives way to
      the query's next best option that fits. Only where there is none are others cut back to what
      they were allocated, or suspended if they are worth less and were allocated nothing.
    * While the node has failed, the next that can serve all takes its place. Afterwards queries
      come back, unless they lose by it; where the node is short, only those that are worth nothing
      where they are.
    * Where no profiled configuration reaches a query's floor, it gets the most accurate one, and
      what is missing counts against its utility. The profile is of the data set, not of the query's
      own content, and noisy; it may be wrong, while a query not served fails for certain.
    * Utilities know no money, but a plan whose list price exceeds the SLO's ceiling is not offered.
    * If the last window that a plan served whole had fewer good requests than the SLO asks for,
      the query's predicted latencies are multiplied by observed over predicted, from 1 to 10.

    Choose it as the baseline that handles many queries well in one cluster, with no eye for
    devices, edges or money.

    Args:
        objective: ``"max_sum"`` for the most utility in total, ``"max_min"`` for fairness. They
            differ only when the node is short.
        budget_s: planning seconds of each data set's offline profile, and of each query's search
            (which needs a few milliseconds). More lets the climb see more configurations.
        samples: items profiled for each configuration. Fewer let it see more, and misjudge more.
        beta: accuracy that one second of demand must bring. Lower to find the richest
            configurations, as accuracy floors near the best need; higher to find cheap ones.
        starts: random configurations of which the best begins a climb. More protects from a start
            where nothing works, and leaves less of the budget to climb.
        u_base: utility of a query that just meets its goals. Keep it well above what quality adds,
            or some are served richly while others are not served.
        alpha_quality: utility of accuracy beyond the floor. At 0 the cheapest that will do is
            chosen, which leaves no room for profiles that err.
        alpha_lag: utility lost with each second beyond the bound. A query u_base / alpha_lag
            seconds late is not worth serving.
        headroom: the bound planned for, over that of the SLO; below 1 to allow for links that vary.
        migrate_gain: least gain in utility that a running query migrates for. Migrating loads
            models anew; too low a value makes plans chase the load.
        replan_every_s: period of the online scheduler; a query's response time is half of it or
            more.
        starts_seed: seed of the random starts and orders of the climb. They are the same in all
            runs, whatever the seed of the run: sweep it too for intervals over climbs, which differ
            much where the budget is small.

    Raises:
        ValueError: a parameter is out of range.
    """

    objective: Objective = "max_sum"
    budget_s: float = 5.0
    samples: int = 100
    beta: float = 0.5
    starts: int = 3
    u_base: float = 1.0
    alpha_quality: float = 1.0
    alpha_lag: float = 1.0
    headroom: float = 1.0
    migrate_gain: float = 0.1
    replan_every_s: float = 1.0
    starts_seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in ("max_sum", "max_min"):
            raise ValueError(f"objective={self.objective!r}: choose max_sum or max_min")
        at_least(1, samples=self.samples, starts=self.starts)
        above(0, headroom=self.headroom)
        at_least(0, beta=self.beta, alpha_quality=self.alpha_quality, alpha_lag=self.alpha_lag)
        at_least(0, u_base=self.u_base, migrate_gain=self.migrate_gain)

    def plan(self, context: PlanningContext) -> None:
        """Share the node anew, unless nothing changed since that was last done."""
        node = home_node(context)
        if node is None or context.trigger != "tick":
            return  # The scheduler is periodic: a new query waits for its next round.
        seen = _fingerprint(context, node)
        if context.recall(SEEN) == seen:
            return
        context.remember(SEEN, seen)
        profiles = {name: self.profile_of(context, name) for name in _datasets(context)}
        value = Valuation(
            context,
            node,
            profiles,
            u_base=self.u_base,
            alpha_quality=self.alpha_quality,
            alpha_lag=self.alpha_lag,
            headroom=self.headroom,
        )
        targets = self._targets(context, value)
        orders = Orders(context)
        starved = self._place_waiting(context, value, targets, orders)
        if starved:
            utility = max(each.utility for each in starved)
            self._cut_back(context, value, targets, orders, utility)
        else:
            self._upgrade(context, value, targets, orders)

    def profile_of(self, context: PlanningContext, dataset: str) -> tuple[Estimate, ...]:
        """Return a data set's Pareto set, by rising demand; it is made at the first call."""
        key = "videostorm profile", dataset
        known: tuple[Estimate, ...] | None = context.recall(key)
        if known is None:
            visited = climb(
                context, dataset, self.samples, self.beta, self.starts, self.starts_seed
            )
            known = pareto_set(visited)
            context.remember(key, known)
        return known

    def _targets(self, context: PlanningContext, value: Valuation) -> dict[int, Option]:
        """Allocate: return what each query should get, for those that should get anything."""
        queries = (*context.running, *context.waiting)
        wishes = {query.id: value.wish(query, self.migrate_gain) for query in queries}
        wanted = {number: wish for number, wish in wishes.items() if wish is not None}
        pool = Pool()
        for wish in wanted.values():
            pool.add(wish)
        if not pool.full:
            return wanted  # With enough for all, everybody climbs to the top of the ladder.
        ladders = [concave_ladder(self._sticky(value, query)) for query in queries]
        levels = allocate(ladders, self.objective)
        for query, ladder in zip(queries, ladders, strict=True):
            context.charge(query, "step", len(ladder))
        return {
            query.id: ladder[level - 1]
            for query, ladder, level in zip(queries, ladders, levels, strict=True)
            if level
        }

    def _sticky(self, value: Valuation, query: Query) -> list[Option]:
        """Return a query's options; what serves it now is worth what a migration must gain."""
        current, options = value.current(query), value.options(query)
        if current is None:
            return options
        if value.away(query):  # Others that are served nowhere need the room more.
            return options if current.utility <= 0 else []
        kept = replace(current, utility=current.utility + self.migrate_gain)
        return [kept, *(option for option in options if option.plan != current.plan)]

    def _place_waiting(
        self,
        context: PlanningContext,
        value: Valuation,
        targets: Mapping[int, Option],
        orders: Orders,
    ) -> list[Option]:
        """Place waiting queries that have a target; return the targets of those that found none."""
        starved: list[Option] = []
        for query in context.waiting:
            target = targets.get(query.id)
            if target is None:
                continue
            option: Option | None = target
            if not orders.fits(query, target.plan):
                option = self._next_best(value, query, orders)
            if option is None:
                starved.append(target)
            else:
                orders.deploy(query, option.plan)
        return starved

    def _next_best(self, value: Valuation, query: Query, orders: Orders) -> Option | None:
        """Return the option of most utility that fits and is worth something."""
        options = [each for each in value.options(query) if each.utility > 0]
        options.sort(key=lambda each: (-each.utility, each.dominant_share))
        return next((each for each in options if orders.fits(query, each.plan)), None)

    def _upgrade(
        self,
        context: PlanningContext,
        value: Valuation,
        targets: Mapping[int, Option],
        orders: Orders,
    ) -> None:
        """Move running queries to their targets where that gains much."""
        for query in context.running:
            target, current = targets.get(query.id), value.current(query)
            if target is None or current is None or target.plan == current.plan:
                continue
            if query.id in context.world.loading:
                continue  # Another order would lose what was loaded.
            gain = target.utility - current.utility
            gains = gain >= 0 if value.away(query) else gain > self.migrate_gain
            if gains and orders.fits(query, target.plan):
                orders.deploy(query, target.plan)

    def _cut_back(
        self,
        context: PlanningContext,
        value: Valuation,
        targets: Mapping[int, Option],
        orders: Orders,
        utility: float,
    ) -> None:
        """Take back what running queries hold beyond their targets, for one that gains more."""
        for query in context.running:
            target, current = targets.get(query.id), value.current(query)
            if current is None or query.id in context.world.loading or value.away(query):
                continue
            if target is None:
                if current.utility < utility - self.migrate_gain:
                    context.release(query)
            elif target.dominant_share < current.dominant_share:
                if orders.fits(query, target.plan):
                    orders.deploy(query, target.plan)
                else:
                    context.release(query)  # It holds the very room that its smaller plan needs.


def _datasets(context: PlanningContext) -> tuple[str, ...]:
    """Return the data sets of the queries at hand, in order of first appearance."""
    return tuple(dict.fromkeys(query.dataset for query in (*context.running, *context.waiting)))


def _fingerprint(context: PlanningContext, node: str) -> Hashable:
    """Return what calls for another allocation if it changes."""
    waiting = tuple(query.id for query in context.waiting)
    running = []
    for query in context.running:
        reports = context.telemetry(query)
        running.append((query.id, reports[-1].end_s if reports else None))
    free: tuple[int, ...] = (context.world.machines_up(node),)
    if waiting:  # What drains becomes free some time after the departure.
        profiles = context.world.cluster.nodes[node].gpu_profiles
        instances = (context.world.free_instances(node, profile) for profile in profiles)
        free = context.world.machines_up(node), context.world.free_cores(node), *instances
    return waiting, tuple(running), free
