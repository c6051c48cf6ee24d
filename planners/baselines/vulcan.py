"""Vulcan: search each placement for the plan of most utility, then monitor that utility."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Annotated

import numpy as np

from planners.baselines.vulcan_search import START, PlacementSearch, Rules, Utility, VulcanProgress
from planners.common.orders import IN_VAIN, Orders, due, give_up
from planners.common.ranges import Count, InRange, NonNegative, Positive, Share
from planners.common.trials import TRIALS, Trials
from planners.common.windows import slowdown, whole_window
from scenarios.queries import Query
from scenarios.random_streams import stream
from scenarios.ranges import Range
from sim import Plan, Planner, PlanningContext


@dataclass(frozen=True, slots=True)
class Chosen:
    """A chosen plan and its estimated accuracy, GPU seconds per request and utility."""

    plan: Plan
    accuracy: float
    gpu_s: float
    utility: float


@dataclass(eq=False, repr=False)
class Vulcan(InRange, Planner):
    """Find each query's plan of most utility, one query at a time; replan if its utility falls.

    This is a reconstruction of Vulcan (Zhang et al., NSDI 2024), which chooses placement and
    configuration of one live ML query. The reconstruction is based on public summaries and on the
    Compass authors' baseline, a prototype of March to August 2024 (``search_by_utlity`` in
    github.com/weiyu0824/vulcan).

    *At arrival*, random configurations are profiled. Then placements are searched one after the
    other, beginning with those that keep the most operators on the device. In a placement, a
    Gaussian process (Matern 5/2) over configurations models the utility U of
    `planners.baselines.vulcan_search.Utility`, with the GPU profiles that are best for each
    configuration. The configuration with the largest sum of the mean and kappa standard deviations
    is profiled next. The search of a placement ends after ``prune_after`` configurations with
    U < 0, or after more than ``patience`` configurations whose U is below the placement's best.
    Only configurations that the placement's own model proposed count; this is the rule of the
    prototype. A configuration profiled for one placement is known in all. The first plan that meets
    the SLO and fits is deployed. The search continues at the next tick with the remaining budget.
    At the end of the search, the query gets the plan of highest U that meets the SLO and fits.

    A placement that was pruned stays pruned while the query's data are the same, in later searches
    as well.

    *While it runs*, its utility is watched, with the observed latency quantile as L. If it falls
    below 0, or by the share ``drop``, the search for the query starts again on new data. The new
    search first profiles the configurations known before. It multiplies the predicted latencies of
    the query's placement by the ratio of observed to predicted latency, but by at most ten. If a
    planner crash deleted a query's record, its search is repeated on the same data.

    ``docs/concepts/baselines.md`` lists what the paper confirms and what departs from the paper.

    Args:
        budget_s: planning seconds of each search, including the part after an early deployment.
        samples: number of items on which each configuration is profiled.
        initial: number of random configurations with which each placement's model starts, including
            reused ones.
        kappa: number of standard deviations above the mean in the acquisition function.
        gamma: weight of accuracy against latency, from 0 to 1.
        alpha_accuracy: utility of one unit of accuracy above the floor.
        alpha_latency: utility of each second below the latency bound.
        gpu_floor_s: lower bound of R, the GPU seconds per request.
        prune_after: number of configurations of negative utility that ends the search of a
            placement for good.
        patience: number of configurations below a placement's best utility that its search
            tolerates.
        headroom: largest allowed predicted latency of a plan, as a share of the latency bound.
        drop: a running query is replanned once it has lost this share of its estimated utility.
        pause_s: seconds between two searches for a query without a plan.
        deploy_early: whether to deploy the first feasible plan at once, and the best one after the
            search. If not, the query is not served before its search ends.
        replan_every_s: seconds between ticks, at which searches continue and utilities are checked.
        initial_seed: seed of the random configurations.
    """

    behaviour = 1
    """1: versions begin."""

    query_records = (
        IN_VAIN,
        TRIALS,
        "vulcan explored",
        "vulcan progress",
        "vulcan negatives",
        "vulcan chosen",
        "vulcan slowdowns",
        "vulcan judged",
    )

    budget_s: float = 5.0
    samples: Count = 100
    initial: Count = 5
    kappa: NonNegative = 2.0
    gamma: Share = 0.5
    alpha_accuracy: NonNegative = 1.0
    alpha_latency: NonNegative = 1.0
    gpu_floor_s: Positive = 1e-3
    prune_after: Count = 10
    patience: Annotated[int, Range(ge=0)] = 3
    headroom: Positive = 1.0
    drop: Share = 0.5
    pause_s: NonNegative = 30.0
    deploy_early: bool = True
    replan_every_s: float = 1.0
    initial_seed: int = 0

    def plan(self, context: PlanningContext) -> None:
        """Search for each waiting query, and watch the running ones."""
        orders = Orders(context)
        for query in context.waiting:
            if due(context, query, self.pause_s):
                self._serve(context, query, orders)
        if context.trigger == "tick":
            for query in context.running:
                plan = context.plan_of(query)
                if plan is None:
                    continue
                if context.recall(("vulcan chosen", query.id)) is None:
                    self._look_again(context, query, plan, orders)
                elif self._fallen(context, query):
                    self._renew(context, query, plan, orders)
                else:
                    self._go_on(context, query, orders)

    def _serve(self, context: PlanningContext, query: Query, orders: Orders) -> None:
        """Search for a waiting query, or deploy a known feasible plan without more profiling."""
        search = self._search(context, query, Trials(context, query, self.samples), orders)
        chosen = self._choose(context, query, search)
        if chosen is None and self._explorable(context, query):
            self._explore(context, query, search, enough=self.deploy_early)
            chosen = self._choose(context, query, search)
        self._order(context, query, chosen, orders)

    def _explorable(self, context: PlanningContext, query: Query) -> bool:
        """Return whether profiling for a waiting query is allowed now; if so, record the time."""
        key = "vulcan explored", query.id
        last_s: float | None = context.recall(key)
        if last_s is not None and context.now_s < last_s + self.pause_s:
            return False
        context.remember(key, context.now_s, query)
        return True

    def _go_on(self, context: PlanningContext, query: Query, orders: Orders) -> None:
        """Continue the search for a query that already has its first plan."""
        progress: VulcanProgress | None = context.recall(("vulcan progress", query.id))
        if progress is not None:
            trials = Trials(context, query, self.samples)
            self._search_on(context, query, trials, orders, start=progress)

    def _look_again(
        self, context: PlanningContext, query: Query, plan: Plan, orders: Orders
    ) -> None:
        """Search for a running query whose record a crash of the planner deleted."""
        if self._explorable(context, query):
            trials = Trials(context, query, self.samples)
            self._search_on(context, query, trials, orders, (plan.configuration.index,))

    def _renew(self, context: PlanningContext, query: Query, plan: Plan, orders: Orders) -> None:
        """Search again for a running query on new data, starting with the known configurations."""
        trials = Trials(context, query, self.samples)
        current, former = plan.configuration.index, tuple(trials.known)
        if current in former:
            self._note_slowdown(context, query, plan)
        trials.renew()
        context.remember(("vulcan negatives", query.id), {}, query)
        self._search_on(context, query, trials, orders, (current, *former))

    def _search_on(
        self,
        context: PlanningContext,
        query: Query,
        trials: Trials,
        orders: Orders,
        first: Sequence[int] = (),
        start: VulcanProgress = START,
    ) -> None:
        """Search until the budget is spent or the search is complete, and deploy the best plan."""
        search = self._search(context, query, trials, orders)
        self._explore(context, query, search, first, start)
        self._order(context, query, self._choose(context, query, search), orders)

    def _explore(
        self,
        context: PlanningContext,
        query: Query,
        search: PlacementSearch,
        first: Sequence[int] = (),
        start: VulcanProgress = START,
        enough: bool = False,
    ) -> None:
        """Search, and record the point at which a later call continues."""

        def serves(configuration: int) -> bool:
            return self._choose(context, query, search, (configuration,)) is not None

        progress = search.explore(first, start, serves if enough else None)
        context.remember(("vulcan progress", query.id), progress, query)
        context.remember(("vulcan negatives", query.id), dict(search.negatives), query)

    def _search(
        self, context: PlanningContext, query: Query, trials: Trials, orders: Orders
    ) -> PlacementSearch:
        rules = Rules(self.initial, self.kappa, self.prune_after, self.patience, self.headroom)
        slowdowns = context.recall(("vulcan slowdowns", query.id), query) or {}
        negatives = context.recall(("vulcan negatives", query.id), query) or {}
        rng = stream(self.initial_seed, "vulcan", query.id)
        return PlacementSearch(
            context, query, trials, orders, self._utility, rules, slowdowns, rng, dict(negatives)
        )

    def _choose(
        self,
        context: PlanningContext,
        query: Query,
        search: PlacementSearch,
        configurations: Sequence[int] | None = None,
    ) -> Chosen | None:
        """Return the feasible, fitting plan of most utility among known configurations, or None."""
        scored = search.evaluated(configurations)
        would_do = np.flatnonzero(search.feasible(scored))
        current = context.plan_of(query)
        for row in would_do[np.argsort(-scored.utility[would_do], kind="stable")].tolist():
            plan = search.view.plan(int(scored.plans[row]))
            if plan == current or search.fits(plan):
                figures = scored.accuracy[row], scored.gpu_s[row], scored.utility[row]
                return Chosen(plan, *map(float, figures))
        return None

    def _order(
        self, context: PlanningContext, query: Query, chosen: Chosen | None, orders: Orders
    ) -> None:
        """Deploy the chosen plan unless it is active; if it is None, record a failed search."""
        if chosen is None:
            give_up(context, query)
            return
        context.remember(("vulcan chosen", query.id), chosen, query)
        if chosen.plan != context.plan_of(query):
            orders.deploy(query, chosen.plan)

    def _fallen(self, context: PlanningContext, query: Query) -> bool:
        """Return whether a running query's utility has fallen so far that it must be replanned."""
        chosen: Chosen | None = context.recall(("vulcan chosen", query.id))
        if chosen is None or not self._new_window(context, query):
            return False
        if chosen.plan != context.plan_of(query) or not due(context, query, self.pause_s):
            return False
        last = context.telemetry(query)[-1]
        figures = chosen.accuracy, last.latency_quantile_s if last.completed else inf, chosen.gpu_s
        observed = self._utility(query.slo, *(np.array([each]) for each in figures))
        return bool(observed[0] < max(0.0, (1 - self.drop) * chosen.utility))

    def _note_slowdown(self, context: PlanningContext, query: Query, plan: Plan) -> None:
        """Remember the ratio of observed to predicted latency for the plan's placement."""
        predicted, last = context.predict(query, plan), context.telemetry(query)[-1]
        slowdowns = dict(context.recall(("vulcan slowdowns", query.id)) or {})
        slowdowns[plan.placement] = slowdown(predicted, last)
        context.remember(("vulcan slowdowns", query.id), slowdowns, query)

    def _new_window(self, context: PlanningContext, query: Query) -> bool:
        """Return whether a new window has ended in which the active plan served all the time."""
        last = whole_window(context, query)
        if last is None:
            return False
        key = "vulcan judged", query.id
        judged_s: float | None = context.recall(key)
        if not last.born or (judged_s is not None and last.end_s <= judged_s):
            return False
        context.remember(key, last.end_s)
        return True

    @property
    def _utility(self) -> Utility:
        return Utility(self.gamma, self.alpha_accuracy, self.alpha_latency, self.gpu_floor_s)
