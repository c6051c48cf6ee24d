"""Single-query search: which configurations to profile, and which plans then meet the SLO.

A search proposes configurations one by one (`Search.next`). The rest is shared: profile it, judge
its plans, and stop at the first feasible plan, which is the response, or once no plan gets better.
Later calls continue in the background.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from planners.common.ranges import BelowOne, Count, InRange, Level, WholeNumber
from planners.compass.profiling.profiler import Belief, Profiler, StratifiedProfiler
from planners.compass.search.beliefs import ENCODINGS, Beliefs, beliefs_of
from planners.compass.search.history import WarmStart
from planners.compass.search.planning_model import PlanningModel
from planners.compass.state.pools import Market
from planners.compass.state.records import Offer, ProfiledConfig, keep_search_state, search_state
from scenarios.applications.pipeline import Configuration
from scenarios.numerics import Floats
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import PlanningContext

LEAST_KNOWN = 8
"""Profiled configurations from which surrogates may rule out all others. Before, histories may not
help, and the query's own model has too little data."""

ROUNDING = 1e-9
"""Part of a plan's loss by which sums in another order may differ."""


@dataclass(eq=False)
class Progress:
    """The knowledge of a search before its next step; C configurations, N operators.

    Args:
        beliefs: beliefs about the query's plans.
        tried: indices of the configurations that were profiled.
        best: loss of the best plan so far; None without a feasible one.
    """

    beliefs: Beliefs
    tried: Collection[int]
    best: float | None

    @property
    def profiled(self) -> Mapping[int, ProfiledConfig]:
        """Profiling results, by index of the configuration."""
        return self.beliefs.configurations.profiled

    @property
    def has_histories(self) -> bool:
        """Whether surrogates start from earlier queries; looking for them is charged once."""
        return bool(self.beliefs.configurations.histories)

    def accuracy(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of each configuration's accuracy, each (C,)."""
        return self.beliefs.configurations.surrogates.accuracy()

    def time_s(self) -> Floats:
        """Return the median time of each operator on profiling hardware in seconds, (C, N)."""
        return self.beliefs.configurations.surrogates.time_s()

    def least_price(self) -> Floats:
        """Return the price of each configuration's cheapest plan, infinite without one, (C,)."""
        return self.beliefs.least_price()

    def most_promising(self, least: float) -> int | None:
        """Return the configuration of the plan with the largest expected saving, or None.

        ``least`` is the least probability of keeping the SLO for a plan to count.
        """
        return self.beliefs.propose({*self.tried}, self.best, least)


@dataclass(frozen=True)
class Search(InRange, ABC):
    """Finds plans for one query. A new search needs only `next`, and may ignore some parameters.

    Args:
        profiler: judges configurations.
        warm_start: the use of earlier queries.
        model: judges plans.
        encoding: features of knobs: ``"one_hot"``, ``"ordinal"``, or ``"mixed"``.
        initial: configurations profiled before surrogates are believed, without histories.
        patience: steps without a better plan after which an improving search ends.
        least_gain: relative decrease of loss for a plan to count as better.
        least_promise: least probability of keeping the SLO for a plan to be worth profiling,
            once `LEAST_KNOWN` configurations are known.
        most_offers: plans offered of each query.
        confirm_items: items by which the profile of an active configuration grows at a time,
            until a test at ``confirm_alpha`` decides; 0 for none.
        confirm_alpha: probability of a wrong verdict that this test allows.
        seed: seed of the initial configurations.
    """

    profiler: Profiler = field(default_factory=StratifiedProfiler)
    warm_start: WarmStart = field(default_factory=WarmStart)
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
        """Return a configuration that was not tried, to profile next; None to end the search."""

    def run(
        self, context: PlanningContext, query: Query, market: Market, seconds: float, improve: bool
    ) -> Sequence[Offer]:
        """Profile until a plan is feasible, or until none gets better, and remember the results.

        Args:
            context: the planning context.
            query: a waiting or running query.
            market: prices of pools, and the stations that exist.
            seconds: planning seconds that may be used; at 0 nothing is profiled.
            improve: whether to go on beyond the first feasible plan.

        Returns:
            The plans worth deploying, those of least loss first; infeasible ones only if all are.
        """
        before = search_state(context, query)
        start_s = context.remaining(query)
        until_s = max(0.0, start_s - seconds)
        beliefs = beliefs_of(self, context, query, market, before)
        known = beliefs.configurations
        tried, stale, ended = set(known.profiled), 0, False
        # without seconds nothing is profiled, so the search is not exhausted
        best = beliefs.cheapest() if seconds > 0 else None
        entered = start_s > until_s and (best is None or improve)
        least_gain = max(self.least_gain, ROUNDING)
        while (best is None or improve) and context.remaining(query) > until_s:
            step = _untried(context, query, tried)
            if step is None and len(tried) < len(context.world.pipeline.configurations):
                step = self.next(context, query, Progress(beliefs, tried, best))
            if step is None:
                ended = True
                break
            tried.add(step.index)
            shown = self.look(context, query, step)
            if shown is None:
                break  # the rest of the budget is too small
            beliefs.learn(step.index, shown)
            cheapest = beliefs.cheapest()
            gains = cheapest is not None and (best is None or cheapest < best * (1 - least_gain))
            stale = 0 if gains else stale + 1
            best = cheapest
            if best is not None and stale >= self.patience:
                ended = True
                break
        offers = beliefs.offers(self.most_offers)
        grown = len(known.profiled) > len(before.profiled)
        after = replace(
            before,
            profiled=known.profiled,
            matured=known.matured,
            kept=before.kept or grown,
            spent_s=before.spent_s + start_s - context.remaining(query),
            exhausted=ended or (entered and not grown) or (not entered and before.exhausted),
            offers=offers,
            history=known.history() if grown else before.history,
        )
        keep_search_state(context, query, after)
        return offers

    def judge(
        self, context: PlanningContext, query: Query, market: Market, number: int
    ) -> Offer | None:
        """Return the beliefs about a plan, by its number; None if it was not profiled."""
        found = search_state(context, query)
        return beliefs_of(self, context, query, market, found).judge(number)

    def confirm(self, context: PlanningContext, query: Query, market: Market, index: int) -> bool:
        """Profile an active configuration further, and test it more strictly than the search did.

        The results, and the corrections of other configurations, go into the `SearchState`. Returns
        whether anything was learned.
        """
        found = search_state(context, query)
        seen = found.profiled[index]
        if seen.confirmed or not self.confirm_items or query.slo.accuracy is None:
            return False
        configuration = context.world.pipeline.configurations[index]
        left_s = context.remaining(query)
        alpha = self.confirm_alpha
        for more in (0, self.confirm_items):
            belief = self.profiler.measure(context, query, configuration, seen.count + more, alpha)
            belief = self._sharpened(context, query, belief, found.profiled, alpha)
            if belief.verdict is not None:
                break
        most = self.profiler.most_items(context, query)
        decided = belief.verdict is not None or belief.count >= most
        shown = {**found.profiled, index: ProfiledConfig.of(belief, confirmed=decided)}
        grown = belief.count > seen.count
        if grown:
            shown = self._all_sharpened(context, query, shown, index)
        again = belief.verdict is False  # the earlier results were a mistake
        after = replace(
            found,
            profiled=shown,
            kept=found.kept and not grown,
            exhausted=found.exhausted and not again,
        )
        if not after.kept:
            known = beliefs_of(self, context, query, market, after).configurations
            if known.in_doubt:
                after = replace(after, kept=True, history=known.history())
        after = replace(after, spent_s=found.spent_s + left_s - context.remaining(query))
        keep_search_state(context, query, after)
        return decided or grown

    def look(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> ProfiledConfig | None:
        """Profile a configuration; return the result, or None if the budget is too small."""
        belief = self.profiler.profile(context, query, configuration)
        if not belief.count:
            return None
        found = search_state(context, query)
        return ProfiledConfig.of(self._sharpened(context, query, belief, found.profiled))

    def _sharpened(
        self,
        context: PlanningContext,
        query: Query,
        belief: Belief,
        shown: Mapping[int, ProfiledConfig],
        alpha: float | None = None,
    ) -> Belief:
        """Return a belief, sharpened by the configuration that was measured on the most items."""
        if not shown:
            return belief
        configurations = context.world.pipeline.configurations
        control = configurations[max(shown, key=lambda index: shown[index].count)]
        configuration = belief.estimate.measurement.configuration
        return self.profiler.sharpened(context, query, configuration, control, alpha) or belief

    def _all_sharpened(
        self,
        context: PlanningContext,
        query: Query,
        shown: Mapping[int, ProfiledConfig],
        control: int,
    ) -> dict[int, ProfiledConfig]:
        """Return profiles, sharpened by one configuration where it was measured on more items."""
        configurations, found = context.world.pipeline.configurations, dict(shown)
        for index, seen in shown.items():
            if seen.count < shown[control].count and not seen.confirmed:
                belief = self.profiler.sharpened(
                    context, query, configurations[index], configurations[control]
                )
                if belief is not None:
                    found[index] = ProfiledConfig.of(belief)
        return found


def _untried(context: PlanningContext, query: Query, tried: set[int]) -> Configuration | None:
    """Return the active configuration of a query, unless it was tried."""
    plan = context.plan_of(query)
    if plan is None or plan.configuration.index in tried:
        return None
    return plan.configuration


@dataclass(frozen=True)
class CmboSearch(Search):
    """Constrained Bayesian optimisation over configuration, placement and allocation (CMBO).

    Confirmed of Compass: two surrogates, accuracy by configuration and latency by plan; warm starts
    from similar queries; the first feasible plan is the response; 40 to 100 ms a step. Its
    acquisition is that of the authors' prototype. Reconstructed: costs at the prices of the pools;
    the load that stations are planned for; plans with room first, for a query that waits or knows
    of no feasible plan; the set of plans offered. A departure: a configuration measured on many
    items corrects the others (`Profiler.sharpened`).
    """

    def next(
        self, context: PlanningContext, query: Query, progress: Progress
    ) -> Configuration | None:
        """Return the configuration of the plan with the largest expected saving."""
        tried = progress.tried
        if not progress.has_histories and len(tried) < self.initial:
            return self._initial(context, query, tried)
        context.charge(query, "search_step")
        index = progress.most_promising(self.least_promise if len(tried) >= LEAST_KNOWN else 0.0)
        return None if index is None else context.world.pipeline.configurations[index]

    def _initial(
        self, context: PlanningContext, query: Query, tried: Collection[int]
    ) -> Configuration:
        """Return the richest configuration, and then others at random."""
        configurations = context.world.pipeline.configurations
        if not tried:
            return configurations[0]
        rng = stream(self.seed, "compass", query.id, "initial")
        order: list[int] = rng.permutation(len(configurations)).tolist()
        return next(configurations[index] for index in order if index not in tried)


@dataclass(frozen=True)
class RandomSearch(Search):
    """Profiles configurations in random order; an ablation."""

    def next(
        self, context: PlanningContext, query: Query, progress: Progress
    ) -> Configuration | None:
        """Return a random configuration of those that were not profiled."""
        configurations = context.world.pipeline.configurations
        rng = stream(self.seed, "compass", query.id, "random")
        order: list[int] = rng.permutation(len(configurations)).tolist()
        return next((configurations[each] for each in order if each not in progress.tried), None)
