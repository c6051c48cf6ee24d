"""Where every query stands: waiting, searching, running or departed."""

from collections import deque
from dataclasses import dataclass, field

from scenarios.queries import Query, QueryTruth
from sim.machines import Station
from sim.plan import Plan


@dataclass(eq=False)
class Deployment:
    """A plan in force, or on its way into force or out of it.

    Args:
        number: unique in the run.
        query: id of its query.
        plan: the plan.
        stations: what each operator got.
        in_force_ns: when it comes into force.
        drain_until_ns: when draining is cut short; None unless replaced.
    """

    number: int
    query: int
    plan: Plan
    stations: list[Station]
    in_force_ns: int
    drain_until_ns: int | None = None


@dataclass(eq=False)
class QueryState:
    """One living or departed query.

    Args:
        query: what it declares.
        truth: what only the world knows.
        in_force: the deployment that serves it.
        coming: a deployment whose models are being loaded.
        searching: whether a search for it is under way in simulated time.
        departed: whether it is gone.
        in_force_since_ns: when each of its deployments came into force, by number.
        egress_usd: what an answer costs that leaves the cloud, by deployment.
        egress_charged: answers charged so far, by deployment.
        planning_s: planning seconds charged.
        profiling_device_s: seconds of profiling devices used.
    """

    query: Query
    truth: QueryTruth
    in_force: Deployment | None = None
    coming: Deployment | None = None
    searching: bool = False
    departed: bool = False
    in_force_since_ns: dict[int, int] = field(default_factory=dict)
    egress_usd: dict[int, float] = field(default_factory=dict)
    egress_charged: dict[int, int] = field(default_factory=dict)
    planning_s: float = 0.0
    profiling_device_s: float = 0.0

    @property
    def plan(self) -> Plan | None:
        """The plan in force, or else the one on its way into force."""
        deployment = self.in_force or self.coming
        return None if deployment is None else deployment.plan


class QueryBoard:
    """The states of all queries, in order of arrival."""

    def __init__(self) -> None:
        self.living: dict[int, QueryState] = {}
        self.departed: deque[Query] = deque(maxlen=1000)

    def arrive(self, state: QueryState) -> None:
        """Put a new query on the board."""
        self.living[state.query.id] = state

    def depart(self, query: int) -> QueryState:
        """Take a query off the board."""
        state = self.living.pop(query)
        state.departed = True
        self.departed.append(state.query)
        return state

    @property
    def waiting(self) -> tuple[Query, ...]:
        """Queries that have no deployment and no search under way."""
        return tuple(
            state.query
            for state in self.living.values()
            if not state.searching and state.plan is None
        )

    @property
    def searching(self) -> tuple[Query, ...]:
        """Queries with a search under way in simulated time."""
        return tuple(state.query for state in self.living.values() if state.searching)

    @property
    def running(self) -> tuple[Query, ...]:
        """Queries with a deployment in force or on its way, and no search under way."""
        return tuple(
            state.query
            for state in self.living.values()
            if not state.searching and state.plan is not None
        )
