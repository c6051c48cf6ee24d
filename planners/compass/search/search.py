"""Single-query search: profiles one configuration after another until a plan meets the SLO.

Subclasses of `Search` only choose the next configuration (`Search.next`). The base class profiles
this configuration and judges its plans. It stops at the first feasible plan, which is the response,
or if no better plan is found. Later calls continue the search in the background.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from planners.common.ranges import BelowOne, Count, InRange, Level, WholeNumber
from planners.compass.profiling.profiler import Profiler, StratifiedProfiler
from planners.compass.search.accuracy_prior import AccuracyPrior
from planners.compass.search.beliefs import ENCODINGS, Beliefs
from planners.compass.search.history import WarmStart
from planners.compass.search.planning_model import PlanningModel
from planners.compass.state.pools import Market
from planners.compass.state.records import (
    Offer,
    ProfiledConfig,
    SearchState,
    keep_search_state,
    search_state,
)
from scenarios.applications.pipeline import Configuration
from scenarios.numerics import Floats
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import PlanningContext

ROUNDING = 1e-9
"""Relative tolerance of losses, which depend on the order of summation."""

NOT_SHORTER_S = 1e-6
"""Tolerance of planning seconds, which are rounded to nanoseconds."""


@dataclass(eq=False)
class Progress:
    """The knowledge of a search before its next step, about C configurations of N operators.

    Args:
        beliefs: beliefs about the query's plans.
        best: loss of the best plan so far, or None without a feasible plan.
    """

    beliefs: Beliefs
    best: float | None

    @property
    def tried(self) -> Mapping[int, ProfiledConfig]:
        """Results of the configurations that were measured, by index."""
        return self.beliefs.configurations.measured

    def done(self, least: float) -> Collection[int]:
        """Return indices of the configurations that should not be profiled, or not any further.

        Under `TTest`, they are those that were tried. Under `Certain`, they are those that are
        accepted, or that more items would accept with a probability below ``least``.
        """
        return self.beliefs.configurations.done(least)

    @property
    def has_histories(self) -> bool:
        """Whether histories are used; the first access finds them and charges planning time."""
        return bool(self.beliefs.configurations.histories)

    def accuracy(self) -> tuple[Floats, Floats]:
        """Return means and standard deviations of configurations' accuracies, of shape (C,)."""
        return self.beliefs.configurations.surrogates.accuracy()

    def time_s(self) -> Floats:
        """Return operators' estimated median seconds on profiling hardware, of shape (C, N)."""
        return self.beliefs.configurations.surrogates.time_s()

    def least_price(self) -> Floats:
        """Return configurations' lowest plan prices, infinite without a plan, of shape (C,)."""
        return self.beliefs.least_price()

    def most_promising(self, least: float) -> int | None:
        """Return the configuration that has the plan with the largest expected saving, or None.

        Under `TTest`, plans whose probability of meeting the SLO is below ``least`` are ignored,
        once enough configurations were profiled (`t_test_beliefs.LEAST_KNOWN`). Under `Certain`,
        configurations are ignored that more items would accept with a lower probability.
        """
        return self.beliefs.propose(self.best, least)


