"""Operations of the planning context on many plans, queries or records at once."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim.api.choices import DEFAULT_CHOICES, Choices
from sim.api.plan import Plan
from sim.api.plan_view import PlanView
from sim.api.truth import Truth


class BulkOperations(Protocol):
    """``context.bulk``, for planners that plan for many queries together."""

    @property
    def running_by_id(self) -> Mapping[int, Query]:
        """The queries of ``context.running`` by id, in that order."""

    @property
    def searching(self) -> tuple[Query, ...]:
        """Queries whose search of an earlier call is still under way; leave them alone."""

    def last_departed(self) -> Iterator[Query]:
        """Yield the last 1,000 departed queries, the latest first."""

    def last_counts(self) -> Ints:
        """Return the requests born and the good ones in each running query's last window.

        Shape (Q, 2), in the order of ``context.running``; 0 where no window was judged.
        """

    def view(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> PlanView:
        """Return the plans that the cluster and the query's device can run, as arrays.

        By default the plans are those of ``context.candidates``, in the order of enumeration.
        """

    def truth(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> Truth:
        """Return what is true of a living query now, for planners with ``sees_truth = True``."""

    def features(self, of: Query | str) -> Floats:
        """Return features of the items that profiling a query or a data set uses.

        Shape (items, 4): log size, log output length, and two indicators of difficulty.
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
        """Predict the latency of K plans, as ``context.predict`` does for one.

        Args:
            query: a waiting or running query.
            view: a view of its plans.
            indices: numbers of the plans in the view, shape (K,).
            operator_time_s: mean time of each operator on profiling hardware, shape (K, N), or (N,)
                if all plans share it.
            time_cv: coefficient of variation of the pipeline's total time, shape (K,) or a number;
                see ``Measurement.time_cv``.
            load: ``"present"``; or a utilisation below 1 of every station off the device, unless
                the query alone causes a higher one. The backhaul always has its present load.
            normalised: see ``Measurement.normalised``, shape (K, 2) or (2,).
            row: row of ``operator_time_s``, ``time_cv`` and ``normalised`` for each plan, shape
                (K,), if these have one row per configuration; by default one row per plan.
            slower: factors of operator times on the device, and elsewhere.
            links_slower: factor of the time that the query's messages spend on links, propagation
                and batching waits included. It does not change the load of the backhaul.

        Returns:
            Mean and SLO quantile of latency in seconds, each of shape (K,); infinite if a station
            or a link would be overloaded.
        """

    def first_that_fits(
        self,
        wanted: Sequence[tuple[Query, Sequence[Plan]]],
        beside: Sequence[tuple[Query, Plan]] = (),
    ) -> list[int | None]:
        """Return for each query the number of the first of its plans that fits, or None.

        Queries are served in turn: a plan that fits holds its room while later queries are tried.
        Each plan that is tried is charged as ``fits``. For ``beside`` see ``context.fits``.
        """

    def recall_each(self, keys: Iterable[Hashable]) -> Iterator[Any | None]:
        """Yield for each key its latest record that is visible to all, or None."""

    def settled(self, keys: Sequence[Hashable]) -> list[bool]:
        """Return for each key whether all of its records are visible to all by now."""

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
        """Log a plan that was considered, for ``compass-lab explain``; it changes nothing.

        Args:
            query: its query.
            plan: the plan.
            role: ``"feasible"``, ``"offered"``, ``"chosen"``, ``"refused"``, or a word of your own.
            latency_s: believed SLO quantile of latency.
            accuracy: believed mean accuracy.
            price: what it would pay at the prices of resource pools, if there are any.
            reason: one sentence.
        """
