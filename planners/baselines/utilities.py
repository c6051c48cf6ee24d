"""The utility of each option of a query, and the allocation of a pool by marginal utility.

The options of one query form a ladder. Each rung takes more of the pool than the one below and has
more utility, with diminishing returns. Level 0 means that the query is not served and takes
nothing. Moving queries up rung by rung is equivalent to distributing small units of the resource,
because utility does not change between two rungs.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heappush
from math import ceil, inf, isfinite
from typing import Literal

from planners.common.one_node import Partition, Use, partitions, plan_on
from planners.common.windows import late_window, slowdown
from scenarios.queries import Query
from sim import Estimate, Plan, PlanningContext

Objective = Literal["max_sum", "max_min"]
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class QueryOption:
    """One way to serve a query. A query that is not served has utility 0."""

    plan: Plan
    uses: tuple[Use, ...]
    utility: float

    @property
    def dominant_share(self) -> float:
        """The largest of the option's shares of the pool's resources."""
        shares: dict[int, float] = {}
        for use in self.uses:
            shares[use.resource] = shares.get(use.resource, 0.0) + use.slots * use.share
        return max(shares.values(), default=0.0)

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key of preference: more utility first, then a smaller dominant share."""
        return self.utility, -self.dominant_share


class ResourcePool:
    """The resources that a set of options takes from a pool, with shared slots rounded up.

    Attributes:
        taken: the share of each resource that the options take.
    """

    def __init__(self) -> None:
        self.taken: defaultdict[int, float] = defaultdict(float)
        self._slots: defaultdict[Hashable, float] = defaultdict(float)

    def add(self, option: QueryOption, sign: int = 1) -> None:
        """Add an option; a ``sign`` of -1 removes it."""
        for use in option.uses:
            before = self._slots[use.kind]
            after = self._slots[use.kind] = before + sign * use.slots
            whole = ceil(after - SLACK) - ceil(before - SLACK)
            if whole:
                self.taken[use.resource] += whole * use.share

    @property
    def full(self) -> bool:
        """Whether the options take more of any resource than the pool has."""
        return any(share > 1 + SLACK for share in self.taken.values())


def concave_ladder(options: Sequence[QueryOption]) -> tuple[QueryOption, ...]:
    """Return the options on the upper concave hull of utility as a function of the dominant share.

    Returns:
        Options of rising share and utility; each adds less utility per share than the one before.
    """
    hull: list[tuple[float, float, QueryOption | None]] = [(0.0, 0.0, None)]
    for option in sorted(options, key=lambda each: (each.dominant_share, -each.utility)):
        share, utility = option.dominant_share, option.utility
        if utility <= hull[-1][1]:
            continue
        while len(hull) > 1 and _convex(hull[-2], hull[-1], (share, utility)):
            hull.pop()
        hull.append((share, utility, option))
    return tuple(option for _, _, option in hull if option is not None)


def _convex(
    low: tuple[float, float, QueryOption | None],
    middle: tuple[float, float, QueryOption | None],
    high: tuple[float, float],
) -> bool:
    """Return whether the middle point lies on or below the line from the low to the high one."""
    return (middle[1] - low[1]) * (high[0] - low[0]) <= (high[1] - low[1]) * (middle[0] - low[0])


