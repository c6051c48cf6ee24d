"""Compass with less to hinder it: steps from it to the optimum, references and no rivals.

All see the truth, as ``planners.reference.ilp.ILP`` does, and each does one thing beyond the one
before it:

* `CompassSeesTruth` with `TrueSearch` judges plans by the truth. What is profiled, and what
  planning is charged, is as ever.
* `CompassNoDelay` with `FreeSearch` waits for no profiling, and plans in next to no time. Histories
  that are made ahead are still profiled, and counted.
* `CompassNoDelay` with `WholeSearch` knows every configuration, and offers every plan.

What is then left to the optimum is that queries are planned one by one. So the gap between Compass
and the optimum splits into what each step gains. Truth comes before speed, since profiling without
delay would not be possible otherwise.
"""

from dataclasses import dataclass, replace
from typing import Any, cast

from planners.compass.compass import Compass
from planners.compass.search.beliefs import beliefs_of
from planners.compass.search.search import CmboSearch
from planners.compass.state.known import Offer, ProfiledConfig
from planners.compass.state.pools import Market
from planners.compass.state.records import keep_search_state, search_state
from scenarios.applications.pipeline import Configuration
from scenarios.queries import Query
from sim import BulkOperations, Choices, PlanningContext, PlanView, Truth

EXACT = 1e-6
"""Variance of a mean that is known: above 0, for the surrogates' sake."""

ALL = 1_000_000
"""Items that the truth rests on: so many that the error of times is nothing."""


class CompassSeesTruth(Compass):
    """Compass that sees devices and links as they are; `TrueSearch` sees the rest.

    Choose it to know what errors of belief cost Compass. Give it a model without headroom, which
    pays for what is not known. Its runtime still watches: the planning model is not the world.
    """

    sees_truth = True

    def plan(self, context: PlanningContext) -> None:
        """Plan at a context that shows the truth."""
        super().plan(cast(PlanningContext, _TrueContext(context)))


class CompassNoDelay(Compass):
    """The same, and thinking is free: with `FreeSearch`, planning takes some milliseconds at most.

    They are what the planning context charges for predictions. Choose it to know what planning
    delay costs, and do without audits, which are charged and find nothing that is not known.
    """

    sees_truth = True

    def plan(self, context: PlanningContext) -> None:
        """Plan at a context that shows the truth and charges no thought."""
        super().plan(cast(PlanningContext, _FreeContext(context)))


class _TrueBulk:
    """Bulk operations whose views are those of the truth.

    Args:
        bulk: the bulk operations; their planner must have said that it sees the truth.
    """

    def __init__(self, bulk: BulkOperations) -> None:
        self._bulk = bulk
        self._truths: dict[tuple[int, Choices], Truth] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bulk, name)

    def truth(self, query: Query, choices: Choices = Choices()) -> Truth:  # noqa: B008
        """Return the truth about a query, worked out once a call: the world stands still."""
        key = query.id, choices
        if key not in self._truths:
            self._truths[key] = self._bulk.truth(query, choices)
        return self._truths[key]

    def view(self, query: Query, choices: Choices = Choices()) -> PlanView:  # noqa: B008
        """Return a query's plans, with its device and links as they are."""
        return self.truth(query, choices).view


class _TrueContext:
    """A planning context with such bulk operations.

    Args:
        context: the planning context.
    """

    def __init__(self, context: PlanningContext) -> None:
        self._context, self.bulk = context, _TrueBulk(context.bulk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _FreeContext(_TrueContext):
    """The same, at which the planner's own computing is free."""

    def charge(self, query: Query, operation: str = "step", count: int = 1) -> None:
        """Charge nothing."""


@dataclass(frozen=True)
class TrueSearch(CmboSearch):
    """The search of Compass, which is told the truth of what it has profiled, and pays for it."""

    def look(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> ProfiledConfig | None:
        """Profile a configuration, and return the truth about it."""
        shown = super().look(context, query, configuration)
        return None if shown is None else _shown(context, query, configuration.index)


@dataclass(frozen=True)
class FreeSearch(CmboSearch):
    """The search of Compass, which is told the truth for nothing."""

    def look(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> ProfiledConfig:
        """Return the truth about a configuration."""
        return _shown(context, query, configuration.index)


@dataclass(frozen=True)
class WholeSearch(CmboSearch):
    """Knows all configurations, and offers however many plans; see `Beliefs.offers`."""

    def run(
        self, context: PlanningContext, query: Query, market: Market, seconds: float, improve: bool
    ) -> list[Offer]:
        """Return every plan worth deploying."""
        count = len(context.world.pipeline.configurations)
        every = {index: _shown(context, query, index) for index in range(count)}
        found = replace(search_state(context, query), profiled=every, exhausted=True)
        beliefs = beliefs_of(self, context, query, market, found)
        offers = beliefs.offers(len(context.bulk.view(query, self.model.choices)))
        keep_search_state(context, query, replace(found, offers=offers))
        return offers


def _shown(context: PlanningContext, query: Query, index: int) -> ProfiledConfig:
    """Return the truth about a configuration as if `ALL` items had shown it."""
    truth, floor = context.bulk.truth(query), query.slo.accuracy
    return ProfiledConfig(
        float(truth.accuracy[index]),
        EXACT,
        floor is None or bool(truth.accuracy[index] >= floor),
        ALL,
        truth.operator_time_s[index],
        float(truth.time_cv[index]),
        (float(truth.normalised[index, 0]), float(truth.normalised[index, 1])),
        confirmed=True,
    )
