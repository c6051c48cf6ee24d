"""The planning context that planners get, which implements `sim.api` with the planning service."""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from scenarios.applications.pipeline import Configuration, Pipeline
from scenarios.cluster import Cluster
from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim.api.bulk import BulkOperations
from sim.api.charges import CHARGES_S
from sim.api.choices import DEFAULT_CHOICES, Choices
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError
from sim.api.estimate import Estimate
from sim.api.plan import Plan
from sim.api.plan_view import PlanView
from sim.api.prediction import Prediction
from sim.api.truth import Truth
from sim.api.window_report import WindowReport
from sim.api.world_state import WorldState
from sim.clock import seconds
from sim.cluster.machines import Machines, StationDemand
from sim.cluster.preparing import ready_ns
from sim.planning.call import PlanningCall
from sim.planning.plan_rules import check_configuration
from sim.planning.profiling_bench import ITEMS
from sim.planning.queueing import Sizes, no_loads, present_loads, sojourn, sojourns
from sim.planning.renamed import Guided
from sim.planning.service import PlanningService, denied
from sim.safe_text import safe_text

PREDICTIONS_PER_CHARGE = 1000
"""Number of plans that `ServedBulk.predict_many` predicts for one charge, because they share most
of the effort."""


class Facet(Guided):
    """Base class of the parts of the planning interface during one call."""

    def __init__(self, call: PlanningCall) -> None:
        self._call = call
        self._service = call.service

    @property
    def _counted(self) -> PlanningService:
        """The planning service, each access to which is counted as an operation of the planner."""
        self._call.count()
        return self._service


class ServedWorld(Facet, WorldState):
    """The description of the world during one call."""

    _spelled = "context.world"

    @property
    def pipeline(self) -> Pipeline:
        return self._service.shown_pipeline

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(self._service.application.datasets)

    @property
    def cluster(self) -> Cluster:
        return self._service.shown_cluster

    def machines_up(self, node: str) -> int:
        return self._machines(node).up[node]

    def machines_used(self, node: str) -> int:
        return sum(bool(machine.slots) for machine in self._machines(node).pools[node])

    def machines_on_standby(self, node: str) -> int:
        return self._machines(node).standby[node]

    def free_cores(self, node: str) -> int:
        pool = self._machines(node).pools[node]
        return sum(machine.free_cores for machine in pool if machine.up)

    def free_instances(self, node: str, profile: str) -> int:
        return sum(machine.room_for(profile) for machine in self._machines(node).pools[node])

    def _machines(self, node: str) -> Machines:
        machines = self._counted.machines
        _check_node("context.world", node, machines.pools)
        return machines

    @property
    def profiling_wait_s(self) -> float:
        return self._counted.pool.lanes.wait_s(self._call.now_ns)

    @property
    def background_lanes(self) -> int:
        return self._counted.pool.lanes.for_background(self._call.now_ns)

    @property
    def last_release_s(self) -> float | None:
        last_release_ns = self._counted.machines.last_release_ns
        return None if last_release_ns is None else seconds(last_release_ns)

    @property
    def plans(self) -> Mapping[int, Plan]:
        return MappingProxyType(self._counted.registry.plans)

    @property
    def loading(self) -> Mapping[int, Plan]:
        return MappingProxyType(self._counted.registry.loading)

    def active_since_s(self, query: Query) -> float | None:
        state = self._counted.registry.living.get(query.id)
        if state is None or state.active is None:
            return None
        return seconds(state.active_since_ns[state.active.number])

    def refusal(self, query: Query, plan: Plan) -> str | None:
        self._call.count()
        try:
            self._call.figures(query, plan)
        except PlannerError as error:
            return str(error)
        return None

    def capacity_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        self._call.count()
        services = self._call.figures(query, plan).services
        return tuple(service.factor * service.work_factor for service in services)