def allocate(ladders: Sequence[Sequence[QueryOption]], objective: Objective) -> list[int]:
    """Return each query's level, after raising queries rung by rung while resources last.

    ``"max_sum"`` raises the query that gains the most utility per unit of dominant share.
    ``"max_min"`` raises the query of lowest utility. Among equal queries, the earlier one is
    raised. If a rung does not fit, the next higher ones are tried, since they may use slots that
    other queries opened. If none fits, the query stays at its level. The result is optimal if all
    rungs take the same amount, and almost optimal otherwise.
    """
    levels = [0] * len(ladders)
    pool = ResourcePool()

    def priority(query: int) -> float:
        """Return the sort key of a query's next rung; the query with the lowest key rises first."""
        ladder, level = ladders[query], levels[query]
        utility = ladder[level - 1].utility if level else 0.0
        if objective == "max_min":
            return utility
        share = ladder[level].dominant_share
        if level:
            share -= ladder[level - 1].dominant_share
        return (utility - ladder[level].utility) / max(share, SLACK)

    heap = [(priority(query), query) for query, ladder in enumerate(ladders) if ladder]
    heapify(heap)
    while heap:
        _, query = heappop(heap)
        ladder, level = ladders[query], levels[query]
        if level:
            pool.add(ladder[level - 1], -1)
        for reached in range(level + 1, len(ladder) + 1):
            pool.add(ladder[reached - 1])
            if not pool.full:
                break
            pool.add(ladder[reached - 1], -1)
        else:
            if level:
                pool.add(ladder[level - 1])
            continue
        levels[query] = reached
        if reached < len(ladder):
            heappush(heap, (priority(query), query))
    return levels


