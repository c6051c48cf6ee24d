"""The utility of each way to serve a query, from quality and lag."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite

from planners.baselines.ladders import Option
from planners.common.one_node import Partition, Use, partitions, plan_on
from planners.common.windows import late_window, slowdown
from scenarios.queries import Query
from sim import Estimate, Plan, PlanningContext


@dataclass
class Valuation:
    """Values the ways to serve each query on one node during one call; results are cached.

    Args:
        node: the node that serves all.
        profiles: deployable configurations, by data set, by rising demand and accuracy.
        u_base: utility of a query that just meets its goals.
        alpha_quality: utility of accuracy beyond the floor.
        alpha_lag: utility lost with each second beyond the bound.
        headroom: the bound planned for, over that of the SLO.
    """

    context: PlanningContext
    node: str
    profiles: Mapping[str, tuple[Estimate, ...]]
    u_base: float
    alpha_quality: float
    alpha_lag: float
    headroom: float

    def __post_init__(self) -> None:
        self._current: dict[int, Option | None] = {}
        self._options: dict[tuple[int, int], list[Option]] = {}
        self._lag_ratios: dict[int, float] = {}
        self._plans: dict[tuple[str, int, str, float], tuple[Plan, tuple[Use, ...]] | None] = {}

    def wish(self, query: Query, migrate_gain: float) -> Option | None:
        """Return a query's option of most utility if it were alone, the smallest among equals.

        A running query keeps its plan unless it can gain more than ``migrate_gain``. A query away
        from the node returns if it loses nothing.
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
        wish: Option | None = None
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
        """Return whether a query's plan runs on another node and so takes nothing of this one."""
        plan = self.context.plan_of(query)
        return plan is not None and any(place != self.node for place in plan.placement)

    def options(self, query: Query) -> list[Option]:
        """Return all options of a query."""
        return [
            option
            for estimate in self._offered(query)
            for option in self._options_of(query, estimate)
        ]

    def current(self, query: Query) -> Option | None:
        """Return the plan that serves a query with its present utility, or None."""
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
        """Return the configurations that reach a query's floor, or else the most accurate one."""
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
        """Return the plan on a partition and what it takes, or None if it cannot run there."""
        configuration = estimate.measurement.configuration
        key = query.dataset, configuration.index, partition.profile, query.requests_per_s
        if key not in self._plans:
            self._plans[key] = plan_on(self.context, self.node, query, estimate, partition)
        return self._plans[key]

    def _options_of(self, query: Query, estimate: Estimate) -> list[Option]:
        """Return one configuration's options, on rising partitions until it is in time."""
        key = query.id, estimate.measurement.configuration.index
        if key not in self._options:
            self._options[key] = list(self._climb_partitions(query, estimate))
            self.context.charge(query, "step", len(self._options[key]))
        return self._options[key]

    def _climb_partitions(self, query: Query, estimate: Estimate) -> Iterator[Option]:
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
                return  # A larger one costs more, and is worth no more.

    def _value(
        self, query: Query, plan: Plan, estimate: Estimate, uses: tuple[Use, ...]
    ) -> tuple[Option, float]:
        """Return an option and by how many seconds it is late."""
        predicted_s = self.context.predict(query, plan, estimate).latency_quantile_s
        bound_s = inf if query.slo.latency_s is None else self.headroom * query.slo.latency_s
        late_s = inf
        if isfinite(predicted_s):
            late_s = max(0.0, self._lag_ratio(query) * predicted_s - bound_s)
        return Option(plan, uses, self._utility(query, estimate, late_s)), late_s

    def _utility(self, query: Query, estimate: Estimate, late_s: float) -> float:
        """Return U. Quality that the floor lacks counts against it."""
        above = estimate.accuracy_mean - (query.slo.accuracy or 0.0)
        return self.u_base + self.alpha_quality * above - self.alpha_lag * late_s

    def _lag_ratio(self, query: Query) -> float:
        """Return observed over predicted latency if the last window was late, else 1."""
        if query.id not in self._lag_ratios:
            plan, last = self.context.plan_of(query), late_window(self.context, query)
            estimate = None if plan is None else self._believed(query, plan)
            ratio = 1.0
            if plan is not None and last is not None and estimate is not None:
                ratio = slowdown(self.context.predict(query, plan, estimate), last)
            self._lag_ratios[query.id] = ratio
        return self._lag_ratios[query.id]
