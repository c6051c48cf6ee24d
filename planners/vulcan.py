"""Vulcan: Bayesian optimisation of one utility, placement by placement, and a watch over it."""

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from planners.retries import due, give_up
from planners.trials import Trials
from planners.vulcan_search import PlacementSearch, Rules, Utility
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Desk, Plan, Planner

MOST_SLOWDOWN = 10.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was believed of a plan when it was chosen: accuracy, GPU seconds a request, utility."""

    plan: Plan
    accuracy: float
    gpu_s: float
    utility: float


@dataclass(frozen=True, slots=True)
class Watched:
    """Since when the watch has seen a plan in force, and the end of the last window it judged."""

    plan: Plan | None
    since_s: float
    judged_s: float


class Vulcan(Planner):
    """Find each query's plan of most utility, one query after the other; replan if it falls.

    A reconstruction of Vulcan (Zhang et al., NSDI 2024), which chooses placement and configuration
    of one live ML query, from public summaries and from the form that the Compass authors gave it
    as a baseline.

    *At arrival*: random configurations are profiled; then one layout after the other is searched,
    those that stay longest on the device first. A layout, which is a placement with a GPU profile
    for each operator, stands for the authors' placement. In a layout, a Gaussian process (Matern
    5/2) over configurations models the scalar utility U of `planners.vulcan_search.Utility`, and
    the configuration of largest mean + kappa standard deviations is profiled next. A layout is left
    early after ``prune_after`` configurations with U < 0, else after more than ``patience`` that
    do not reach its best U. What was profiled for one layout serves all: latency elsewhere follows
    from the same times. When the layouts or the budget are through, the query gets the plan of
    highest U among those that meet the SLO and fit what is left.

    *While it runs*, its utility is watched: the observed latency quantile in place of L, accuracy
    as profiled. If it is below 0, or has lost ``drop`` of what was believed at the choice, the
    query is searched anew: new data are taken, the configurations known before come first, and
    latencies of its placement are multiplied by observed over predicted, which is at most ten.

    Confirmed by public notes on the paper: pipelines over tiers, Bayesian optimisation of
    configurations, reuse of intermediate results and early pruning of placements, compute profiled
    in the data centre and network latency calculated, a watch on utility that profiles again with
    prior knowledge. As the Compass authors transcribed it: U, its weights (gamma 0.5, alphas 1 on
    raw units), R of GPU time only, five first configurations, kappa, and the rules to prune (10)
    and to stop (3). All else is reconstruction. Departures:

    * In its favour: the next configuration is the best of all, not of three random ones; L is
      ``desk.predict``'s quantile, which knows queues and present load, not a latency alone; all
      known configurations are seeds of a layout's model and count towards pruning it; and when the
      budget is through, layouts not reached are still looked at with what is known, at no
      profiling.
    * R is at least ``gpu_floor_s``, as plans that use no GPU but the user's would have U infinite;
      an instance's time counts by its share of the GPU. L counts as at most ten times the bound.
    * U weighs accuracy against latency and may be high where a floor or bound is missed; the choice
      is therefore among plans that meet the SLO, its price ceiling included.
    * Its filters and their order are no part of our pipelines.
    * A layout in which no known configuration fits is passed over.
    * It plans for one query. Here queries are served as they arrive, from what is left; one for
      which nothing was found waits for ``pause_s``, or until a query leaves or a machine returns,
      and is then searched further only if no plan would do even with room enough.
    * Accuracy in service cannot be observed, so the watch sees latency alone.

    Choose it as the baseline that knows devices, edges and configurations well for one query at a
    time, pays full profiling, and does not weigh queries against each other.

    Args:
        budget_s: planning seconds of each search. A search mostly uses all, so this is about the
            response time; more looks at more configurations and layouts.
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
        prune_after: configurations of negative utility after which a layout is left.
        patience: configurations below the best that a layout may try before it is left.
        headroom: the bound planned for, over that of the SLO; below 1 to allow for devices and
            links slower than nominal.
        drop: share of its believed utility that a running query may lose before it is replanned.
        pause_s: how long after a search in vain a query is left alone, unless there may be room.
        replan_every_s: period of the watch. It acts on whole windows, so no less than a tenth of
            one is of use.
        initial_seed: seed of the random configurations.

    Raises:
        ValueError: there are no samples or no initial configurations.
    """

    def __init__(
        self,
        budget_s: float = 5.0,
        samples: int = 100,
        initial: int = 5,
        kappa: float = 2.0,
        gamma: float = 0.5,
        alpha_accuracy: float = 1.0,
        alpha_latency: float = 1.0,
        gpu_floor_s: float = 1e-3,
        prune_after: int = 10,
        patience: int = 3,
        headroom: float = 1.0,
        drop: float = 0.5,
        pause_s: float = 30.0,
        replan_every_s: float = 10.0,
        initial_seed: int = 0,
    ) -> None:
        if samples < 1:
            raise ValueError(f"samples={samples}: must be 1 or more")
        if initial < 1:
            raise ValueError(f"initial={initial}: must be 1 or more")
        self.budget_s = budget_s
        self.samples = samples
        self.initial = initial
        self.kappa = kappa
        self.gamma = gamma
        self.alpha_accuracy = alpha_accuracy
        self.alpha_latency = alpha_latency
        self.gpu_floor_s = gpu_floor_s
        self.prune_after = prune_after
        self.patience = patience
        self.headroom = headroom
        self.drop = drop
        self.pause_s = pause_s
        self.replan_every_s = replan_every_s
        self.initial_seed = initial_seed

    def plan(self, desk: Desk) -> None:
        """Search for each waiting query, and watch the running ones."""
        for query in desk.waiting:
            if due(desk, query, self.pause_s):
                self._serve(desk, query)
        if desk.trigger == "tick":
            for query in desk.running:
                plan = desk.plan_of(query)
                if plan is not None and self._fallen(desk, query):
                    self._renew(desk, query, plan)

    def _serve(self, desk: Desk, query: Query) -> None:
        """Search for a waiting query; nothing is profiled if a plan is known that would do."""
        search = self._search(desk, query, Trials(desk, query, self.samples))
        chosen, would_do = self._choose(desk, query, search)
        if not would_do:
            search.explore()
            chosen, _ = self._choose(desk, query, search)
        self._order(desk, query, chosen)

    def _renew(self, desk: Desk, query: Query, plan: Plan) -> None:
        """Search anew for a running query on new data, beginning with what was known of the old."""
        trials = Trials(desk, query, self.samples)
        current, former = plan.configuration.index, tuple(trials.known)
        if current in former:
            self._note_slowdown(desk, query, plan)
        trials.renew()
        search = self._search(desk, query, trials)
        search.explore((current, *former))
        self._order(desk, query, self._choose(desk, query, search)[0])

    def _search(self, desk: Desk, query: Query, trials: Trials) -> PlacementSearch:
        rules = Rules(self.initial, self.kappa, self.prune_after, self.patience, self.headroom)
        slowdowns = desk.recall(("vulcan slowdowns", query.id), query) or {}
        rng = stream(self.initial_seed, "vulcan", query.id)
        return PlacementSearch(desk, query, trials, self._utility, rules, slowdowns, rng)

    def _choose(
        self, desk: Desk, query: Query, search: PlacementSearch
    ) -> tuple[Chosen | None, bool]:
        """Return the best known plan that would do and fits, and whether any would do."""
        scored = search.evaluated()
        would_do = np.flatnonzero(search.feasible(scored))
        current = desk.plan_of(query)
        for row in would_do[np.argsort(-scored.utility[would_do], kind="stable")].tolist():
            plan = search.view.plan(int(scored.plans[row]))
            if plan == current or desk.fits(query, plan):
                figures = scored.accuracy[row], scored.gpu_s[row], scored.utility[row]
                return Chosen(plan, *map(float, figures)), True
        return None, len(would_do) > 0

    def _order(self, desk: Desk, query: Query, chosen: Chosen | None) -> None:
        """Deploy what was chosen, unless it serves already; without, what serves goes on."""
        if chosen is None:
            give_up(desk, query)
            return
        desk.remember(("vulcan chosen", query.id), chosen, query)
        if chosen.plan != desk.plan_of(query):
            desk.deploy(query, chosen.plan)

    def _fallen(self, desk: Desk, query: Query) -> bool:
        """Tell whether the utility of a running query's last window calls for a search."""
        chosen: Chosen | None = desk.recall(("vulcan chosen", query.id))
        if chosen is None or not self._new_window(desk, query):
            return False
        if chosen.plan != desk.plan_of(query) or not due(desk, query, self.pause_s):
            return False
        last = desk.telemetry(query)[-1]
        figures = chosen.accuracy, last.latency_quantile_s if last.completed else inf, chosen.gpu_s
        observed = self._utility(query.slo, *(np.array([each]) for each in figures))
        return bool(observed[0] < max(0.0, (1 - self.drop) * chosen.utility))

    def _note_slowdown(self, desk: Desk, query: Query, plan: Plan) -> None:
        """Remember by how much the last window was slower than predicted of the placement."""
        predicted, last = desk.predict(query, plan), desk.telemetry(query)[-1]
        ratio = inf
        if isfinite(last.latency_quantile_s):
            ratio = last.latency_quantile_s / predicted.latency_quantile_s
        elif last.completed:  # Some requests never completed.
            ratio = last.latency_mean_s / predicted.latency_mean_s
        slowdowns = dict(desk.recall(("vulcan slowdowns", query.id)) or {})
        slowdowns[plan.placement] = min(MOST_SLOWDOWN, max(1.0, ratio))
        desk.remember(("vulcan slowdowns", query.id), slowdowns, query)

    def _new_window(self, desk: Desk, query: Query) -> bool:
        """Tell whether the last window is a new one, and was all under the plan in force."""
        plan, reports = desk.plan_of(query), desk.telemetry(query)
        key = "vulcan watched", query.id
        watched: Watched | None = desk.recall(key)
        if watched is None or watched.plan != plan:
            desk.remember(key, Watched(plan, desk.now_s, desk.now_s))
            return False
        if len(reports) < 2 or reports[-2].end_s < watched.since_s:
            return False
        last = reports[-1]
        if last.end_s <= watched.judged_s or not last.born:
            return False
        desk.remember(key, Watched(plan, watched.since_s, last.end_s))
        return True

    @property
    def _utility(self) -> Utility:
        return Utility(self.gamma, self.alpha_accuracy, self.alpha_latency, self.gpu_floor_s)