@dataclass
class Valuation:
    """Computes the options of each query on one node during one call; results are cached."""

    context: PlanningContext
    node: str  # the node that serves all queries
    # Each data set's deployable configurations, by rising demand and accuracy.
    profiles: Mapping[str, tuple[Estimate, ...]]
    u_base: float  # utility of a query that just meets its goals
    alpha_quality: float  # utility of accuracy beyond the floor
    alpha_lag: float  # utility lost with each second beyond the bound
    headroom: float  # ratio of the latency bound used in planning to the SLO's bound

    def __post_init__(self) -> None:
        self._current: dict[int, QueryOption | None] = {}
        self._options: dict[tuple[int, int], list[QueryOption]] = {}
        self._lag_ratios: dict[int, float] = {}
        self._plans: dict[tuple[str, int, str, float], tuple[Plan, tuple[Use, ...]] | None] = {}

    @cached_property
    def running(self) -> list[Query]:
        """The running queries whose data sets have a profile."""
        return [query for query in self.context.running if query.dataset in self.profiles]

    @cached_property
    def waiting(self) -> list[Query]:
        """The waiting queries whose data sets have a profile."""
        return [query for query in self.context.waiting if query.dataset in self.profiles]

    def wish(self, query: Query, migrate_gain: float) -> QueryOption | None:
        """Return the option of most utility for a query that is alone; among equals, the smallest.

        A running query keeps its plan unless it can gain more than ``migrate_gain``. A query on
        another node returns to this one unless that lowers its utility.
        """
        offered = self._offered(query)
        current = self.current(query)
        if not offered:
            return current
        away = self.away(query)
        if current is not None and not away:
            best = self._utility(query, offered[-1], late_s=0.0)
            if best - current.utility <= migrate_gain:
                return current
        wish: QueryOption | None = None
        for estimate in reversed(offered):
            if wish is not None and self._utility(query, estimate, late_s=0.0) < wish.utility:
                break
            for option in self._options_of(query, estimate):
                if option.utility > 0 and (wish is None or option.rank > wish.rank):
                    wish = option
        if away and current is not None and (wish is None or wish.utility < current.utility):
            return current
        return wish

    def away(self, query: Query) -> bool:
        """Return whether a query's plan runs on another node, so that it uses nothing here."""
        plan = self.context.plan_of(query)
        return plan is not None and any(place != self.node for place in plan.placement)

    def options(self, query: Query) -> list[QueryOption]:
        """Return all options of a query."""
        return [
            option
            for estimate in self._offered(query)
            for option in self._options_of(query, estimate)
        ]

    def current(self, query: Query) -> QueryOption | None:
        """Return the active plan of a query as an option with its present utility, or None."""
        if query.id not in self._current:
            plan, option = self.context.plan_of(query), None
            estimate = None if plan is None else self._believed(query, plan)
            if plan is not None and estimate is not None and self.away(query):
                option = self._value(query, plan, estimate, ())[0]
            elif plan is not None and estimate is not None:
                profiles = {each.profile for each in plan.allocation}
                for partition in partitions(self.context, self.node):
                    if partition.profile in profiles or not partition.profile:
                        found = self._plan_on(query, estimate, partition)
                        if found is not None:
                            option = self._value(query, plan, estimate, found[1])[0]
            self._current[query.id] = option
        return self._current[query.id]

    def _offered(self, query: Query) -> tuple[Estimate, ...]:
        """Return the configurations that reach the accuracy floor, or the most accurate one."""
        profile, floor = self.profiles[query.dataset], query.slo.accuracy
        if floor is None:
            return profile
        return tuple(each for each in profile if each.accuracy_mean >= floor) or profile[-1:]

    def _believed(self, query: Query, plan: Plan) -> Estimate | None:
        """Return the estimate of a plan's configuration, if it is in the profile."""
        for estimate in self.profiles[query.dataset]:
            if estimate.measurement.configuration == plan.configuration:
                return estimate
        return None

    def _plan_on(
        self, query: Query, estimate: Estimate, partition: Partition
    ) -> tuple[Plan, tuple[Use, ...]] | None:
        """Return the plan on a partition and its use of the node, or None if it cannot run."""
        configuration = estimate.measurement.configuration
        key = query.dataset, configuration.index, partition.profile, query.requests_per_s
        if key not in self._plans:
            self._plans[key] = plan_on(self.context, self.node, query, estimate, partition)
        return self._plans[key]

    def _options_of(self, query: Query, estimate: Estimate) -> list[QueryOption]:
        """Return a configuration's options on growing partitions, up to one that is in time."""
        key = query.id, estimate.measurement.configuration.index
        if key not in self._options:
            self._options[key] = list(self._climb_partitions(query, estimate))
            self.context.charge(query, "step", len(self._options[key]))
        return self._options[key]

    def _climb_partitions(self, query: Query, estimate: Estimate) -> Iterator[QueryOption]:
        ceiling = query.slo.cost_usd_per_hour
        for partition in partitions(self.context, self.node):
            found = self._plan_on(query, estimate, partition)
            if found is None:
                continue
            plan, uses = found
            cluster = self.context.world.cluster
            if ceiling is not None and plan.list_price_usd_per_hour(cluster) > ceiling:
                return
            option, late_s = self._value(query, plan, estimate, uses)
            yield option
            if late_s == 0:
                return  # A larger partition costs more and has no more utility.

    def _value(
        self, query: Query, plan: Plan, estimate: Estimate, uses: tuple[Use, ...]
    ) -> tuple[QueryOption, float]:
        """Return a plan as an option, and by how many seconds its latency exceeds the bound."""
        predicted_s = self.context.predict(query, plan, estimate).latency_quantile_s
        bound_s = inf if query.slo.latency_s is None else self.headroom * query.slo.latency_s
        late_s = inf
        if isfinite(predicted_s):
            late_s = max(0.0, self._lag_ratio(query) * predicted_s - bound_s)
        return QueryOption(plan, uses, self._utility(query, estimate, late_s)), late_s

    def _utility(self, query: Query, estimate: Estimate, late_s: float) -> float:
        """Return the utility U of an estimate. Accuracy below the floor lowers U."""
        above = estimate.accuracy_mean - (query.slo.accuracy or 0.0)
        return self.u_base + self.alpha_quality * above - self.alpha_lag * late_s

    def _lag_ratio(self, query: Query) -> float:
        """Return the ratio of observed to predicted latency if the last window was late, else 1."""
        if query.id not in self._lag_ratios:
            plan, last = self.context.plan_of(query), late_window(self.context, query)
            estimate = None if plan is None else self._believed(query, plan)
            ratio = 1.0
            if plan is not None and last is not None and estimate is not None:
                ratio = slowdown(self.context.predict(query, plan, estimate), last)
            self._lag_ratios[query.id] = ratio
        return self._lag_ratios[query.id]
