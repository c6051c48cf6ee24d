"""The records of single queries that several parts of Compass share between calls.

Records contain results of profiling and telemetry, and plans that were found for queries. Each
query has two records. Its `ServiceState` is visible to other queries at once. Its `SearchState`
becomes visible when simulated time reaches the time at which the search wrote it. What only one
part of Compass remembers, such as the audits, is in the module of that part, with its key.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum, nan
from typing import Any, NamedTuple

import numpy as np

from planners.common.orders import IN_VAIN
from planners.compass.state.pools import Market, Uses
from scenarios.numerics import Floats, Ints, Singles
from scenarios.queries import Query
from sim import Plan, PlanningContext

ACCURACY, VARIANCE, VERDICT, COUNT, TOTAL_S, TIME_CV = range(6)
"""Columns of `rows_of`. The verdict is 1 for true, 0 for false, and NaN for None."""
NORMALISED = slice(6, 8)
OPERATOR_TIME_S = slice(8, None)


@dataclass(frozen=True)
class ProfiledConfig:
    """The profile of one configuration of N operators for a query."""

    accuracy: float  # estimated mean
    variance: float  # variance of that estimate
    verdict: bool | None  # whether the test finds that the floor is met; None if undecided
    count: int  # number of items measured
    operator_time_s: Floats  # mean times on profiling hardware, of shape (N,)
    time_cv: float  # coefficient of variation, over items, of the sum of these times
    normalised: tuple[float, float]  # see ``Measurement.normalised``
    confirmed: bool = False  # more items cannot improve the accuracy; see ``Search.confirm``

    @cached_property
    def row(self) -> Floats:
        """The row of this profile in `rows_of`, cached because searches read it often."""
        times_s = self.operator_time_s.tolist()
        verdict = nan if self.verdict is None else float(self.verdict)
        known = self.accuracy, self.variance, verdict, self.count, fsum(times_s), self.time_cv
        return np.array([*known, *self.normalised, *times_s])


def rows_of(shown: Iterable[ProfiledConfig], operators: int) -> Floats:
    """Return the profiles of m configurations as an array of shape (m, 8 + N)."""
    rows = np.array([seen.row for seen in shown], dtype=np.float64)
    return rows.reshape(-1, OPERATOR_TIME_S.start + operators)


@dataclass(frozen=True)
class Slowness:
    """Ratios of observed to predicted time of a query's plans; they are 1 before telemetry."""

    device: float = 1.0  # computation on its device
    links: float = 1.0  # messages on links
    elsewhere: float = 1.0  # computation on servers, including waits
    device_known: bool = False  # telemetry has shown the device's speed


@dataclass(frozen=True)
class Offer:
    """A plan that probably meets a query's SLO or, if no plan does, comes near it."""

    number: int  # index of the plan in the query's view
    configuration: int
    latency_s: float  # quantile under the planned load
    accuracy: float  # mean accuracy
    usd_per_hour: float  # list price and egress
    uses: Uses
    demand: Floats  # units of each pool charged to the query, of shape (R,)
    feasible: bool  # believed to meet every part of the SLO
    probability: float = 1.0  # probability of meeting the SLO, given accuracy and device

    def loss(self, market: Market) -> float:
        """Return the loss of this plan at market prices; see `Market.loss`."""
        return market.loss(float(self.demand @ market.prices), self.probability)


class Seen(NamedTuple):
    """The measured accuracy of m configurations of one query."""

    configuration: Ints  # indices, of shape (m,)
    accuracy: Floats  # means, of shape (m,)
    variance: Floats  # variances of the means, of shape (m,)
    items: Floats  # numbers of items, of shape (m,)
    apart: bool = False  # whether no item was measured in two configurations


@dataclass(frozen=True, slots=True)
class History:
    """The final beliefs of a query's surrogates, about C configurations of N operators."""

    dataset: str
    content: Floats  # mean of its items' features, of shape (F,)
    accuracy: Singles  # mean accuracy, of shape (C,)
    log_time: Singles  # log of operator time on profiling hardware in s, of shape (C, N)
    measured: int  # number of configurations profiled
    accuracy_sd: Singles | None = None  # deviation of the accuracy, of shape (C,), if it is kept
    seen: Seen | None = None  # what was measured, if queries share a model


