"""The planning service, which implements the planning context and exists for the whole run."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import fsum
from typing import Any

from hardware_models.basis import Basis, worst
from scenarios.applications.dataset import Dataset
from scenarios.applications.pipeline import Configuration, Pipeline
from scenarios.cluster import DEVICE, IDLE_INSTANCES
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from scenarios.scenario import Scenario
from sim.api.charges import CHARGES_S
from sim.api.choices import DEFAULT_CHOICES
from sim.api.estimate import Measurement
from sim.api.plan import Plan
from sim.api.prediction import DagPath
from sim.catalogue.catalogue import ACCESS, UP, Catalogue, Crossing
from sim.catalogue.service_times import Service
from sim.clock import ns, seconds
from sim.cluster.machines import Machines, StationDemand
from sim.cluster.queries import QueryRegistry
from sim.metrics.results import ResultTables
from sim.metrics.telemetry import Telemetry
from sim.planning.memory import Memory
from sim.planning.plan_views import PlanViews
from sim.planning.profiling_bench import ProfilingBench, ProfilingRun
from sim.planning.profiling_log import ProfileRecord, ProfilingLog
from sim.planning.profiling_pool import IdleInstances, ProfilingPool
from sim.planning.search_clock import SearchClock, copied
from sim.planning.truth import Truths

S_PER_HOUR = 3600
PLANS_KEPT = 100_000
"""Largest number of plans whose figures are cached, which bounds memory use."""

Step = tuple[Callable[..., Any], tuple[Any, ...]]
"""A method of `PlanningService` that changed its state, and the arguments."""


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """The nominal service times, link times and costs of a plan for a query."""

    services: tuple[Service, ...]  # how each operator is served
    whole: DagPath  # all of a request's messages and operators
    ways: tuple[DagPath, ...]  # the ways through the operators, if there is more than one
    list_price_usd_per_hour: float  # price if no other query shares the plan's stations
    egress_usd_per_hour: float  # price of the answers that leave a cloud region
    demands: tuple[StationDemand, ...]  # the resources that each operator requires
    # the same, except for operators on the device, which always has room
    off_device: tuple[StationDemand, ...]

    @property
    def latency_factors(self) -> tuple[float, ...]:
        """Time of a lone request at each operator, divided by its time on profiling hardware."""
        return tuple(service.factor for service in self.services)

    @property
    def cost_usd_per_hour(self) -> float:
        """The query's cost in dollars per hour if it shared no station."""
        return self.list_price_usd_per_hour + self.egress_usd_per_hour

    @property
    def basis(self) -> Basis:
        """The least reliable basis among those of the operators' service times."""
        return worst(*(service.basis for service in self.services))