class ServedBulk(Facet, BulkOperations):
    """The bulk operations of one call."""

    _spelled = "context.bulk"

    @property
    def running_by_id(self) -> Mapping[int, Query]:
        return MappingProxyType(self._counted.registry.running_by_id)

    @property
    def searching(self) -> tuple[Query, ...]:
        return self._counted.registry.searching

    def last_departed(self) -> Iterator[Query]:
        return reversed(self._counted.registry.departed)

    def last_counts(self) -> Ints:
        service = self._counted
        return service.telemetry.last_counts(service.registry.running_by_id)

    def view(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> PlanView:
        return self._counted.views.view(query, choices)

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
            return call.offline(of)[0].features
        call.search(of)
        return self._service.bench(of, call.now_ns).features

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
                self._service.nominal.shares_links,
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
        return self._counted.machines.first_that_fits(
            [self._call.figures(other, plan).off_device for other, plan in beside],
            (self._tried(query, plans) for query, plans in wanted),
        )

    def _tried(self, query: Query, plans: Sequence[Plan]) -> Iterator[Sequence[StationDemand]]:
        """Yield the demands of each plan, after charging the query for checking whether it fits."""
        for plan in plans:
            self._call.search(query).charge("fits", CHARGES_S["fits"])
            yield self._call.figures(query, plan).off_device

    def recall_each(self, keys: Iterable[Hashable]) -> Iterator[Any | None]:
        return self._counted.memory.read_each(keys, self._call.now_ns)

    def settled(self, keys: Sequence[Hashable]) -> list[bool]:
        return self._counted.memory.settled(keys, self._call.now_ns)

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
        service, now_ns = self._service, self._call.now_ns
        at_s = seconds(self._call.search(query).clock_ns)
        figures = self._call.figures(query, plan)
        for name, text in (("role", role), ("reason", reason)):
            if not isinstance(text, str):
                raise PlannerError(f"log_candidate: {name}={text!r} must be a text")
        dataset = service.application.datasets[query.dataset]
        true_accuracy = dataset.expected_accuracy(service.content(query, now_ns))
        row = {
            "query": query.id,
            "triggered_s": seconds(now_ns),
            "at_s": at_s,
            "role": safe_text(role),
            **service.named(plan),
            "list_price_usd_per_hour": figures.list_price_usd_per_hour,
            "latency_s": _number("latency_s", latency_s),
            "accuracy": _number("accuracy", accuracy),
            "price": None if price is None else _number("price", price),
            "reason": safe_text(reason) or None,
            "true_accuracy": float(true_accuracy[plan.configuration.index]),
        }
        service.offer(row)


class ServedContext(Facet, PlanningContext):
    """The planning context of one call."""

    def __init__(self, call: PlanningCall, trigger: str) -> None:
        super().__init__(call)
        self.trigger = trigger
        self.bulk = ServedBulk(call)
        self.world = ServedWorld(call)

    @property
    def now_s(self) -> float:
        return seconds(self._call.now_ns)

    @property
    def waiting(self) -> tuple[Query, ...]:
        return self._counted.registry.waiting

    @property
    def running(self) -> tuple[Query, ...]:
        return self._counted.registry.running

    def plan_of(self, query: Query) -> Plan | None:
        state = self._counted.registry.living.get(query.id)
        return None if state is None else state.plan

    def telemetry(self, query: Query) -> tuple[WindowReport, ...]:
        living = query.id in self._counted.registry.living
        return self._service.telemetry.reports(query.id) if living else ()

    def candidates(self, query: Query, order: str = "cost") -> Iterator[Plan]:
        return self._counted.plan_space.ordered(order, query.device)

    def profile(self, of: Query | str, what: Plan | Configuration, samples: int | Ints) -> Estimate:
        if isinstance(of, str):
            return self._profile_offline(of, what, samples)
        call, search = self._call, self._call.search(of)
        bench = self._service.bench(of, call.now_ns)
        wanted = _checked(samples)
        plan = what if isinstance(what, Plan) else None
        known = None if plan is None else bench.estimate(plan)
        if known is not None:
            configuration = known.measurement.configuration
            if not len(bench.missing(configuration, wanted)) or denied(
                configuration, bench, search
            ):
                return known
        configuration = what.configuration if isinstance(what, Plan) else what
        pipeline = self._service.application.pipeline
        check_configuration(configuration, pipeline)
        measurement, reused = self._service.measure(bench, configuration, wanted, search, of.id)
        estimate = call.estimate(of, plan, measurement, reused)
        if plan is not None and reused == len(pipeline.operators):
            bench.keep(plan, estimate)  # a repeated check has the same result
        return estimate

    def _profile_offline(self, dataset: str, configuration: Any, samples: int | Ints) -> Estimate:
        service = self._service
        bench, search = self._call.offline(dataset)
        check_configuration(configuration, service.application.pipeline)
        return Estimate(*service.measure(bench, configuration, _checked(samples), search))

    def measure_live_accuracy(self, query: Query, samples: int) -> Estimate:
        call, search = self._call, self._call.search(query)
        active = call.state(query).active
        if active is None:
            raise PlannerError(f"measure_live_accuracy query {query.id}: no plan is active")
        bench = self._service.fresh_bench(query, call.now_ns)
        wanted = _checked(samples)
        configuration = active.plan.configuration
        measurement, reused = self._service.measure(bench, configuration, wanted, search, query.id)
        return call.estimate(query, active.plan, measurement, reused)

    def resample(self, query: Query) -> None:
        self._call.search(query).denied.clear()
        self._service.renew(query, self._call.now_ns)

    def predict(self, query: Query, plan: Plan, estimate: Estimate | None = None) -> Prediction:
        call, machines = self._call, self._service.machines
        search = call.search(query)
        measurement = (
            self._service.bench(query, call.now_ns).known(plan.configuration)
            if estimate is None
            else estimate.measurement
        )
        if measurement is None or measurement.count == 0:
            raise PlannerError(f"predict query {query.id}: profile {plan.configuration} first")
        if measurement.configuration != plan.configuration:
            raise PlannerError(
                f"predict query {query.id}: the estimate is of {measurement.configuration}, the "
                f"plan has {plan.configuration}"
            )
        search.charge("predict", CHARGES_S["predict"])
        figures = call.figures(query, plan)
        times_s = measurement.operator_mean_s.tolist()
        mean_s, quantile_s, utilisation = sojourn(
            query.requests_per_s,
            [
                time_s * service.factor
                for time_s, service in zip(times_s, figures.services, strict=True)
            ],
            [machines.load_for(demand, query.id) for demand in figures.demands],
            figures.whole,
            measurement.time_cv,
            query.slo.latency_quantile,
            [(service.work_factor, service.crowded_factor) for service in figures.services],
            measurement.normalised,
            machines.backhaul.load_without(query.id),
            figures.ways,
            self._service.nominal.shares_links,
        )
        return Prediction(
            mean_s, quantile_s, utilisation, measurement.accuracy_mean, figures.cost_usd_per_hour
        )

    def fits(self, query: Query, plan: Plan, beside: Sequence[tuple[Query, Plan]] = ()) -> bool:
        call = self._call
        call.search(query).charge("fits", CHARGES_S["fits"])
        others = [call.figures(other, its).off_device for other, its in beside]
        wanted = call.figures(query, plan).off_device
        return self._service.machines.first_that_fits(others, [[wanted]]) == [0]

    def ready_s(self, query: Query, plan: Plan) -> float | None:
        call, service = self._call, self._service
        call.search(query).charge("fits", CHARGES_S["fits"])
        wanted = call.figures(query, plan).off_device
        at_ns = ready_ns(service.cluster, service.machines, wanted, call.now_ns)
        return None if at_ns is None else seconds(at_ns - call.now_ns)

    def remaining(self, query: Query) -> float:
        return self._service.remaining_s(self._call.search(query))

    def charge(self, query: Query, operation: str = "step", count: int = 1) -> None:
        if operation not in CHARGES_S:
            raise PlannerError(f"charge({operation!r}): choose one of {', '.join(CHARGES_S)}")
        if not isinstance(count, int | np.integer) or count < 0:
            raise PlannerError(f"charge(count={count!r}): must be a whole number of 0 or more")
        self._call.search(query).charge(operation, int(count) * CHARGES_S[operation])

    def deploy(self, query: Query, plan: Plan) -> None:
        if not (isinstance(query, Query) and isinstance(plan, Plan)):
            given = f"{type(query).__name__} and {type(plan).__name__}"
            raise PlannerError(f"deploy(query, plan): must get Query and Plan, not {given}")
        self._call.figures(query, plan)
        self._call.order(query, plan)

    def release(self, query: Query) -> None:
        self._call.order(query, None)

    def keep_standby(self, node: str, machines: int) -> None:
        self._call.count()
        nodes = self._service.cluster.nodes
        _check_node("keep_standby", node, nodes)
        most = nodes[node].count
        if not isinstance(machines, int | np.integer) or not 0 <= machines <= most:
            raise PlannerError(
                f"keep_standby({node!r}, {machines!r}): must be a whole number from 0 to {most}"
            )
        self._call.standby[node] = int(machines)

    def remember(self, key: Hashable, value: Any, query: Query | str | None = None) -> None:
        now_ns, service = self._call.now_ns, self._service
        if query is None:
            self._call.count()
            service.remember(key, value, now_ns, 0, now_ns)
        elif isinstance(query, str):
            search = self._call.offline(query)[1]
            at_ns = now_ns if self._call.profiles_ahead else search.clock_ns
            service.remember(key, value, at_ns, search.number, now_ns)
        else:
            search = self._call.search(query)
            service.remember(key, value, search.clock_ns, search.number, now_ns)

    def recall(self, key: Hashable, query: Query | None = None) -> Any | None:
        self._call.count()
        author = 0 if query is None else self._call.search(query).number
        return self._service.memory.read(key, self._call.now_ns, author)


def _check_node(asked: str, node: str, nodes: Collection[str]) -> None:
    if not (isinstance(node, str) and node in nodes):
        raise PlannerError(f"{asked}: node {node!r}: choose one of {', '.join(nodes)}")


def _number(name: str, value: float) -> float:
    if not isinstance(value, Real):  # this includes NumPy's numbers, but not arrays
        raise PlannerError(f"log_candidate: {name}={value!r} must be a number")
    return float(value)


def _filled(values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    if isinstance(values, np.ndarray) and values.shape == shape and values.flags.c_contiguous:
        return values if values.dtype == np.float64 else values.astype(np.float64)
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=np.float64), shape))