@dataclass(frozen=True)
class SearchState:
    """The state of the search for one query."""

    profiled: Mapping[int, ProfiledConfig] = field(default_factory=dict)  # by configuration index
    spent_s: float = 0.0  # planning seconds charged to searches and confirmation
    exhausted: bool = False  # further search is not worthwhile, or has no budget
    matured: bool = False  # the query's own models have replaced histories
    kept: bool = False  # ``history`` covers all profiles of the present content
    slowness: Slowness = Slowness()
    offers: Sequence[Offer] = ()  # by rising loss; infeasible only if all are
    history: History | None = None  # None before the first profiling

    @property
    def items(self) -> int:
        """Total number of measured items over all configurations."""
        return sum(seen.count for seen in self.profiled.values())

    def over(self, budget_s: float) -> bool:
        """Return whether no further search is worthwhile, or the budget is spent."""
        return self.exhausted or self.spent_s >= budget_s

    @cached_property
    def thinnest(self) -> float:
        """The least use of the backhaul by an offer that uses it, or 0 if none does."""
        shares = (offer.uses.backhaul for offer in self.offers)
        return min((share for share in shares if share > 0), default=0.0)


class Candidates(NamedTuple):
    """The k plans from which a matching chooses for a query; see `Offer` and `Uses`."""

    configuration: Ints  # of shape (k,)
    number: Ints  # of shape (k,)
    probability: Floats  # probability of meeting the SLO, of shape (k,)
    station: Ints  # of shape (k, N)
    operator_key: Ints  # of shape (k, N)
    filled: Floats  # of shape (k, N)
    backhaul: Floats  # of shape (k,)


SEARCH, SERVICE, ORDERED = "compass search", "compass service", "compass ordered"

QUERY_RECORDS = (IN_VAIN, SEARCH, SERVICE, ORDERED)
"""Keys of the records that belong to single queries; see ``Planner.query_records``."""


@dataclass(frozen=True)
class ActivePlan:
    """A plan ordered for a query, with the predicted times of an average request."""

    plan: Plan
    since_s: float  # time at which it was ordered
    device_s: float  # seconds on the device
    links_s: float  # seconds on links, including propagation
    elsewhere_s: float  # seconds on servers, including waits at the planned load
    uses: Uses
    number: int  # index of the plan in the query's view
    judged_s: float = 0.0  # end of the last window that led to a reaction
    # The plan that serves until this is active, or if it is refused.
    before: "ActivePlan | None" = None


@dataclass(frozen=True)
class ServiceState:
    """What is known about the deployment and service of one query."""

    ordered: ActivePlan | None = None  # the last order
    poor: Plan | None = None  # the active plan, if it was last judged infeasible
    refused: Sequence[Plan] = ()  # plans of its last refused bid


def search_state(context: PlanningContext, query: Query) -> SearchState:
    """Return the state of a query's search; this call begins a search if none is in progress."""
    known: SearchState | None = context.recall((SEARCH, query.id), query)
    return known or SearchState()


def seen_search_state(context: PlanningContext, query: int) -> SearchState | None:
    """Return the state of a query's search as far as it is visible to other queries, or None."""
    known: SearchState | None = context.recall((SEARCH, query))
    return known


def seen_search_states(
    context: PlanningContext, queries: Iterable[int]
) -> Iterator[SearchState | None]:
    """Yield the `seen_search_state` of each query."""
    return context.bulk.recall_each((SEARCH, query) for query in queries)


def search_settled(context: PlanningContext, queries: Sequence[int]) -> list[bool]:
    """Return whether all records of each query's search are visible to others."""
    return context.bulk.settled([(SEARCH, query) for query in queries])


def keep_search_state(context: PlanningContext, query: Query, state: SearchState) -> None:
    """Write a query's search state, which others see once simulated time reaches the search's."""
    context.remember((SEARCH, query.id), state, query)


def publish_search_state(context: PlanningContext, query: int, state: SearchState) -> None:
    """Write a query's search state so that others see it at once."""
    context.remember((SEARCH, query), state)


def service_state(context: PlanningContext, query: int) -> ServiceState:
    """Return the `ServiceState` of a query."""
    known: ServiceState | None = context.recall((SERVICE, query))
    return known or ServiceState()


def update_service(context: PlanningContext, query: int, **changes: Any) -> None:
    """Replace the given fields of a query's `ServiceState`."""
    context.remember((SERVICE, query), replace(service_state(context, query), **changes))


def last_order_s(context: PlanningContext, query: int) -> float | None:
    """Return when the planner gave the last order that was carried out, or None."""
    given_s: float | None = context.recall((ORDERED, query))
    return given_s


def keep_order(context: PlanningContext, query: Query, given_s: float) -> None:
    """Record an order; the record becomes visible when the order is carried out."""
    context.remember((ORDERED, query.id), given_s, query)


def publish_order(context: PlanningContext, query: int, given_s: float) -> None:
    """Record an order that has been carried out already."""
    context.remember((ORDERED, query), given_s)