class PlanningService:
    """The planning state of a run: catalogue, plan views, profiling benches, planner memory."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        machines: Machines,
        registry: QueryRegistry,
        tables: ResultTables,
        profiling_log: ProfilingLog,
    ) -> None:
        self.application = scenario.application
        self.cluster = scenario.cluster
        # Planners get copies, so that their changes do not affect any price, charge or request.
        self.shown_cluster = deepcopy(scenario.cluster)
        pipeline = scenario.application.pipeline
        self.shown_pipeline = Pipeline(pipeline.name, deepcopy(pipeline.operators))
        # These are many, and cannot be changed.
        vars(self.shown_pipeline)["configurations"] = pipeline.configurations
        self.nominal = Catalogue(scenario.application, scenario.cluster, scenario.network)
        self.views = PlanViews(self.nominal)
        self.plan_space = self.views.space(DEFAULT_CHOICES)
        self.truths = Truths(self.application, self.nominal, self.views)
        self.machines = machines
        self.registry = registry
        self.tables = tables
        self.profiling_log = profiling_log
        idle = self.cluster.profiling.kind == IDLE_INSTANCES
        self.pool = (
            IdleInstances(self.application, self.cluster, machines)
            if idle
            else ProfilingPool(self.application, self.cluster)
        )
        self.memory = Memory()
        self.telemetry = Telemetry()
        self.valid_plans: set[Plan] = set()
        self._figures: dict[tuple[str, str, str, float], dict[Plan, PlanFigures]] = {}
        self._worked_out = 0
        self._names: dict[Plan, dict[str, str]] = {}
        self.planning_charged_s = 0.0
        self.profiling_device_s = 0.0
        self.profiling_cost_usd = 0.0
        self._seed = seed
        self._searches = 0
        # Each with the time of its data; earlier data are kept back to the last checkpoint.
        self._benches: dict[int, list[tuple[int, ProfilingBench]]] = {}
        self._renewals: dict[int, int] = {}
        self._offline: dict[str, tuple[ProfilingBench, SearchClock]] = {}
        self._checkpoint_ns: int | None = None
        # What planners' operations change, if it is recorded, so that it can be repeated.
        self.steps: list[Step] | None = None

    def _note(self, method: Callable[..., Any], *arguments: Any) -> None:
        if self.steps is not None:
            self.steps.append((method, arguments))

    def repeat(self, steps: Iterable[Step]) -> None:
        """Change the state as recorded steps did, in a world that is otherwise the same."""
        for method, arguments in steps:
            method(self, *arguments)

    def remember(self, key: Hashable, value: Any, at_ns: int, author: int, now_ns: int) -> None:
        """Add a record to the planner's memory, see `Memory.write`."""
        self._note(PlanningService.remember, key, value, at_ns, author, now_ns)
        self.memory.write(key, value, at_ns, author, now_ns)

    def forget_records(self) -> None:
        """Drop all records of the planner."""
        self._note(PlanningService.forget_records)
        self.memory.clear()

    def offer(self, row: Mapping[str, Any]) -> None:
        """Add a row on a plan that the planner logged."""
        self._note(PlanningService.offer, row)
        self.tables.add("offers", row)

    def new_search(
        self, now_ns: int, budget_s: float, dataset: str, background: bool = False
    ) -> SearchClock:
        """Return a new search for a query with data of ``dataset``, whose clock starts now."""
        self._note(PlanningService.new_search, now_ns, budget_s, dataset, background)
        return self._new_search(now_ns, budget_s, self.pool.least_s(dataset), background)

    def _new_search(
        self, now_ns: int, budget_s: float, least_s: float = 0.0, background: bool = False
    ) -> SearchClock:
        self._searches += 1
        return SearchClock(self._searches, now_ns, ns(budget_s), ns(least_s), background=background)

    def remaining_s(self, search: SearchClock) -> float:
        """Return the planning seconds that are left to a query's search; see `Lanes`."""
        return self.pool.lanes.remaining_s(search)

    def bench(self, query: Query, now_ns: int) -> ProfilingBench:
        """Return a query's bench, whose data are taken from its stream at the first call."""
        benches = self._benches.setdefault(query.id, [])
        if not benches:
            self._note(PlanningService.bench, query, now_ns)
            benches.append((now_ns, self._bench_of(query, now_ns)))
        return benches[-1][1]

    def renew(self, query: Query, now_ns: int) -> None:
        """Replace the profiling data of a query by new data."""
        self._note(PlanningService.renew, query, now_ns)
        self._renewals[query.id] = self._renewals.get(query.id, 0) + 1
        names = "renewal", self._renewals[query.id]
        benches = self._benches.setdefault(query.id, [])
        benches.append((now_ns, self._bench_of(query, now_ns, *names)))
        settled_ns = now_ns if self._checkpoint_ns is None else self._checkpoint_ns
        settled = [i for i, (taken_ns, _) in enumerate(benches) if taken_ns <= settled_ns]
        del benches[: settled[-1] if settled else 0]

    def fresh_bench(self, query: Query, now_ns: int) -> ProfilingBench:
        """Return a bench that has data from time ``now_ns`` and no measurements."""
        return self._bench_of(query, now_ns, "fresh", now_ns)

    def _bench_of(self, query: Query, now_ns: int, *names: str | int) -> ProfilingBench:
        weights = self.content(query, now_ns)
        return self._new_bench(query.dataset, weights, "query", query.id, *names)

    def content(self, query: Query, now_ns: int) -> Floats:
        """Return the true present mixture of a query's content over strata."""
        content = self.registry.living[query.id].truth.content
        return [
            weights for i, (at_s, weights) in enumerate(content) if i == 0 or ns(at_s) <= now_ns
        ][-1]

    def _new_bench(self, dataset: str, weights: Floats, *names: str | int) -> ProfilingBench:
        return ProfilingBench(
            self.application,
            self.application.datasets[dataset],
            weights,
            names,
            self._seed,
            self.cluster.profiling.feature_correlation,
            self.profiling_log,
            self.cluster.service_cv,
        )

    def offline(
        self, dataset: str, budget_s: float, since_ns: int | None = None
    ) -> tuple[ProfilingBench, SearchClock]:
        """Return the bench of a data set with its own mixture, and its offline search.

        The search's clock starts at 0, or is at least ``since_ns``.
        """
        if dataset not in self._offline or since_ns is not None:
            self._note(PlanningService.offline, dataset, budget_s, since_ns)
        if dataset not in self._offline:
            weights = self.application.datasets[dataset].stratum_weights
            bench = self._new_bench(dataset, weights, "data set", dataset)
            self._offline[dataset] = bench, self._new_search(0, budget_s)
        bench, search = self._offline[dataset]
        if since_ns is not None:
            search.waited_ns += max(0, since_ns - search.clock_ns)
        return bench, search

    def forget(self, query: int) -> None:
        """Drop the bench of a departed query."""
        self._benches.pop(query, None)
        self._renewals.pop(query, None)

    def checkpoint(self, now_ns: int) -> None:
        """Save the present records and profiling results of planners, for ``fall_back``."""
        self._checkpoint_ns = now_ns
        self.memory.checkpoint(now_ns)

    def fall_back(self, now_ns: int, profiles_ahead: bool) -> int:
        """Drop all searches under way, and all records and results since the last checkpoint.

        Return the number of lost profiling runs for living queries and data sets. Data sets that
        were profiled ahead lose nothing, because that was before the run.
        """
        to_ns = self._checkpoint_ns
        assert to_ns is not None, "there is no checkpoint to fall back to"
        self.memory.fall_back()
        self.pool.restart(now_ns)
        lost = 0
        for benches in self._benches.values():
            lost += sum(bench.fall_back(to_ns) for _, bench in benches)
            benches[:] = [each for each in benches if each[0] <= to_ns]
        if profiles_ahead:
            return lost
        for bench, search in self._offline.values():
            lost += bench.fall_back(to_ns)
            search.charged_ns = min(search.charged_ns, max(0, to_ns - search.waited_ns))
            search.denied.clear()
        return lost

    def figures(self, query: Query, plan: Plan) -> PlanFigures:
        """Return the nominal figures of a plan for a query; similar queries share them."""
        kind = query.device.name, query.technology, query.dataset, query.requests_per_s
        known = self._figures.setdefault(kind, {})
        if plan not in known:
            if self._worked_out == PLANS_KEPT:
                self._forget_plans()
                known = self._figures.setdefault(kind, {})
            self._worked_out += 1
            known[plan] = self._work_out(query, plan)
        return known[plan]

    def _forget_plans(self) -> None:
        self._worked_out = 0
        self.nominal.forget()
        for known in (self._figures, self._names, self.valid_plans):
            known.clear()

    def _work_out(self, query: Query, plan: Plan) -> PlanFigures:
        nominal, paths = self.nominal, self.application.pipeline.paths
        crossings = list(nominal.crossings(query, plan))
        whole = self._way(query, plan, crossings, range(len(plan.placement)))
        ways = [
            self._way(
                query,
                plan,
                [crossing for crossing in crossings if crossing.edge in path.edges],
                path.operators,
            )
            for path in (paths if len(paths) > 1 else ())
        ]
        services = nominal.services(query, plan)
        demands = tuple(self._demands(query, plan, services))
        off_device = tuple(demand for demand in demands if demand.place != DEVICE)
        return PlanFigures(
            services,
            whole,
            tuple(ways),
            plan.list_price_usd_per_hour(self.cluster),
            query.requests_per_s * S_PER_HOUR * nominal.egress_usd_per_answer(plan.placement),
            demands,
            off_device,
        )

    def _way(
        self, query: Query, plan: Plan, crossings: Sequence[Crossing], operators: Sequence[int]
    ) -> DagPath:
        """Return the times of a request on a path with these link crossings and operators."""
        access_s: list[float] = []
        backhaul_s, backhaul_up_s = 0.0, 0.0
        fixed_s = fsum(plan.allocation[operator].max_wait_s for operator in operators)
        for crossing in crossings:
            sent_s = 8 * crossing.mean_bytes / self.nominal.capacity_bps(query, crossing)
            fixed_s += self.nominal.propagation_s(query, crossing)
            if crossing.link == ACCESS and crossing.direction == UP:
                access_s.append(sent_s)
            else:
                backhaul_s += sent_s
                backhaul_up_s += sent_s if crossing.direction == UP else 0.0
        return DagPath(tuple(operators), fsum(access_s), backhaul_s, backhaul_up_s, fixed_s)

    def _demands(
        self, query: Query, plan: Plan, services: Sequence[Service]
    ) -> Iterator[StationDemand]:
        """Yield each operator's demand on the machines, at nominal speed."""
        pipeline, configuration = self.application.pipeline, plan.configuration
        times_s = self.application.datasets[query.dataset].service_time_s[configuration.index]
        for operator, (place, allocation, time_s, service) in enumerate(
            zip(plan.placement, plan.allocation, times_s.tolist(), services, strict=True)
        ):
            knobs = pipeline.operator_key(operator, configuration)
            yield StationDemand(
                (operator, knobs, place, allocation),
                query.requests_per_s,
                query.requests_per_s * time_s * service.factor * service.work_factor,
                service.at_once,
                self.application.model(operator, configuration),
                service.memory_bytes,
            )

    def named(self, plan: Plan) -> dict[str, str]:
        """Return the names that results use for a plan, its configuration and its placement."""
        if plan not in self._names:
            self._names[plan] = {
                "plan": str(plan),
                "configuration": str(plan.configuration),
                "placement": " > ".join(plan.placement),
            }
        return self._names[plan]

    # Profiling: charged to a search, limited by its budget, and recorded

    def measure(
        self,
        bench: ProfilingBench,
        configuration: Configuration,
        wanted: int | Ints,
        search: SearchClock,
        query: int | None = None,
    ) -> tuple[Measurement, int]:
        """Profile a configuration on as many of the requested items as the budget allows.

        ``query`` is None for offline profiling. It is done before the run, when nothing else
        profiles, so it needs no lane; but it is paid like any other. ``wanted`` is the total number
        of items, or an array of item numbers of shape (m,). The function returns the measurement of
        the configuration so far, and the number of leading operators whose earlier results were
        reused.
        """
        missing = bench.missing(configuration, wanted)
        possible = self._possible_run(bench, configuration, missing, search, query)
        if possible is None:
            return bench.measure(configuration, missing[:0]), len(self.application.operators)
        run, price_usd_per_hour = possible
        before = None if self.steps is None else copied(search)
        charged_s, cost_usd = self._charge(
            search, query, bench.dataset, configuration, run, price_usd_per_hour
        )
        measurement = bench.measure(configuration, run.items, search.clock_ns)
        row = {
            "query": query,
            "dataset": bench.dataset.name,
            "at_s": seconds(search.clock_ns),
            "configuration": str(configuration),
            "samples": measurement.count,
            "prefix_reused": run.prefix_reused,
            "charged_s": charged_s,
            "device_s": run.device_s,
            "cost_usd": cost_usd,
            "accuracy_mean": measurement.accuracy_mean,
            "accuracy_variance": measurement.accuracy_variance,
            "true_accuracy": bench.true_accuracy(configuration),
        }
        self.tables.add("profiling", row)
        self._note(
            PlanningService._repeat_run,
            *(before, query, configuration, run, price_usd_per_hour, bench.newest, row),
        )
        return measurement, run.prefix_reused

    def _possible_run(
        self,
        bench: ProfilingBench,
        configuration: Configuration,
        missing: Ints,
        search: SearchClock,
        query: int | None,
    ) -> tuple[ProfilingRun, float] | None:
        """Return a run on as many items as the budget allows, and its price in dollars per hour.

        Return None if no item is missing, no lane is free, or the budget or the boards allow none.
        """
        if not len(missing) or denied(configuration, bench, search):
            return None
        hardware = self.pool.hardware(None if query is None else search)
        if hardware is None:
            return None
        left_s = seconds(search.uncharged_ns) if query is None else self.remaining_s(search)
        budget_s = left_s - CHARGES_S["profile"]
        run = hardware.affordable_run(bench, configuration, missing, budget_s)
        if run is None:
            search.denied[configuration.index] = bench.runs
            if query is None:
                self._note(PlanningService._deny, bench.dataset.name, configuration.index)
            return None
        return run, hardware.price_usd_per_hour

    def _charge(
        self,
        search: SearchClock,
        query: int | None,
        dataset: Dataset,
        configuration: Configuration,
        run: ProfilingRun,
        price_usd_per_hour: float,
    ) -> tuple[float, float]:
        """Charge a run to a search; return the charged seconds, and the cost in dollars."""
        charged_s = run.charged_s + CHARGES_S["profile"]
        if query is None:
            search.charge("profile", charged_s)
        else:
            self.pool.charge(search, charged_s, dataset, configuration)
        cost_usd = run.device_s / S_PER_HOUR * price_usd_per_hour
        search.device_s += run.device_s
        search.cost_usd += cost_usd
        self.profiling_device_s += run.device_s
        self.profiling_cost_usd += cost_usd
        return charged_s, cost_usd

    def _repeat_run(
        self,
        before: SearchClock,
        query: int | None,
        configuration: Configuration,
        run: ProfilingRun,
        price_usd_per_hour: float,
        record: ProfileRecord,
        row: Mapping[str, Any],
    ) -> None:
        """Repeat a run of a search, which is given as it was before, with its recorded results."""
        if query is None:
            bench, search = self._offline[row["dataset"]]
            learning = [bench]
        else:
            search = copied(before)  # The record may be repeated in several worlds.
            benches = (bench for _, bench in self._benches.get(query, ()))
            # No bench has what was measured live.
            learning = [bench for bench in benches if bench.owner == record.owner]
        dataset = self.application.datasets[row["dataset"]]
        self._charge(search, query, dataset, configuration, run, price_usd_per_hour)
        for bench in learning:
            bench.learn(configuration, record)
        self.profiling_log.note(record)
        self.tables.add("profiling", row)

    def _deny(self, dataset: str, configuration: int) -> None:
        bench, search = self._offline[dataset]
        search.denied[configuration] = bench.runs


def denied(configuration: Configuration, bench: ProfilingBench, search: SearchClock) -> bool:
    """Return whether the budget was too small for a configuration, and no run has followed."""
    return search.denied.get(configuration.index) == bench.runs
