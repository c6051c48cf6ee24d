"""Single-query search: which configurations to profile, and which plans then meet the SLO.

The search hands over at the first plan that is found feasible, which is the response time, and can
be taken up again to find better ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from planners.bayesopt.encodings import mixed, one_hot, ordinal
from planners.common.ranges import inside, whole
from planners.compass.profiling.profiler import Belief, Profiler, StratifiedProfiler
from planners.compass.search.beliefs import Beliefs
from planners.compass.search.history import WarmStart
from planners.compass.search.known_histories import KEPT
from planners.compass.search.planning_model import PlanningModel
from planners.compass.state.known import Found, Offer, Shown
from planners.compass.state.pools import Market
from scenarios.applications.pipeline import Configuration
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import PlanningContext

FOUND = "compass found"
OFFERS = "compass offers"
LEAST_KNOWN = 8
"""Profiled configurations from which on surrogates are believed that no other would do: histories
may have been of no help, and their own model of no data."""

ROUNDING = 1e-9
"""Part of a plan's loss by which sums in another order may differ."""

ENCODINGS = {"one_hot": one_hot, "ordinal": ordinal, "mixed": mixed}


class Search(ABC):
    """Finds plans for one query.

    Attributes:
        model: how it judges plans.
    """

    model: PlanningModel

    @abstractmethod
    def run(
        self, context: PlanningContext, query: Query, market: Market, seconds: float, improve: bool
    ) -> list[Offer]:
        """Search for a query, and remember what was found (`FOUND`) and the offers (`OFFERS`).

        Args:
            context: the planning context.
            query: a waiting or running query.
            market: the pools; what plans cost is what they take of them, priced.
            seconds: planning seconds that may be used; at 0 nothing is profiled.
            improve: whether to go on beyond the first feasible plan.

        Returns:
            The plans worth deploying, those of least loss first; infeasible ones only if all are.
        """

    @abstractmethod
    def beliefs(
        self, context: PlanningContext, query: Query, market: Market, found: Found
    ) -> Beliefs:
        """Return what is believed of a query's plans."""

    @abstractmethod
    def look(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> Shown | None:
        """Profile a configuration; return what that shows, or None if nothing could be paid for."""

    @abstractmethod
    def judge(
        self, context: PlanningContext, query: Query, market: Market, number: int
    ) -> Offer | None:
        """Return what is believed of one plan by now; None if nothing was profiled of it.

        Args:
            context: the planning context.
            query: a waiting or running query.
            market: the pools.
            number: number of the plan in the query's view.
        """

    @abstractmethod
    def confirm(self, context: PlanningContext, query: Query, market: Market, index: int) -> bool:
        """Profile a configuration further, if more is to be learned of its accuracy.

        What is then known of it, and what that tells of others that were profiled, replaces what
        was remembered (`FOUND`).

        Args:
            context: the planning context.
            query: a running query.
            market: the pools.
            index: the configuration, one that was profiled.

        Returns:
            Whether more was learned. It was not where all is known, nor where what is left of the
            budget does not pay for another item.
        """


@dataclass(frozen=True)
class CmboSearch(Search):
    """Constrained Bayesian optimisation over configuration, placement and allocation (CMBO).

    Confirmed of Compass: two surrogates, accuracy by configuration and latency by plan; warm starts
    from similar queries; the first feasible plan is the response; 40 to 100 ms a step. Its
    acquisition is that of the authors' prototype. Reconstructed: costs are what a plan takes of the
    pools at their prices, so that queries learn from each other what is scarce; the load that
    stations are planned for; that plans with room come first, of a query that waits or knows of
    none that would do; the set of plans that is offered. A departure: once a configuration was
    measured on many items, such as to confirm it, the others are judged by it too
    (`Profiler.sharpened`). How much that tells hinges on how alike they find items hard; in this
    world those of a stratum are in the same order for all.

    Args:
        profiler: how a configuration is judged.
        warm_start: how earlier queries help.
        model: how plans are judged.
        encoding: features of knobs: ``"one_hot"``, ``"ordinal"``, or ``"mixed"``.
        initial: configurations profiled before surrogates are believed where there are no
            histories: the richest first, then at random.
        patience: steps without a better plan after which an improving search ends.
        least_gain: part of its loss by which a plan has to be better to count as such. Where many
            queries wait for room, at 0 their searches go on for plans that are hardly better.
        least_promise: probability of keeping the SLO from which on a plan is worth profiling, once
            `LEAST_KNOWN` configurations are known; a search ends where none is left. Lower goes on
            longer for SLOs that hardly any plan meets; below some percent it mostly profiles all
            there is, in vain.
        most_offers: plans offered of each query.
        confirm_items: items by which the profile of a configuration in force grows at a time, until
            a test at ``confirm_alpha`` can tell, or there are no more; 0 to leave it as the search
            left it. A search takes the cheapest of many configurations that look good enough, and
            so, too often, one that looks better than it is. More settle that sooner, and keep
            profiling lanes from new queries.
        confirm_alpha: probability of a wrong verdict that this test allows.
        seed: seed of the initial configurations.

    Raises:
        ValueError: a parameter is out of range.
    """

    profiler: Profiler = field(default_factory=StratifiedProfiler)
    warm_start: WarmStart = field(default_factory=WarmStart)
    model: PlanningModel = field(default_factory=PlanningModel)
    encoding: Literal["one_hot", "ordinal", "mixed"] = "mixed"
    initial: int = 2
    patience: int = 3
    least_gain: float = 0.0
    least_promise: float = 0.01
    most_offers: int = 8
    confirm_items: int = 192
    confirm_alpha: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding={self.encoding!r}: choose {', '.join(ENCODINGS)}")
        for name in ("least_promise", "least_gain"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be 0 or more, and below 1")
        inside(0, 1, confirm_alpha=self.confirm_alpha)
        whole(0, confirm_items=self.confirm_items)
        whole(1, initial=self.initial, patience=self.patience, most_offers=self.most_offers)

    def run(
        self, context: PlanningContext, query: Query, market: Market, seconds: float, improve: bool
    ) -> list[Offer]:
        """Propose, profile and learn until a plan is feasible, or until none gets better."""
        before: Found = context.recall((FOUND, query.id), query) or Found()
        start_s = context.remaining(query)
        until_s = max(0.0, start_s - seconds)
        beliefs = self.beliefs(context, query, market, before)
        known = beliefs.configurations
        tried, stale, ended = set(known.shown), 0, False
        # Without seconds nothing is profiled, so that there is nothing to hold it against.
        best = beliefs.cheapest() if seconds > 0 else None
        entered = start_s > until_s and (best is None or improve)
        least_gain = max(self.least_gain, ROUNDING)
        while (best is None or improve) and context.remaining(query) > until_s:
            step = _untried(context, query, tried) or self.next(
                context, query, beliefs, tried, best
            )
            if step is None:
                ended = True
                break
            tried.add(step.index)
            shown = self.look(context, query, step)
            if shown is None:
                break  # What is left of the budget does not pay for it.
            beliefs.learn(step.index, shown)
            cheapest = beliefs.cheapest()
            gains = cheapest is not None and (best is None or cheapest < best * (1 - least_gain))
            stale = 0 if gains else stale + 1
            best = cheapest
            if best is not None and stale >= self.patience:
                ended = True
                break
        offers = beliefs.offers(self.most_offers)
        grown = len(known.shown) > len(before.shown)
        after = replace(
            before,
            shown=known.shown,
            matured=known.matured,
            kept=before.kept or grown,
            spent_s=before.spent_s + start_s - context.remaining(query),
            exhausted=ended or (entered and not grown) or (not entered and before.exhausted),
        )
        context.remember((FOUND, query.id), after, query)
        context.remember((OFFERS, query.id), offers, query)
        if grown:
            context.remember((KEPT, query.id), known.history(), query)
        return offers

    def beliefs(
        self, context: PlanningContext, query: Query, market: Market, found: Found
    ) -> Beliefs:
        """Return what is believed of a query's plans."""
        encoding = ENCODINGS[self.encoding]
        return Beliefs(self.model, self.warm_start, encoding, context, query, market, found)

    def judge(
        self, context: PlanningContext, query: Query, market: Market, number: int
    ) -> Offer | None:
        """Return what is believed of one plan by now; None if nothing was profiled of it."""
        found: Found = context.recall((FOUND, query.id), query) or Found()
        return self.beliefs(context, query, market, found).judge(number)

    def confirm(self, context: PlanningContext, query: Query, market: Market, index: int) -> bool:
        """Profile some items more, and test more strictly than the search did."""
        found: Found = context.recall((FOUND, query.id), query) or Found()
        seen = found.shown[index]
        if seen.confirmed or not self.confirm_items or query.slo.accuracy is None:
            return False
        configuration = context.world.pipeline.configurations[index]
        left_s = context.remaining(query)
        alpha = self.confirm_alpha
        for more in (0, self.confirm_items):
            belief = self.profiler.measure(context, query, configuration, seen.count + more, alpha)
            belief = self._sharpened(context, query, belief, found.shown, alpha)
            if belief.verdict is not None:
                break
        most = self.profiler.most_items(context, query)
        decided = belief.verdict is not None or belief.count >= most
        shown = {**found.shown, index: Shown.of(belief, confirmed=decided)}
        grown = belief.count > seen.count
        if grown:
            shown = self._all_sharpened(context, query, shown, index)
        again = belief.verdict is False  # What was found so far was found by mistake.
        after = replace(
            found,
            shown=shown,
            kept=found.kept and not grown,
            exhausted=found.exhausted and not again,
        )
        if not after.kept:
            known = self.beliefs(context, query, market, after).configurations
            if known.in_doubt:
                context.remember((KEPT, query.id), known.history(), query)
                after = replace(after, kept=True)
        after = replace(after, spent_s=found.spent_s + left_s - context.remaining(query))
        context.remember((FOUND, query.id), after, query)
        return decided or grown

    def look(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> Shown | None:
        """Profile a configuration; return what that shows, or None if nothing could be paid for."""
        belief = self.profiler.profile(context, query, configuration)
        if not belief.count:
            return None
        found: Found = context.recall((FOUND, query.id), query) or Found()
        return Shown.of(self._sharpened(context, query, belief, found.shown))

    def _sharpened(
        self,
        context: PlanningContext,
        query: Query,
        belief: Belief,
        shown: Mapping[int, Shown],
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
        self, context: PlanningContext, query: Query, shown: Mapping[int, Shown], control: int
    ) -> dict[int, Shown]:
        """Return what was shown, sharpened by one configuration where it was measured on more."""
        configurations, found = context.world.pipeline.configurations, dict(shown)
        for index, seen in shown.items():
            if seen.count < shown[control].count and not seen.confirmed:
                belief = self.profiler.sharpened(
                    context, query, configurations[index], configurations[control]
                )
                if belief is not None:
                    found[index] = Shown.of(belief)
        return found

    def next(
        self,
        context: PlanningContext,
        query: Query,
        beliefs: Beliefs,
        tried: set[int],
        best: float | None,
    ) -> Configuration | None:
        """Return the configuration to profile next, or None if none promises anything.

        Args:
            context: the planning context.
            query: the query.
            beliefs: what is believed of it.
            tried: configurations that were profiled.
            best: cost of the best plan so far.
        """
        configurations = context.world.pipeline.configurations
        if len(tried) >= len(configurations):
            return None
        if not beliefs.configurations.histories and len(tried) < self.initial:
            return self._initial(context, query, tried)
        context.charge(query, "search_step")
        least = self.least_promise if len(tried) >= LEAST_KNOWN else 0.0
        index = beliefs.propose(tried, best, least)
        return None if index is None else configurations[index]

    def _initial(self, context: PlanningContext, query: Query, tried: set[int]) -> Configuration:
        """Return the richest configuration, and then others at random."""
        configurations = context.world.pipeline.configurations
        if not tried:
            return configurations[0]
        rng = stream(self.seed, "compass", query.id, "initial")
        order: list[int] = rng.permutation(len(configurations)).tolist()
        return next(configurations[index] for index in order if index not in tried)


def _untried(context: PlanningContext, query: Query, tried: set[int]) -> Configuration | None:
    """Return the configuration that serves a query, which may do, unless it was tried."""
    plan = context.plan_of(query)
    if plan is None or plan.configuration.index in tried:
        return None
    return plan.configuration


@dataclass(frozen=True)
class RandomSearch(CmboSearch):
    """Profiles configurations in random order, whatever surrogates promise; an ablation.

    They still tell of accuracies that the test left undecided.
    """

    def next(
        self,
        context: PlanningContext,
        query: Query,
        beliefs: Beliefs,
        tried: set[int],
        best: float | None,
    ) -> Configuration | None:
        """Return a configuration at random, of those that were not profiled."""
        configurations = context.world.pipeline.configurations
        rng = stream(self.seed, "compass", query.id, "random")
        order: list[int] = rng.permutation(len(configurations)).tolist()
        return next((configurations[index] for index in order if index not in tried), None)
