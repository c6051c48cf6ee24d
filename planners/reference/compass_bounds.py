"""Variants of Compass with more knowledge or no delay, as steps from Compass to the optimum.

All variants see the truth, like ``planners.reference.ilp.ILP``. Each extends the one before:

* `CompassSeesTruth` with `TrueSearch` judges plans by the truth. It profiles and is charged as
  usual.
* `CompassNoDelay` with `FreeSearch` does not wait for profiling, and plans in almost no time.
  Histories that are profiled offline still count as planning cost.
* `CompassNoDelay` with `WholeSearch` knows the truth about all configurations, and considers all
  plans.

The only remaining difference from the optimum is that queries are planned one by one.
"""

from dataclasses import dataclass, replace
from typing import Any, cast

from planners.compass.compass import Compass
from planners.compass.search.search import CmboSearch
from planners.compass.state.pools import Market
from planners.compass.state.records import Offer, ProfiledConfig, keep_search_state, search_state
from scenarios.applications.pipeline import Configuration
from scenarios.queries import Query
from sim import BulkOperations, Choices, PlanningContext, PlanView, Truth

EXACT = 1e-6
"""Variance stated for exact means: the surrogates need a variance above 0."""

ALL = 1_000_000
"""Number of items stated for the truth: so many that the error of times is negligible."""


class _TrueBulk:
    """Bulk operations whose plan views show the truth; the planner must have ``sees_truth``."""

    def __init__(self, bulk: BulkOperations) -> None:
        self._bulk = bulk
        self._truths: dict[tuple[int, Choices], Truth] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bulk, name)

    def truth(self, query: Query, choices: Choices = Choices()) -> Truth:  # noqa: B008
        """Return the truth about a query; it is computed once per call."""
        key = query.id, choices
        if key not in self._truths:
            self._truths[key] = self._bulk.truth(query, choices)
        return self._truths[key]

    def view(self, query: Query, choices: Choices = Choices()) -> PlanView:  # noqa: B008
        """Return a query's plans, with the true speeds of its device and links."""
        return self.truth(query, choices).view


class _TrueContext:
    """A planning context with the bulk operations of `_TrueBulk`."""

    def __init__(self, context: PlanningContext) -> None:
        self._context, self.bulk = context, _TrueBulk(context.bulk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _FreeContext(_TrueContext):
    """A `_TrueContext` that does not charge for the planner's own computing."""

    def charge(self, query: Query, operation: str = "step", count: int = 1) -> None:
        """Charge nothing."""


class CompassSeesTruth(Compass):
    """Compass with true speeds of devices and links; `TrueSearch` adds true profiles.

    A comparison with Compass shows the cost of wrong estimates. Use a planning model without
    headroom. The runtime still monitors deployments, because the planning model differs from the
    simulated world.
    """

    sees_truth = True
    _context = _TrueContext

    def plan(self, context: PlanningContext) -> None:
        """Plan like Compass, with a context that shows the truth."""
        super().plan(cast(PlanningContext, self._context(context)))


class CompassNoDelay(CompassSeesTruth):
    """`CompassSeesTruth` without planning delay: with `FreeSearch`, planning takes a few ms.

    A comparison with `CompassSeesTruth` shows the cost of planning delay. Turn audits off, because
    they are charged and find nothing new.
    """

    _context = _FreeContext


@dataclass(frozen=True)
class TrueSearch(CmboSearch):
    """Compass's search with true results of profiled configurations, at the usual charge."""

    def look(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> ProfiledConfig | None:
        """Profile a configuration, and return the truth about it."""
        shown = super().look(context, query, configuration)
        return None if shown is None else _shown(context, query, configuration.index)


@dataclass(frozen=True)
class FreeSearch(CmboSearch):
    """Compass's search with true results, which are free of charge."""

    def look(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> ProfiledConfig:
        """Return the truth about a configuration."""
        return _shown(context, query, configuration.index)


@dataclass(frozen=True)
class WholeSearch(CmboSearch):
    """Knows the truth about all configurations, and returns all plans of `Beliefs.offers`."""

    def run(
        self, context: PlanningContext, query: Query, market: Market, seconds: float, improve: bool
    ) -> list[Offer]:
        """Return every plan worth deploying."""
        count = len(context.world.pipeline.configurations)
        every = {index: _shown(context, query, index) for index in range(count)}
        found = replace(search_state(context, query), profiled=every, exhausted=True)
        beliefs = self.beliefs(context, query, market, found)
        offers = beliefs.offers(len(context.bulk.view(query, self.model.choices)))
        keep_search_state(context, query, replace(found, offers=offers))
        return offers


def _shown(context: PlanningContext, query: Query, index: int) -> ProfiledConfig:
    """Return the truth about a configuration in the form of a profile of `ALL` items."""
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
