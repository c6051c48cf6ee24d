"""What Compass remembers between calls: the only module that knows the keys of its memory.

A query has two records. Its `SearchState` becomes visible to others at the clock of its search, its
`ServiceState` at once. All queries share a `SharedState`, those of a data set a `DatasetState`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from planners.common.retries import IN_VAIN
from planners.compass.state.known import History, SearchState
from planners.compass.state.pools import Standing, Uses
from scenarios.queries import Query
from sim import Plan, PlanningContext

if TYPE_CHECKING:  # The modules of these types read records themselves.
    from planners.compass.profiling.strata import Strata
    from planners.compass.runtime.audits import Audits
    from planners.compass.runtime.fleet import SeenPlans
    from planners.compass.runtime.watch import Settled
    from planners.compass.scheduling.rebidding import Refused
    from planners.compass.scheduling.repacking import PendingRepack
    from planners.compass.search.history import DepartedHistories

SEARCH, SERVICE, ORDERED = "compass search", "compass service", "compass ordered"
SHARED, DATASET = "compass shared", "compass dataset"

QUERY_RECORDS = (IN_VAIN, SEARCH, SERVICE, ORDERED)
"""Names of the records of single queries; see ``Planner.query_records``."""


@dataclass(frozen=True)
class InForce:
    """An ordered plan, and the predicted times of a mean request."""

    plan: Plan
    since_s: float  # when it was ordered
    device_s: float  # on the device
    links_s: float  # on links, propagation included
    elsewhere_s: float  # on servers, with waits at the load planned for
    uses: Uses
    number: int  # of the plan in the query's view
    judged_s: float = 0.0  # end of the last window acted upon
    before: "InForce | None" = None  # what serves until this is in force, or if it is refused


@dataclass(frozen=True)
class ServiceState:
    """How one query is served."""

    ordered: InForce | None = None  # the last order
    audits: "Audits | None" = None  # of its accuracy
    poor: Plan | None = None  # plan in force, if last judged infeasible
    refused: Sequence[Plan] = ()  # plans of its last refused bid


@dataclass(frozen=True)
class SharedState:
    """What all queries share."""

    looked_s: float = 0.0  # last look at deployments
    repacked_s: float | None = None  # last regrouping attempt
    repack: "PendingRepack | None" = None  # the regrouping under way
    refused: "Sequence[Refused]" = ()  # in parts; the last that names a query counts
    settled: "Mapping[int, Settled]" = field(default_factory=dict)  # by query
    plans: "SeenPlans | None" = None  # plans in force at the last call
    standing: Standing | None = None  # the stations that serve them


@dataclass(frozen=True)
class DatasetState:
    """What the queries of a data set share."""

    drifted_s: Sequence[float] = ()  # recent times at which content was found to have changed
    strata: "Mapping[int, Strata]" = field(default_factory=dict)  # by their number
    offline: Mapping[int, History] = field(default_factory=dict)  # by items for each configuration
    departed: "Mapping[int, DepartedHistories]" = field(default_factory=dict)  # by least measured


def search_state(context: PlanningContext, query: Query) -> SearchState:
    """Return what a query's own search knows; this begins a search if none is under way."""
    known: SearchState | None = context.recall((SEARCH, query.id), query)
    return known or SearchState()


def seen_search_state(context: PlanningContext, query: int) -> SearchState | None:
    """Return what everybody sees of a query's search, or None."""
    known: SearchState | None = context.recall((SEARCH, query))
    return known


def seen_search_states(
    context: PlanningContext, queries: Iterable[int]
) -> Iterator[SearchState | None]:
    """Yield `seen_search_state` of many queries."""
    return context.bulk.recall_each((SEARCH, query) for query in queries)


def search_settled(context: PlanningContext, queries: Sequence[int]) -> list[bool]:
    """Return for each query whether all that its search wrote is visible."""
    return context.bulk.settled([(SEARCH, query) for query in queries])


def keep_search_state(context: PlanningContext, query: Query, state: SearchState) -> None:
    """Write a query's search state, visible to others once its search has reached its clock."""
    context.remember((SEARCH, query.id), state, query)


def publish_search_state(context: PlanningContext, query: int, state: SearchState) -> None:
    """Write a query's search state, visible at once."""
    context.remember((SEARCH, query), state)


def service_state(context: PlanningContext, query: int) -> ServiceState:
    """Return how a query is served."""
    known: ServiceState | None = context.recall((SERVICE, query))
    return known or ServiceState()


def update_service(context: PlanningContext, query: int, **changes: Any) -> None:
    """Change fields of a query's `ServiceState`."""
    context.remember((SERVICE, query), replace(service_state(context, query), **changes))


def last_order_s(context: PlanningContext, query: int) -> float | None:
    """Return when the last order of a query that was carried out was given, or None."""
    given_s: float | None = context.recall((ORDERED, query))
    return given_s


def keep_order(context: PlanningContext, query: Query, given_s: float) -> None:
    """Note an order at the clock of the query's search, when it is carried out."""
    context.remember((ORDERED, query.id), given_s, query)


def publish_order(context: PlanningContext, query: int, given_s: float) -> None:
    """Note an order that has been carried out."""
    context.remember((ORDERED, query), given_s)


def shared(context: PlanningContext) -> SharedState:
    """Return what all queries share."""
    known: SharedState | None = context.recall(SHARED)
    return known or SharedState()


def update_shared(context: PlanningContext, **changes: Any) -> None:
    """Change fields of the `SharedState`."""
    context.remember(SHARED, replace(shared(context), **changes))


def dataset_state(context: PlanningContext, dataset: str) -> DatasetState:
    """Return what the queries of a data set share."""
    known: DatasetState | None = context.recall((DATASET, dataset))
    return known or DatasetState()


def update_dataset(context: PlanningContext, dataset: str, **changes: Any) -> None:
    """Change fields of a `DatasetState`."""
    context.remember((DATASET, dataset), replace(dataset_state(context, dataset), **changes))
