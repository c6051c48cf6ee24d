"""The state of every query, which is waiting, searching, running or departed."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scenarios.queries import Query, QueryTruth
from sim.api.plan import Plan
from sim.cluster.machines import Station

LISTED = 1000
"""Number of departed queries that are listed, for planners that learn from them. Planners' records
of a query are kept as long as the query is listed."""

DECISIVE = frozenset({"active", "loading", "searching"})
"""Attributes of a query's state that determine the lists to which the query belongs."""


@dataclass(eq=False)
class Deployment:
    """A deployed plan, which is loading, active or draining."""

    number: int  # unique in the run
    query: int  # id of its query
    plan: Plan
    stations: list[Station]  # the station of each operator
    active_from_ns: int  # the time at which it becomes active
    drain_until_ns: int | None = None  # the time by which draining ends; None if not draining


@dataclass(eq=False)
class QueryState:
    """The state of one living or departed query."""

    query: Query  # the declared properties of the query
    truth: QueryTruth  # the true properties of the query, which planners cannot see
    active: Deployment | None = None  # the deployment that serves the query
    loading: Deployment | None = None  # a deployment whose models are being loaded
    searching: bool = False  # whether a search for the query is under way in simulated time
    departed: bool = False  # whether the query has departed
    # The time at which each of its deployments became active, by number.
    active_since_ns: dict[int, int] = field(default_factory=dict)
    # The egress price of an answer that leaves the cloud, by deployment.
    egress_usd: dict[int, float] = field(default_factory=dict)
    # Answers charged so far, by deployment.
    egress_charged: dict[int, int] = field(default_factory=dict)
    planning_s: float = 0.0  # planning seconds charged
    profiling_s: float = 0.0  # the part of ``planning_s`` that was charged for profiling
    surrogates_s: float = 0.0  # the part that was charged for steps of surrogate searches
    profiling_device_s: float = 0.0  # seconds of profiling devices used
    profiling_cost_usd: float = 0.0  # price of these seconds
    _moved: Callable[["QueryState"], None] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; update the registry's lists if the attribute affects them."""
        object.__setattr__(self, name, value)
        if name in DECISIVE and self._moved is not None:
            self._moved(self)

    @property
    def plan(self) -> Plan | None:
        """The active plan, or else the plan that is loading, or else None."""
        deployment = self.active or self.loading
        return None if deployment is None else deployment.plan


class QueryRegistry:
    """The states of all queries, in order of arrival.

    Planners read the lists far more often than queries change state, so the lists are updated at
    each change. ``living`` has the states of living queries by id. ``plans`` and ``loading`` have
    plans by query id. ``departed`` has the `LISTED` queries that departed last.
    """

    def __init__(self) -> None:
        self.living: dict[int, QueryState] = {}
        self.plans: dict[int, Plan] = {}
        self.loading: dict[int, Plan] = {}
        self.departed: deque[Query] = deque()
        self._arrived = 0
        self._places: dict[int, tuple[int, _Line]] = {}
        self._waiting, self._searching, self._running = _Line(), _Line(), _Line()

    def arrive(self, state: QueryState) -> None:
        """Register a new query."""
        self._arrived += 1
        self.living[state.query.id] = state
        self._waiting.add(self._arrived, state.query)
        self._places[state.query.id] = self._arrived, self._waiting
        self._moved(state)
        state._moved = self._moved

    def depart(self, query: int) -> Query | None:
        """Remove a query; return the query that it displaces from ``departed``, if any."""
        state = self.living.pop(query)
        state._moved = None
        number, line = self._places.pop(query)
        line.remove(number)
        self.plans.pop(query, None)
        self.loading.pop(query, None)
        state.departed = True
        self.departed.append(state.query)
        return self.departed.popleft() if len(self.departed) > LISTED else None

    def _moved(self, state: QueryState) -> None:
        query, plan = state.query.id, state.plan
        if plan is None:
            self.plans.pop(query, None)
            place = self._waiting
        else:
            self.plans[query] = plan
            place = self._running
        if state.loading is None:
            self.loading.pop(query, None)
        else:
            self.loading[query] = state.loading.plan
        if state.searching:
            place = self._searching
        number, before = self._places[query]
        if place is not before:
            before.remove(number)
            place.add(number, state.query)
            self._places[query] = number, place

    @property
    def waiting(self) -> tuple[Query, ...]:
        """Queries that have neither a deployment nor a search under way."""
        return self._waiting.queries

    @property
    def searching(self) -> tuple[Query, ...]:
        """Queries whose search is not over yet in simulated time."""
        return self._searching.queries

    @property
    def running(self) -> tuple[Query, ...]:
        """Queries with an active or loading deployment, and no search under way."""
        return self._running.queries

    @property
    def running_by_id(self) -> Mapping[int, Query]:
        """The queries of `running`, by id."""
        return self._running.by_id


class _Line:
    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._queries: list[Query] = []
        self._shown: tuple[Query, ...] | None = ()
        self._by_id: dict[int, Query] | None = {}

    @property
    def queries(self) -> tuple[Query, ...]:
        if self._shown is None:
            self._shown = tuple(self._queries)
        return self._shown

    @property
    def by_id(self) -> Mapping[int, Query]:
        if self._by_id is None:
            self._by_id = {query.id: query for query in self._queries}
        return self._by_id

    def add(self, number: int, query: Query) -> None:
        at = bisect_left(self._numbers, number)
        if at < len(self._numbers):
            self._by_id = None
        elif self._by_id is not None:
            self._by_id[query.id] = query
        self._numbers.insert(at, number)
        self._queries.insert(at, query)
        self._shown = None

    def remove(self, number: int) -> None:
        at = bisect_left(self._numbers, number)
        if self._by_id is not None:
            del self._by_id[self._queries[at].id]
        del self._numbers[at], self._queries[at]
        self._shown = None
