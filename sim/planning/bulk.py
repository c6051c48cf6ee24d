"""The bulk operations as planners get them: `BulkOperations` on top of the planning service."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from scenarios.queries import Query
from sim.api.bulk import BulkOperations
from sim.api.charges import CHARGES_S
from sim.api.choices import DEFAULT_CHOICES, Choices
from sim.api.errors import PlannerError
from sim.api.estimate import Floats, Integers
from sim.api.plan import Plan
from sim.api.plan_view import PlanView
from sim.api.truth import Truth
from sim.clock import seconds
from sim.cluster.machines import StationDemand
from sim.planning.bulk_prediction import Sizes, no_loads, present_loads, sojourns
from sim.planning.call import Facet

PREDICTIONS_PER_CHARGE = 1000
"""Plans that `ServedBulk.predict_many` predicts for the charge of one prediction: most of the
effort is the same for all."""


class ServedBulk(Facet, BulkOperations):
    """The bulk operations of one call."""

    _spelled = "context.bulk"

    @property
    def running_by_id(self) -> Mapping[int, Query]:
        self._call.count()
        return MappingProxyType(self._service.registry.running_by_id)

    @property
    def searching(self) -> tuple[Query, ...]:
        self._call.count()
        return self._service.registry.searching

    def last_departed(self) -> Iterator[Query]:
        self._call.count()
        return reversed(self._service.registry.departed)

    def last_counts(self) -> Integers:
        self._call.count()
        running = self._service.registry.running
        ids = np.fromiter((query.id for query in running), np.int64, len(running))
        return self._service.telemetry.last_counts(ids)

    def view(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> PlanView:
        self._call.count()
        return self._service.views.view(query, choices)

    def truth(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> Truth:
        call = self._call
        call.count()
        if not call.sees_truth:
            raise PlannerError(
                "truth: no deployed planner could know it; one that is a bound for others says so "
                "by the class attribute sees_truth = True, and results label it"
            )
        state = call.state(query)
        return self._service.truths.of(query, state.truth, seconds(call.now_ns), choices)

    def features(self, of: Query | str) -> Floats:
        call = self._call
        if isinstance(of, str):
            call.count()
            call.check_dataset(of)
            return self._service.offline(of, call.budget_s)[0].features
        call.search(of)
        return self._service.bench(of, call.now_ns).features

    def predict_many(
        self,
        query: Query,
        view: PlanView,
        indices: Integers,
        operator_time_s: Floats,
        time_cv: Floats | float,
        load: Literal["present"] | float = "present",
        normalised: Floats | tuple[float, float] = (1.0, 1.0),
        row: Integers | None = None,
        slower: tuple[float, float] = (1.0, 1.0),
        links_slower: float = 1.0,
    ) -> tuple[Floats, Floats]:
        search = self._call.search(query)
        indices = np.asarray(indices, dtype=np.int64)
        many = len(indices)
        search.charge("predict", -(-many // PREDICTIONS_PER_CHARGE) * CHARGES_S["predict"])
        rows = many if row is None else len(operator_time_s)
        try:
            sizes = Sizes(
                _filled(operator_time_s, (rows, view.station.shape[1])),
                _filled(time_cv, (rows,)),
                _filled(normalised, (rows, 2)),
                np.arange(many) if row is None else _row(row, many),
                slower,
                float(links_slower),
            )
        except ValueError as error:
            raise PlannerError(f"predict_many query {query.id}: {error}") from None
        machines = self._service.machines
        if load == "present":
            dataset = self._service.application.datasets[query.dataset]
            loads = present_loads(machines, dataset, query, view, indices)
            return sojourns(query, view, indices, sizes, loads)
        if isinstance(load, float | int) and 0 <= load < 1:
            return sojourns(query, view, indices, sizes, no_loads(machines, query), float(load))
        raise PlannerError(f"load={load!r}: choose 'present' or a utilisation below 1")

    def first_that_fits(
        self,
        wanted: Sequence[tuple[Query, Sequence[Plan]]],
        beside: Sequence[tuple[Query, Plan]] = (),
    ) -> list[int | None]:
        self._call.count()
        return self._service.machines.first_that_fits(
            [self._call.figures(other, plan).off_device for other, plan in beside],
            (self._tried(query, plans) for query, plans in wanted),
        )

    def _tried(self, query: Query, plans: Sequence[Plan]) -> Iterator[Sequence[StationDemand]]:
        """Yield the demands of each plan that is tried, after charging for the attempt."""
        for plan in plans:
            self._call.search(query).charge("fits", CHARGES_S["fits"])
            yield self._call.figures(query, plan).off_device

    def recall_each(self, keys: Iterable[Hashable]) -> Iterator[Any | None]:
        self._call.count()
        return self._service.memory.read_each(keys, self._call.now_ns)

    def settled(self, keys: Sequence[Hashable]) -> list[bool]:
        self._call.count()
        return self._service.memory.settled(keys, self._call.now_ns)

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
        clock_ns = self._call.search(query).clock_ns
        self._call.figures(query, plan)
        for name, text in (("role", role), ("reason", reason)):
            if not isinstance(text, str):
                raise PlannerError(f"log_candidate: {name}={text!r} must be a text")
        numbers = (
            _number("latency_s", latency_s),
            _number("accuracy", accuracy),
            None if price is None else _number("price", price),
        )
        self._service.note_offer(query, plan, self._call.now_ns, clock_ns, (role, *numbers, reason))


def _number(name: str, value: float) -> float:
    if not isinstance(value, Real):  # Also what numpy gives, but no array.
        raise PlannerError(f"log_candidate: {name}={value!r} must be a number")
    return float(value)


def _filled(values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    if isinstance(values, np.ndarray) and values.shape == shape and values.flags.c_contiguous:
        return values if values.dtype == np.float64 else values.astype(np.float64)
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=np.float64), shape))


def _row(row: ArrayLike, many: int) -> Integers:
    given = np.asarray(row, dtype=np.int64)
    if given.shape != (many,):
        raise ValueError(f"row: shape {given.shape}, must be ({many},)")
    return given
