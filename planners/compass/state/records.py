"""What Compass remembers between calls: the only module that knows the keys of its memory.

Of a query there are two records. Its `SearchState` is written at the clock of its search, so that
other queries see it once the search has got that far. Its `ServiceState` is known at once. Merging
them would show the one too early or the other too late. All queries share a `SharedState`, and
those of a data set a `DatasetState`.
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
    """An ordered plan, and what is predicted of a mean request.

    Args:
        plan: the plan.
        since_s: when it was ordered.
        device_s: predicted time on the device.
        links_s: predicted time on links, propagation included.
        elsewhere_s: predicted time on servers, with waits at the load planned for.
        uses: the stations that it uses.
        number: number of the plan in the query's view.
        judged_s: end of the last window that was acted upon.
        before: the same of what serves until the plan is in force, and if it is refused.
    """

    plan: Plan
    since_s: float
    device_s: float
    links_s: float
    elsewhere_s: float
    uses: Uses
    number: int
    judged_s: float = 0.0
    before: "InForce | None" = None


@dataclass(frozen=True)
class ServiceState:
    """How one query is served.

    Args:
        ordered: the last plan that was ordered for it.
        audits: what audits of its accuracy have shown.
        poor: the plan that was not believed to serve it well when it was last looked at.
        refused: the plans that it bid when it was last refused; few of them are ever looked at.
    """

    ordered: InForce | None = None
    audits: "Audits | None" = None
    poor: Plan | None = None
    refused: Sequence[Plan] = ()


@dataclass(frozen=True)
class SharedState:
    """What all queries share.

    Args:
        looked_s: when deployments were last looked after.
        repacked_s: when queries were last matched anew; None for never.
        repack: what that found; None for nothing.
        refused: what was refused, in parts that the next tick joins: the last that names a query
            counts.
        settled: queries whose plan can tell no more of their device, by id.
        plans: the plans in force that the last call saw.
        standing: the stations that serve them.
    """

    looked_s: float = 0.0
    repacked_s: float | None = None
    repack: "PendingRepack | None" = None
    refused: "Sequence[Refused]" = ()
    settled: "Mapping[int, Settled]" = field(default_factory=dict)
    plans: "SeenPlans | None" = None
    standing: Standing | None = None


@dataclass(frozen=True)
class DatasetState:
    """What the queries of a data set share.

    Args:
        drifted_s: when the content of queries was lately found to have changed.
        strata: its strata, by their number.
        offline: the history of its offline profile, by items for each configuration.
        departed: histories of departed queries, by the least configurations they profiled.
    """

    drifted_s: Sequence[float] = ()
    strata: "Mapping[int, Strata]" = field(default_factory=dict)
    offline: Mapping[int, History] = field(default_factory=dict)
    departed: "Mapping[int, DepartedHistories]" = field(default_factory=dict)


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
    """Yield the same of many queries."""
    return context.bulk.recall_each((SEARCH, query) for query in queries)


def search_settled(context: PlanningContext, queries: Sequence[int]) -> list[bool]:
    """Return of which queries everybody sees all that their searches wrote."""
    return context.bulk.settled([(SEARCH, query) for query in queries])


def keep_search_state(context: PlanningContext, query: Query, state: SearchState) -> None:
    """Write what a search knows; others see it once the search has reached its present clock."""
    context.remember((SEARCH, query.id), state, query)


def publish_search_state(context: PlanningContext, query: int, state: SearchState) -> None:
    """Write what is known of a query; everybody sees it at once."""
    context.remember((SEARCH, query), state)


def service_state(context: PlanningContext, query: int) -> ServiceState:
    """Return how a query is served."""
    known: ServiceState | None = context.recall((SERVICE, query))
    return known or ServiceState()


def update_service(context: PlanningContext, query: int, **changes: Any) -> None:
    """Change fields of a query's `ServiceState`."""
    context.remember((SERVICE, query), replace(service_state(context, query), **changes))


def last_order_s(context: PlanningContext, query: int) -> float | None:
    """Return when the last order of a query that was carried out was given; None if none was."""
    given_s: float | None = context.recall((ORDERED, query))
    return given_s


def keep_order(context: PlanningContext, query: Query, given_s: float) -> None:
    """Note an order at the clock of the query's search, which is when it is carried out."""
    context.remember((ORDERED, query.id), given_s, query)


def publish_order(context: PlanningContext, query: int, given_s: float) -> None:
    """Note an order that was carried out already."""
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
