"""The planning context: what a planner sees of the world, and what it can do in one call.

A deployed planner could know all of it: the catalogue, its own profiling results and telemetry.
True speeds of devices and links, the content of queries and the future stay hidden. Operations on
behalf of a query advance the clock of that query's *search* by the charges of ``sim.api.charges``.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Protocol

from scenarios.applications.pipeline import Configuration
from scenarios.numerics import Ints
from scenarios.queries import Query
from sim.api.bulk import BulkOperations
from sim.api.estimate import Estimate
from sim.api.plan import Plan
from sim.api.prediction import Prediction
from sim.api.window_report import WindowReport
from sim.api.world_state import WorldState


class PlanningContext(Protocol):
    """The interface to the world during one planning call.

    Operations raise `PlannerError` once the call is over, for a query that has departed or whose
    search of an earlier call is under way, and for arguments that make no sense.

    Attributes:
        trigger: why the planner is called: ``arrival``, ``departure``, ``refusal``, ``failure``,
            ``recovery`` or ``tick``.
        bulk: operations on many plans, queries or records at once.
        world: the application, the cluster, and what is deployed.
    """

    trigger: str
    bulk: BulkOperations
    world: WorldState

    # Queries

    @property
    def now_s(self) -> float:
        """Time of the trigger in seconds."""

    @property
    def waiting(self) -> tuple[Query, ...]:
        """Queries that need a plan, in order of arrival."""

    @property
    def running(self) -> tuple[Query, ...]:
        """Queries that have a deployment and no search under way, in order of arrival."""

    def plan_of(self, query: Query) -> Plan | None:
        """Return the plan that serves a query, else the one that is being loaded, else None."""

    def telemetry(self, query: Query) -> tuple[WindowReport, ...]:
        """Return the last 10 judged windows of a query, oldest first."""

    # Planning, charged to the query's search

    def candidates(self, query: Query, order: str = "cost") -> Iterator[Plan]:
        """Yield the plans that the cluster and the query's device can run.

        They have one replica per operator and no batching, except for language models. The order
        is ``"cost"``, list price and then the richest configuration, or ``"enumeration"``.
        """

    def profile(self, of: Query | str, what: Plan | Configuration, samples: int | Ints) -> Estimate:
        """Measure a configuration on items of a query's data, or of a data set.

        Only what was not measured before runs and is charged: n items on w workers take
        ceil(n / w) times one item's time, starting at the first operator whose own or upstream
        knobs differ from all earlier runs. If the budget does not suffice, fewer items are
        measured, perhaps none; check ``count``.

        Args:
            of: a waiting or running query; or a data set's name, to profile its own mixture of
                content offline. Each data set has one budget of ``budget_s`` and its own lane.
            what: a plan, or a configuration alone; for a data set a configuration.
            samples: how many items the estimate should rest on, or their numbers, shape (m,).

        Returns:
            The estimate from all items measured so far.
        """

    def measure_live_accuracy(self, query: Query, samples: int) -> Estimate:
        """Measure the active configuration of a running query on fresh, labelled items.

        Nothing else shows accuracy in operation. It is charged like profiling on new data, and
        adds nothing to what was profiled.
        """

    def resample(self, query: Query) -> None:
        """Take new data from a query's stream for profiling, and drop results on the old data."""

    def predict(self, query: Query, plan: Plan, estimate: Estimate | None = None) -> Prediction:
        """Predict latency, accuracy and cost of a plan under the present load.

        It rests on an estimate of the plan's configuration, by default what was profiled for this
        query. See ``sim.planning.queueing`` for the model.
        """

    def fits(self, query: Query, plan: Plan, beside: Sequence[tuple[Query, Plan]] = ()) -> bool:
        """Return whether the cluster has room for a plan now.

        The plan that a query has keeps its room meanwhile. ``beside`` lists orders that hold no
        room yet, such as those given earlier in this call.
        """

    def remaining(self, query: Query) -> float:
        """Return the planning seconds that the query's search has left."""

    def charge(self, query: Query, operation: str = "step", count: int = 1) -> None:
        """Charge ``count`` operations of the planner's own, by ``sim.api.charges.CHARGES_S``."""

    # Orders

    def deploy(self, query: Query, plan: Plan) -> None:
        """Order a plan. The last order for a query counts, at the end of its search.

        The cluster then checks whether the plan fits. If not, it refuses the deployment, and calls
        the planner at the next tick.
        """

    def release(self, query: Query) -> None:
        """Order that a query gives up its deployment at the end of its search."""

    # Memory of the planner

    def remember(self, key: Hashable, value: Any, query: Query | None = None) -> None:
        """Write a record into the planner's memory.

        The value can be anything that can be pickled; do not change it afterwards. With a query,
        others see the record once that query's search has reached its present clock.
        """

    def recall(self, key: Hashable, query: Query | None = None) -> Any | None:
        """Return the latest visible record, or None. A query's search also sees its own records."""
