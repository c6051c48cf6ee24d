"""One call of a planner: its time, its searches, its orders, and its errors."""

import inspect
from dataclasses import dataclass, field
from threading import get_ident

from scenarios.queries import Query
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError
from sim.api.estimate import Estimate, Measurement
from sim.api.plan import Plan
from sim.api.planner import Planner
from sim.catalogue.service_times import RefusalError
from sim.cluster.queries import QueryState
from sim.planning.guard import Guard
from sim.planning.plan_rules import check_plan
from sim.planning.profiling_bench import ProfilingBench
from sim.planning.search_clock import SearchClock
from sim.planning.service import PlanFigures, PlanningService
from sim.safe_text import class_name

MOST_CALLS = 1_000_000
"""Largest number of operations in one call of ``plan``; a call with more counts as endless."""

MOST_CALLS_PER_SEARCH = 50_000
"""Largest number of operations in one query's search, several times that of a full enumeration."""


@dataclass(frozen=True, slots=True)
class DeploymentOrder:
    """A planner's order to deploy a plan for a query, or to release its deployment."""

    query: int  # id of the query
    plan: Plan | None  # the plan to deploy, or None to release the query's deployment
    search: SearchClock  # the search that ordered it

    @property
    def at_ns(self) -> int:
        """The time at which the order is carried out: the search's clock at the end of the call."""
        return self.search.clock_ns


@dataclass(eq=False)
class PlanningCall:
    """The state of one call, which the context, its world and its bulk operations share."""

    service: PlanningService  # the service that implements the planning context
    now_ns: int  # time of the trigger
    budget_s: float  # planning seconds of each search
    sees_truth: bool = False  # whether the planner declares that it sees the truth
    profiles_ahead: bool = True  # whether data sets are profiled before the run
    # The searches that the planner began, with their charges, and its orders, by query id.
    searches: dict[int, SearchClock] = field(init=False, default_factory=dict)
    orders: dict[int, DeploymentOrder] = field(init=False, default_factory=dict)
    # The numbers of machines to keep on standby, by node.
    standby: dict[str, int] = field(init=False, default_factory=dict)
    _calls: int = field(init=False, default=0)
    _thread: int = field(init=False, default_factory=get_ident)
    _closed: bool = field(init=False, default=False)

    def run(self, planner: Planner, context: PlanningContext, guard: Guard) -> BaseException | None:
        """Call a planner; return the exception that it raised, if any.

        An exception cancels all orders of the call.
        """
        returned, error = guard.run(lambda: planner.plan(context))
        self._closed = True
        if error is None and returned is not None:
            error = PlannerError(wrong_value(returned))
        if error is not None:
            self.orders.clear()
            self.standby.clear()
        return error

    def count(self) -> None:
        """Count a planner's operation; raise an error if it is one too many or the call is over."""
        check_usable(self._thread, self._closed)
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise PlannerError(
                f"more than {MOST_CALLS:,} calls of the planning context in one call of plan"
            )

    def state(self, query: Query) -> QueryState:
        """Return the state of a living query."""
        state = self.service.registry.living.get(query.id)
        if state is None or state.query is not query:
            raise PlannerError(f"query {query.id}: unknown or departed; see waiting and running")
        return state

    def search(self, query: Query) -> SearchClock:
        """Return the query's search in this call; create it at the query's first operation."""
        self.count()
        search = self.searches.get(query.id)
        if search is None:
            state = self.state(query)
            if state.searching:
                raise PlannerError(f"query {query.id}: an earlier search is still under way")
            background = state.plan is not None
            search = self.service.new_search(self.now_ns, self.budget_s, query.dataset, background)
            self.searches[query.id] = search
        search.calls += 1
        if search.calls > MOST_CALLS_PER_SEARCH:
            raise PlannerError(
                f"query {query.id}: more than {MOST_CALLS_PER_SEARCH:,} calls of the planning "
                f"context in one search, with {self.service.remaining_s(search):.3g} s of its "
                "budget left; stop when context.remaining(query) is 0, or when every candidate was "
                "looked at"
            )
        return search

    def order(self, query: Query, plan: Plan | None) -> None:
        """Store an order; it replaces an earlier order for the query."""
        self.orders[query.id] = DeploymentOrder(query.id, plan, self.search(query))

    def figures(self, query: Query, plan: Plan) -> PlanFigures:
        """Return a plan's nominal figures; raise `PlannerError` if no machine could run it."""
        if plan not in self.service.valid_plans:
            check_plan(plan, self.service.nominal)
            self.service.valid_plans.add(plan)
        try:
            return self.service.figures(query, plan)
        except RefusalError as refusal:
            raise PlannerError(f"query {query.id}: {plan}: {refusal}") from None

    def estimate(
        self, query: Query, plan: Plan | None, measurement: Measurement, reused: int
    ) -> Estimate:
        """Return the estimate of a plan, or of a configuration alone if ``plan`` is None."""
        if plan is None:
            return Estimate(measurement, reused, query.slo.latency_quantile)
        figures = self.figures(query, plan)
        return Estimate(
            measurement,
            reused,
            query.slo.latency_quantile,
            figures.latency_factors,
            figures.whole.fixed_s,
            figures.whole.access_s + figures.whole.backhaul_s,
            figures.cost_usd_per_hour,
            figures.ways,
        )

    def offline(self, dataset: str) -> tuple[ProfilingBench, SearchClock]:
        """Return a data set's bench and its offline search, which reaches now unless ahead."""
        self.count()
        self.check_dataset(dataset)
        since_ns = None if self.profiles_ahead else self.now_ns
        return self.service.offline(dataset, self.budget_s, since_ns)

    def check_dataset(self, dataset: str) -> None:
        """Raise `PlannerError` if the application has no data set of this name."""
        names = tuple(self.service.application.datasets)
        if dataset not in names:
            raise PlannerError(f"data set {dataset!r}: choose one of {', '.join(names)}")


def check_usable(thread: int, closed: bool) -> None:
    """Raise `PlannerError` if a call of ``plan`` is over, or is not in this thread."""
    if closed:
        raise PlannerError(
            "this context's call is over: a planner must not keep the planning context"
        )
    if thread != get_ident():
        raise PlannerError("the planning context works only in the thread that calls plan")


ASYNC = "plan must not be async: write def plan(self, context), without async"
YIELDS = "plan must not yield: it orders with context.deploy(query, plan)"


def wrong_kind(planner: Planner) -> str | None:
    """Return a sentence if a planner's method ``plan`` is no plain method; otherwise None."""
    plan = type(planner).plan
    if inspect.iscoroutinefunction(plan) or inspect.isasyncgenfunction(plan):
        return ASYNC
    return YIELDS if inspect.isgeneratorfunction(plan) else None


def wrong_value(returned: object) -> str:
    """Return a sentence that says why a method ``plan`` must not return a value."""
    if inspect.iscoroutine(returned) or inspect.isasyncgen(returned):
        if inspect.iscoroutine(returned):
            returned.close()  # Otherwise, Python warns that it was never awaited.
        return ASYNC
    if inspect.isgenerator(returned):
        return YIELDS
    return (
        "plan must return None and order with context.deploy(query, plan) and "
        f"context.release(query); it returned a value of type {class_name(returned)}"
    )
