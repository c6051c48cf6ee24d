"""What a planner's process knows of profiling, so that it need not ask for the same again.

Planners ask for the estimates of thousands of plans, most of which follow from results that they
have. The rules are those of the planning service, so the answers are those of the world.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scenarios.applications.pipeline import Configuration
from scenarios.queries import Query
from sim.api.estimate import Estimate, Measurement
from sim.api.plan import Plan

MOST_KNOWN = 20_000
"""Largest number of results that are kept, and of plans with figures for one kind of query."""

Ask = Callable[..., Any]
Figures = tuple[Any, ...]
"""The attributes of an estimate that follow from the plan: those from ``latency_factors`` on."""


def figures_of(estimate: Estimate) -> Figures:
    """Return the figures of an estimate's plan."""
    return (
        estimate.latency_factors,
        estimate.fixed_s,
        estimate.transfer_s,
        estimate.cost_usd_per_hour,
        estimate.ways,
    )


class Profiles:
    """Results of profiling queries, and the nominal figures of plans.

    A result that has all wanted items stays the same until the query's data are renewed. A result
    that lacks some because the budget is too small stays the same until a run of the query follows,
    in the same call; this holds only for a query without a plan, because the search of another one
    may have measured nothing for lack of a lane, which can become free.
    """

    def __init__(self) -> None:
        self._measured: dict[tuple[int, int], Measurement] = {}  # by query and configuration
        self._figures: dict[tuple[Any, ...], dict[Plan, Figures]] = {}  # by kind of query
        self.begin()

    def begin(self) -> None:
        """Begin a call of the planner."""
        self._searching: set[int] = set()  # queries whose search has begun
        self._denied: dict[int, set[int]] = {}  # configurations beyond the budget, by query
        if len(self._measured) > MOST_KNOWN:
            self._measured.clear()

    def forget(self, query: int | None = None) -> None:
        """Drop the results of a query, or of all queries."""
        for key in [each for each in self._measured if query in (None, each[0])]:
            del self._measured[key]
        self.begin()

    def profile(
        self, ask: Ask, query: Query, what: Plan | Configuration, samples: Any, waits: Ask
    ) -> Estimate:
        """Return an estimate as `PlanningContext.profile` does for a query.

        Args:
            ask: asks the world for the estimate of a plan or a configuration, or with
                ``"figures"`` for the figures of a plan and of those after it.
            query: the query.
            what: a plan or a configuration.
            samples: the number of items, or an array of item numbers.
            waits: returns whether the query has no plan.
        """
        configuration = what.configuration if isinstance(what, Plan) else what
        known = self._known(query.id, configuration, samples, waits)
        if known is None:
            found: Estimate = ask("profile", query, what, samples)
            self._note(query.id, found.measurement, samples)
            return found
        figures = self._figures_of(ask, query, what) if isinstance(what, Plan) else ()
        operators = known.operator_time_s.shape[1]
        return Estimate(known, operators, query.slo.latency_quantile, *figures)

    def _figures_of(self, ask: Ask, query: Query, plan: Plan) -> Figures:
        kind = query.device.name, query.technology, query.dataset, query.requests_per_s
        known = self._figures.setdefault(kind, {})
        if plan not in known:
            if len(known) > MOST_KNOWN:
                known.clear()
            known.update(ask("figures", query, plan))
        return known[plan]

    def _known(self, query: int, configuration: Any, samples: Any, waits: Ask) -> Any:
        """Return what the world would measure without a run, or None if that is not known."""
        if query not in self._searching or not isinstance(samples, int | np.integer):
            return None
        if type(configuration) is not Configuration:
            return None
        known = self._measured.get((query, configuration.index))
        if known is None or known.configuration != configuration or samples < 0:
            return None
        if samples <= known.count:
            return known
        denied = configuration.index in self._denied.get(query, ())
        return known if denied and waits() else None

    def _note(self, query: int, found: Measurement, samples: Any) -> None:
        """Note a result that the world gave."""
        self._searching.add(query)
        key = query, found.configuration.index
        before = self._measured.get(key)
        self._measured[key] = found
        if found.count > (0 if before is None else before.count):
            self._denied.pop(query, None)  # Other configurations can reuse parts of a run.
        elif isinstance(samples, int | np.integer):
            self._denied.setdefault(query, set()).add(found.configuration.index)
