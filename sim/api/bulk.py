"""Operations of the planning context that handle many plans, queries or records at once."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim.api.choices import DEFAULT_CHOICES, Choices
from sim.api.plan import Plan
from sim.api.plan_view import PlanView
from sim.api.truth import Truth


class BulkOperations(Protocol):
    """The interface ``context.bulk``, for planners that plan for many queries together."""

    @property
    def running_by_id(self) -> Mapping[int, Query]:
        """The queries of ``context.running``, keyed by id, in order of arrival."""

    @property
    def searching(self) -> tuple[Query, ...]:
        """Queries whose search from an earlier call is not over; operations for them fail."""

    def last_departed(self) -> Iterator[Query]:
        """Yield the 1,000 most recently departed queries, the latest one first."""

    def last_counts(self) -> Ints:
        """Return each running query's numbers of requests and of good requests in its last window.

        The shape is (Q, 2), in the order of ``context.running``. Both numbers are 0 if no window of
        the query has been judged.
        """

    def view(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> PlanView:
        """Return the plans that the cluster and the query's device can run, as arrays.

        By default, the plans are those of ``context.candidates`` in its order ``"enumeration"``.
        """

    def truth(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> Truth:
        """Return a living query's present true properties, if the planner sets ``sees_truth``."""

    def features(self, of: Query | str) -> Floats:
        """Return the features of the items on which a query or a data set is profiled.

        The shape is (items, 4). The columns are log size, log output length, and two indicators of
        difficulty.
        """

    def predict_many(
        self,
        query: Query,
        view: PlanView,
        indices: Ints,
        operator_time_s: Floats,
        time_cv: Floats | float,
        load: Literal["present"] | float = "present",
        normalised: Floats | tuple[float, float] = (1.0, 1.0),
        row: Ints | None = None,
        slower: tuple[float, float] = (1.0, 1.0),
        links_slower: float = 1.0,
    ) -> tuple[Floats, Floats]:
        """Predict the latency of K plans, as ``context.predict`` does for one plan.

        Args:
            query: a waiting or running query.
            view: a view of its plans.
            indices: indices of the K plans in the view, of shape (K,).
            operator_time_s: mean time of each operator on profiling hardware, in seconds, of shape
                (K, N), or of shape (N,) if the times are the same for all plans.
            time_cv: coefficient of variation of the pipeline's total time: an array of shape (K,),
                or a number for all plans; see ``Measurement.time_cv``.
            load: ``"present"`` for the present load, or else a utilisation below 1. If it is a
                utilisation, every station off the device is assumed to have it, or a higher one if
                the query alone causes a higher one. The backhaul always has its present load.
            normalised: the factors of ``Measurement.normalised``, of shape (K, 2) or (2,).
            row: index of each plan's row in ``operator_time_s``, ``time_cv`` and ``normalised``, of
                shape (K,), for arrays that have one row per configuration. By default, the arrays
                have one row per plan.
            slower: two factors; the first multiplies operator times on the device, and the second
                multiplies operator times on nodes.
            links_slower: factor that multiplies transmission times of the query's messages,
                propagation delays and batching waits. It does not change the load of the backhaul.

        Returns:
            The mean and the SLO's quantile of latency in seconds, each of shape (K,). Both are
            infinite for a plan that would overload a station or a link.
        """

    def first_that_fits(
        self,
        wanted: Sequence[tuple[Query, Sequence[Plan]]],
        beside: Sequence[tuple[Query, Plan]] = (),
    ) -> list[int | None]:
        """Return, for each query, the index of its first plan that fits, or None if no plan fits.

        Queries are handled in turn: the resources of a plan that fits are reserved while the plans
        of later queries are checked. Each check is charged like a call of ``context.fits``; see
        there for ``beside``.
        """

    def recall_each(self, keys: Iterable[Hashable]) -> Iterator[Any | None]:
        """Yield, for each key, the latest record that all searches can see, or None."""

    def settled(self, keys: Sequence[Hashable]) -> list[bool]:
        """Return, for each key, whether all searches can now see all records of the key."""

    def log_candidate(
        self,
        query: Query,
        plan: Plan,
        role: str,
        latency_s: float,
        accuracy: float,
        price: float | None = None,
        reason: str = "",
    ) -> None:
        """Log, for ``compass-lab explain``, a plan that was considered, without deploying the plan.

        Args:
            query: the query.
            plan: the plan.
            role: ``"feasible"``, ``"offered"``, ``"chosen"``, ``"refused"``, or another word that
                the planner uses.
            latency_s: predicted SLO quantile of latency, in seconds.
            accuracy: predicted mean accuracy.
            price: cost of the plan at the prices of resource pools, if the planner uses such
                prices.
            reason: the reason for the role, as one sentence.
        """