@dataclass(frozen=True)
class Search(InRange, ABC):
    """Finds plans for one query; a subclass only defines `next`.

    Args:
        profiler: measures configurations.
        warm_start: chooses and weights histories of earlier queries.
        accuracy_prior: prior of the model of accuracy that queries share (``sharing="pooled"``).
        model: the margins and assumptions by which plans are judged.
        encoding: encoding of knobs as features: ``"one_hot"``, ``"ordinal"`` or ``"mixed"``.
        initial: number of configurations profiled before surrogates are used, without histories.
        patience: number of steps without a better plan after which a background search ends.
        least_gain: share by which a plan's loss must be lower to count as better.
        least_promise: least probability at which more profiling is worthwhile; see
            `Progress.most_promising`.
        most_offers: largest number of plans returned for a query.
        confirm_items: number of further items on which each check profiles an active configuration,
            until a test of level ``confirm_alpha`` decides; 0 turns this off.
        confirm_alpha: level of this test, which is its probability of a wrong verdict.
        seed: seed of the initial configurations.
    """

    profiler: Profiler = field(default_factory=StratifiedProfiler)
    warm_start: WarmStart = field(default_factory=WarmStart)
    accuracy_prior: AccuracyPrior = field(default_factory=AccuracyPrior)
    model: PlanningModel = field(default_factory=PlanningModel)
    encoding: Literal["one_hot", "ordinal", "mixed"] = "mixed"
    initial: Count = 2
    patience: Count = 3
    least_gain: BelowOne = 0.0
    least_promise: BelowOne = 0.01
    most_offers: Count = 8
    confirm_items: WholeNumber = 192
    confirm_alpha: Level = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding={self.encoding!r}: choose {', '.join(ENCODINGS)}")
        super().__post_init__()

    @abstractmethod
    def next(
        self, context: PlanningContext, query: Query, progress: Progress
    ) -> Configuration | None:
        """Return the configuration to profile next, or on more items; None ends the search."""

    def run(
        self, context: PlanningContext, query: Query, market: Market, seconds: float, improve: bool
    ) -> Sequence[Offer]:
        """Profile until a plan is feasible or no better one is found; record the results.

        Args:
            context: the planning context.
            query: a waiting or running query.
            market: prices of pools, and the stations that exist.
            seconds: planning seconds that can be used; with 0, the search only judges plans.
            improve: whether to continue after the first feasible plan.

        Returns:
            The plans worth deploying, by rising loss. Infeasible plans are returned only if no plan
            is feasible.
        """
        before = search_state(context, query)
        start_s = context.remaining(query)
        until_s = max(0.0, start_s - seconds)
        beliefs = self.beliefs(context, query, market, before)
        known = beliefs.configurations
        stale, ended, learned = 0, False, False
        beliefs.assume(self.most_offers)  # from what other queries have shown since then
        best = beliefs.cheapest() if seconds > 0 else None
        # If nothing is profiled, further search is not worthwhile. But that says nothing if there
        # were no planning seconds, or fewer than asked for because of a wait for a lane.
        whole = seconds > 0 and start_s > seconds - NOT_SHORTER_S
        entered = whole and (best is None or improve)
        least_gain = max(self.least_gain, ROUNDING)
        while (best is None or improve) and context.remaining(query) > until_s:
            step = _untried(context, query, known.profiled)
            if step is None and not known.complete:
                step = self.next(context, query, Progress(beliefs, best))
            if step is None:
                ended = True
                break
            shown = self.look(context, query, step)
            if shown is None or shown.count <= known.count(step.index):
                break  # the rest of the budget is too small
            beliefs.learn(step.index, shown)
            learned = True
            cheapest = beliefs.cheapest()
            gains = cheapest is not None and (best is None or cheapest < best * (1 - least_gain))
            stale = 0 if gains else stale + 1
            best = cheapest
            if best is not None and stale >= self.patience:
                ended = True
                break
        if learned:
            beliefs.assume(self.most_offers)
        offers = beliefs.offers(self.most_offers)
        grown = known.items > before.items
        after = replace(
            before,
            profiled=known.profiled,
            matured=known.matured,
            kept=before.kept or known.renewed,
            spent_s=before.spent_s + start_s - context.remaining(query),
            exhausted=ended or (not grown and (entered or before.exhausted)),
            offers=offers,
            history=known.history() if known.renewed else before.history,
        )
        keep_search_state(context, query, after)
        return offers

    def beliefs(
        self, context: PlanningContext, query: Query, market: Market, found: SearchState
    ) -> Beliefs:
        """Return the beliefs about a query's plans, given the state of its search."""
        return Beliefs(
            self.model,
            self.warm_start,
            ENCODINGS[self.encoding],
            self.profiler,
            self.accuracy_prior,
            *(context, query, market, found),
        )

    def judge(
        self, context: PlanningContext, query: Query, market: Market, number: int
    ) -> Offer | None:
        """Return the beliefs about the plan at index ``number``, or None if it was not profiled."""
        found = search_state(context, query)
        return self.beliefs(context, query, market, found).judge(number)

    def confirm(self, context: PlanningContext, query: Query, market: Market, index: int) -> bool:
        """Profile an active configuration further, unless more items cannot change the beliefs.

        The results are stored in the `SearchState`. Returns whether anything was learned.
        """
        found = search_state(context, query)
        seen = found.profiled[index]
        if seen.confirmed or not self.confirm_items or query.slo.accuracy is None:
            return False
        known = self.beliefs(context, query, market, found).configurations
        return known.confirm(index, self.confirm_items, self.confirm_alpha)

    def look(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> ProfiledConfig | None:
        """Profile a configuration; return the result, or None if the budget is too small."""
        belief = self.profiler.profile(context, query, configuration)
        if not belief.count:
            return None
        if self.warm_start.sharing != "pooled":  # a shared model corrects all means together
            shown = search_state(context, query).profiled
            belief = self.profiler.sharpened_by_most(context, query, belief, shown)
        return belief.as_profile()


def _untried(
    context: PlanningContext, query: Query, tried: Collection[int]
) -> Configuration | None:
    """Return the active plan's configuration, or None if it was tried or no plan is active."""
    plan = context.plan_of(query)
    if plan is None or plan.configuration.index in tried:
        return None
    return plan.configuration


@dataclass(frozen=True)
class CmboSearch(Search):
    """Constrained Bayesian optimisation over configuration, placement and allocation (CMBO).

    The paper on Compass confirms two surrogates (accuracy by configuration, latency by plan) and
    warm starts from similar queries. It also confirms that the first feasible plan is the response,
    and that a step takes 40 to 100 ms. The acquisition function is that of the authors' prototype.
    Costs at the prices of pools, the assumed load of stations and the set of plans returned are
    reconstructed. So is the preference for plans with room, which applies to a query that waits or
    has no feasible plan. As a departure from the paper, a configuration measured on many items
    corrects the others (`Profiler.sharpened`).
    """

    def next(
        self, context: PlanningContext, query: Query, progress: Progress
    ) -> Configuration | None:
        """Return the configuration that has the plan with the largest expected saving, or None."""
        tried = progress.tried
        if not progress.has_histories and len(tried) < self.initial:
            return self._initial(context, query, tried)
        context.charge(query, "search_step")
        index = progress.most_promising(self.least_promise)
        return None if index is None else context.world.pipeline.configurations[index]

    def _initial(
        self, context: PlanningContext, query: Query, tried: Collection[int]
    ) -> Configuration:
        """Return the richest configuration at the first step, and later a random untried one."""
        configurations = context.world.pipeline.configurations
        if not tried:
            return configurations[0]
        rng = stream(self.seed, "compass", query.id, "initial")
        order: list[int] = rng.permutation(len(configurations)).tolist()
        return next(configurations[index] for index in order if index not in tried)


@dataclass(frozen=True)
class RandomSearch(Search):
    """Profiles configurations in random order; an ablation.

    Under `Certain`, each configuration is profiled until it is accepted, or until more items would
    accept it with a probability below ``least_promise``.
    """

    def next(
        self, context: PlanningContext, query: Query, progress: Progress
    ) -> Configuration | None:
        """Return the first configuration, in random order, that is not done, or None."""
        configurations = context.world.pipeline.configurations
        rng = stream(self.seed, "compass", query.id, "random")
        order: list[int] = rng.permutation(len(configurations)).tolist()
        done = progress.done(self.least_promise)
        return next((configurations[each] for each in order if each not in done), None)
