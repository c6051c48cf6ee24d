"""Vulcan: Bayesian optimisation of one utility, placement by placement, and a watch over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from planners.baselines.vulcan_search import START, PlacementSearch, Progress, Rules, Utility
from planners.common.orders import Orders
from planners.common.ranges import above, at_least, within
from planners.common.retries import IN_VAIN, due, give_up
from planners.common.trials import TRIALS, Trials
from planners.common.windows import slowdown, whole_window
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Plan, Planner, PlanningContext


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was believed of a plan when it was chosen: accuracy, GPU seconds a request, utility."""

    plan: Plan
    accuracy: float
    gpu_s: float
    utility: float


@dataclass(eq=False, repr=False)
class Vulcan(Planner):
    """Find each query's plan of most utility, one query after the other; replan if it falls.

    A reconstruction of Vulcan (Zhang et al., NSDI 2024), which chooses placement and configuration
    of one live ML query, from public summaries and from the form that the Compass authors gave it
    as a baseline.

    *At arrival*: random configurations are profiled; then one layout after the other is searched,
    those that stay longest on the device first. A layout, which is a placement with a GPU profile
    for each operator, stands for the authors' placement. In a layout, a Gaussian process (Matern
    5/2) over configurations models the scalar utility U of
    `planners.baselines.vulcan_search.Utility`, and the configuration of largest mean + kappa
    standard deviations is profiled next. A layout is left early after ``prune_after``
    configurations with U < 0, else after more than ``patience`` that do not reach its best U. What
    was profiled for one layout serves all: latency elsewhere follows from the same times. The
    first plan found that meets the SLO and fits what is left is deployed at once, and the search
    goes on at the next tick, where it stopped and with the budget that is left. When the layouts
    or the budget are through, the query gets the plan of highest U among those that meet the SLO
    and fit.

    *While it runs*, its utility is watched: the observed latency quantile in place of L, accuracy
    as profiled. If it is below 0, or has lost ``drop`` of what was believed at the choice, the
    query is searched anew: new data are taken, the configurations known before come first, and
    latencies of its placement are multiplied by observed over predicted, which is at most ten. If a
    crash of the planner took what was believed of it, it is searched for again, on the same data.

    Confirmed by public notes on the paper: pipelines over tiers, Bayesian optimisation of
    configurations, reuse of intermediate results and early pruning of placements, compute profiled
    in the data centre and network latency calculated, a watch on utility that profiles again with
    prior knowledge. As the Compass authors transcribed it: U, its weights (gamma 0.5, alphas 1 on
    raw units), R of GPU time only, five first configurations, kappa, and the rules to prune (10)
    and to stop (3). All else is reconstruction. Departures:

    * In its favour: a plan serves as soon as one is known (``deploy_early``), as response time is
      that of the first feasible plan; the authors return a plan when the search is through. The
      next configuration is the best of all, not of three random ones; L is ``context.predict``'s
      quantile, which knows queues and present load, not a latency alone; all known configurations
      are seeds of a layout's model, and are looked at in all layouts, those not reached included,
      at no profiling.
    * All known configurations count towards pruning a layout, those of other layouts and earlier
      searches included. Where ``prune_after`` of them have U < 0 in every layout, nothing more is
      profiled for the query, however often it is searched.
    * R is at least ``gpu_floor_s``, as plans that use no GPU but the user's would have U infinite;
      an instance's time counts by its share of the GPU. L counts as at most ten times the bound.
    * U weighs accuracy against latency and may be high where a floor or bound is missed; the choice
      is therefore among plans that meet the SLO, its price ceiling included.
    * Its filters and their order are no part of our pipelines.
    * It plans for one query. Here queries are served as they arrive, from what is left: a layout
      that has no room for known and some random configurations is passed over, and what is profiled
      next must fit. A query for which nothing was found waits until something becomes free, when
      known plans may fit, and is searched further every ``pause_s``, as far as layouts are not
      pruned.
    * Accuracy in service cannot be observed, so the watch sees latency alone.

    Choose it as the baseline that knows devices, edges and configurations well for one query at a
    time, pays full profiling, and does not weigh queries against each other.

    Args:
        budget_s: planning seconds of each search, which mostly uses all, the part after an early
            deployment included; its last profiling may exceed it. More looks at more configurations
            and layouts.
        samples: items profiled for each configuration, without early stopping. Fewer let it see
            more, and misjudge more.
        initial: random configurations that each layout's model starts from, reused ones included.
        kappa: standard deviations above the mean that a configuration is judged by. Higher to look
            where little is known, lower to refine what is good.
        gamma: weight of accuracy against latency, from 0 to 1. Near 1 it looks for configurations
            that reach hard floors, near 0 for fast ones.
        alpha_accuracy: worth of accuracy, which is at most 1.
        alpha_latency: worth of a second. Raise it where bounds are well below a second.
        gpu_floor_s: least GPU seconds that a request counts with. Lower favours the device.
        prune_after: configurations of negative utility after which a layout is left, of all that
            are known. More lets a query be searched on that few configurations suit.
        patience: configurations below the best that a layout may try before it is left.
        headroom: the bound planned for, over that of the SLO; below 1 to allow for devices and
            links slower than nominal.
        drop: share of its believed utility that a running query may lose before it is replanned.
        pause_s: time between two searches for a query that no plan was found for.
        deploy_early: whether to deploy the first plan found that will do, and the best later on.
            Without, nothing serves before the search is through, and nothing is moved after it.
        replan_every_s: period at which searches are taken up again and utilities are looked at,
            window by window. Longer leaves a query longer with its first plan.
        initial_seed: seed of the random configurations.

    Raises:
        ValueError: a parameter is out of range.
    """

    query_records = (
        IN_VAIN,
        TRIALS,
        *(f"vulcan {what}" for what in ("explored", "progress", "chosen", "slowdowns", "judged")),
    )

    budget_s: float = 5.0
    samples: int = 100
    initial: int = 5
    kappa: float = 2.0
    gamma: float = 0.5
    alpha_accuracy: float = 1.0
    alpha_latency: float = 1.0
    gpu_floor_s: float = 1e-3
    prune_after: int = 10
    patience: int = 3
    headroom: float = 1.0
    drop: float = 0.5
    pause_s: float = 30.0
    deploy_early: bool = True
    replan_every_s: float = 1.0
    initial_seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, samples=self.samples, initial=self.initial, prune_after=self.prune_after)
        within(0, 1, gamma=self.gamma, drop=self.drop)
        at_least(0, kappa=self.kappa, patience=self.patience, pause_s=self.pause_s)
        at_least(0, alpha_accuracy=self.alpha_accuracy, alpha_latency=self.alpha_latency)
        above(0, gpu_floor_s=self.gpu_floor_s, headroom=self.headroom)

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
        """Search for a waiting query; nothing is profiled if a plan is known that will do."""
        search = self._search(context, query, Trials(context, query, self.samples), orders)
        chosen = self._choose(context, query, search)
        if chosen is None and self._explorable(context, query):
            self._explore(context, query, search, enough=self.deploy_early)
            chosen = self._choose(context, query, search)
        self._order(context, query, chosen, orders)

    def _explorable(self, context: PlanningContext, query: Query) -> bool:
        """Tell whether a waiting query may be searched further; note that it is, if so."""
        key = "vulcan explored", query.id
        last_s: float | None = context.recall(key)
        if last_s is not None and context.now_s < last_s + self.pause_s:
            return False
        context.remember(key, context.now_s, query)
        return True

    def _go_on(self, context: PlanningContext, query: Query, orders: Orders) -> None:
        """Take up the search of a query that serves by the first plan that was found."""
        progress: Progress | None = context.recall(("vulcan progress", query.id))
        if progress is None:
            return
        search = self._search(context, query, Trials(context, query, self.samples), orders)
        self._explore(context, query, search, start=progress)
        self._order(context, query, self._choose(context, query, search), orders)

    def _look_again(
        self, context: PlanningContext, query: Query, plan: Plan, orders: Orders
    ) -> None:
        """Search for a running query of which a crash left nothing on record but its plan."""
        if not self._explorable(context, query):
            return
        search = self._search(context, query, Trials(context, query, self.samples), orders)
        self._explore(context, query, search, (plan.configuration.index,))
        self._order(context, query, self._choose(context, query, search), orders)

    def _renew(self, context: PlanningContext, query: Query, plan: Plan, orders: Orders) -> None:
        """Search anew for a running query on new data, beginning with what was known of the old."""
        trials = Trials(context, query, self.samples)
        current, former = plan.configuration.index, tuple(trials.known)
        if current in former:
            self._note_slowdown(context, query, plan)
        trials.renew()
        search = self._search(context, query, trials, orders)
        self._explore(context, query, search, (current, *former))
        self._order(context, query, self._choose(context, query, search), orders)

    def _explore(
        self,
        context: PlanningContext,
        query: Query,
        search: PlacementSearch,
        first: Sequence[int] = (),
        start: Progress = START,
        enough: bool = False,
    ) -> None:
        """Search, and remember where to go on."""

        def serves(configuration: int) -> bool:
            return self._choose(context, query, search, (configuration,)) is not None

        progress = search.explore(first, start, serves if enough else None)
        context.remember(("vulcan progress", query.id), progress, query)

    def _search(
        self, context: PlanningContext, query: Query, trials: Trials, orders: Orders
    ) -> PlacementSearch:
        rules = Rules(self.initial, self.kappa, self.prune_after, self.patience, self.headroom)
        slowdowns = context.recall(("vulcan slowdowns", query.id), query) or {}
        rng = stream(self.initial_seed, "vulcan", query.id)
        return PlacementSearch(context, query, trials, orders, self._utility, rules, slowdowns, rng)

    def _choose(
        self,
        context: PlanningContext,
        query: Query,
        search: PlacementSearch,
        configurations: Sequence[int] | None = None,
    ) -> Chosen | None:
        """Return the best plan of known configurations that meets the SLO and fits, or None."""
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
        """Deploy what was chosen, unless it serves already; without, what serves goes on."""
        if chosen is None:
            give_up(context, query)
            return
        context.remember(("vulcan chosen", query.id), chosen, query)
        if chosen.plan != context.plan_of(query):
            orders.deploy(query, chosen.plan)

    def _fallen(self, context: PlanningContext, query: Query) -> bool:
        """Tell whether the utility of a running query's last window calls for a search."""
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
        """Remember how much slower the last window was than predicted, by placement."""
        predicted, last = context.predict(query, plan), context.telemetry(query)[-1]
        slowdowns = dict(context.recall(("vulcan slowdowns", query.id)) or {})
        slowdowns[plan.placement] = slowdown(predicted, last)
        context.remember(("vulcan slowdowns", query.id), slowdowns, query)

    def _new_window(self, context: PlanningContext, query: Query) -> bool:
        """Return whether there is a new window that the plan in force served whole."""
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