def _row(row: ArrayLike, many: int) -> Ints:
    given = np.asarray(row, dtype=np.int64)
    if given.shape != (many,):
        raise ValueError(f"row: shape {given.shape}, must be ({many},)")
    return given


def _checked(samples: int | Ints) -> int | Ints:
    """Check and return the number of items, or the item numbers, to profile."""
    if isinstance(samples, int | np.integer):
        if samples < 0:
            raise PlannerError(f"samples={samples}: must be a whole number of 0 or more")
        return min(int(samples), ITEMS)
    wanted = np.asarray(samples)
    if wanted.ndim != 1 or (len(wanted) and wanted.dtype.kind not in "iu"):
        raise PlannerError(
            f"samples={samples!r}: must be a whole number, or an array of numbers of items"
        )
    inside, numbers = _in_order(wanted.astype(np.int64, copy=False))
    if not inside:
        raise PlannerError(f"samples: numbers of items must lie between 0 and {ITEMS - 1}")
    return numbers


@compiled
def _in_order(wanted: Ints) -> tuple[bool, Ints]:
    """Return whether all numbers of items are possible, and if so, each once in ascending order."""
    marked = np.zeros(ITEMS, dtype=np.bool_)
    for item in wanted:
        if not 0 <= item < ITEMS:
            return False, wanted[:0].copy()
        marked[item] = True
    return True, np.flatnonzero(marked)
