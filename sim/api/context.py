"""The planning context: what a planner can observe and do during one call.

The planning context shows only what a planner in a real system could know: the catalogue, its own
profiling results and telemetry. The true speeds of devices and links, the content of queries and
the future are hidden. Operations for a query advance the clock of that query's *search* by the
durations in ``sim.api.charges``.
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

    Operations raise `PlannerError` if the call is over, if the query has departed, if the query's
    search from an earlier call is not over, or if an argument is invalid.

    Attributes:
        trigger: the reason for the call: ``arrival``, ``departure``, ``refusal``, ``failure``,
            ``recovery`` or ``tick``.
        bulk: operations on many plans, queries or records at once.
        world: the application, the cluster, and the deployed plans.
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
        """Return a query's active plan, or else its plan that is being loaded, or else None."""

    def telemetry(self, query: Query) -> tuple[WindowReport, ...]:
        """Return the last 10 judged windows of a query, oldest first."""

    # Planning, charged to the query's search

    def candidates(self, query: Query, order: str = "cost") -> Iterator[Plan]:
        """Yield the candidate plans: those that the cluster and the query's device can run.

        In a candidate, each operator has one replica, and only language models serve several
        requests at once. With order ``"cost"``, candidates are sorted by ascending list price, and
        among equal prices the richest configuration comes first. With order ``"enumeration"``, they
        are not sorted.
        """

    def profile(self, of: Query | str, what: Plan | Configuration, samples: int | Ints) -> Estimate:
        """Measure a configuration on items of a query's data or on items of a data set.

        Only items that were not measured before are run and charged: n items on w workers take
        ceil(n / w) times the time of one item. The time of an item is counted from the first
        operator whose own or upstream knobs differ from those of all earlier runs. If the remaining
        budget is too small, fewer items or none are measured; the estimate's ``count`` tells how
        many there are.

        Args:
            of: a waiting or running query, or the name of a data set. A data set is profiled
                offline, with its own mixture of content. Each data set has one budget of
                ``budget_s`` and its own lane. If the planner sets ``profiles_ahead = False``, this
                begins now and takes as long as it is charged.
            what: a plan or a configuration; for a data set, it must be a configuration.
            samples: the total number of items that the estimate should use, or an array of item
                numbers of shape (m,).

        Returns:
            The estimate from all items measured so far.
        """

    def measure_live_accuracy(self, query: Query, samples: int) -> Estimate:
        """Measure the accuracy of a running query's active configuration on new, labelled items.

        This is the only way to observe accuracy in operation. The measurement is charged like
        profiling on new data, and is not added to the profiling results.
        """

    def resample(self, query: Query) -> None:
        """Replace a query's profiling data by new data of its stream, and drop old results."""

    def predict(self, query: Query, plan: Plan, estimate: Estimate | None = None) -> Prediction:
        """Predict the latency, the accuracy and the cost of a plan under the present load.

        The prediction uses ``estimate`` for the plan's configuration; by default, it uses the
        profiling results of this query. See ``sim.planning.queueing`` for the model.
        """

    def fits(self, query: Query, plan: Plan, beside: Sequence[tuple[Query, Plan]] = ()) -> bool:
        """Return whether the cluster's free resources are now enough for a plan.

        The resources of the query's present plan do not count as free. ``beside`` lists plans whose
        resources do not count as free either, such as plans ordered earlier in this call, for which
        the cluster has not reserved resources yet.
        """

    def ready_s(self, query: Query, plan: Plan) -> float | None:
        """Return in how many seconds a plan could serve if it were carried out now.

        Until then, machines boot, GPU instances are created and models are loaded, for the times in
        ``world.cluster``. The result is None if the plan does not fit. It costs as much as `fits`.
        """

    def remaining(self, query: Query) -> float:
        """Return the seconds for which the query's search can still profile.

        The wait that its next run would have for a lane is subtracted already.
        """

    def charge(self, query: Query, operation: str = "step", count: int = 1) -> None:
        """Charge ``count`` operations of the planner itself, at the costs in ``CHARGES_S``."""

    # Orders

    def deploy(self, query: Query, plan: Plan) -> None:
        """Order the deployment of a plan at the end of the query's search.

        A later order for the query replaces an earlier one. At the end of the search, the cluster
        checks whether the plan fits. If it does not fit, the cluster refuses the deployment, and
        the planner is called at the next tick.
        """

    def release(self, query: Query) -> None:
        """Order the cluster to end a query's deployment when the query's search ends."""

    def keep_standby(self, node: str, machines: int) -> None:
        """Order the cluster to keep a number of a node's machines on standby.

        Machines on standby are rented even if nothing uses them, so they need no time to boot when
        they are needed. At first, their number is ``standby`` of the node. The order is carried out
        when the call ends, and costs no planning time. Machines that are already rented join
        first. The others begin to boot, and are billed from now on. If the number becomes smaller,
        unused machines leave first, and are no longer billed. A later order for the node
        replaces an earlier one.
        """

    # Memory of the planner

    def remember(self, key: Hashable, value: Any, query: Query | str | None = None) -> None:
        """Write a record into the planner's memory.

        The value can be any object that can be pickled; do not change it afterwards. If a query is
        given, other searches see the record only from the time that the query's search clock shows
        now. If the name of a data set is given and the planner sets ``profiles_ahead = False``, all
        searches see the record from the time at which the profiling of the data set so far ends.
        """

    def recall(self, key: Hashable, query: Query | None = None) -> Any | None:
        """Return a key's latest visible record, or None; a search also sees its own records."""
