"""The planning context as planners get it: `PlanningContext` on top of the planning service."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from scenarios.applications.pipeline import Configuration
from scenarios.queries import Query
from sim.api.charges import CHARGES_S
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError
from sim.api.estimate import Estimate, Integers
from sim.api.plan import Plan
from sim.api.prediction import Prediction
from sim.api.window_report import WindowReport
from sim.clock import seconds
from sim.planning.bulk import ServedBulk
from sim.planning.call import Facet, PlanningCall
from sim.planning.metered_profiling import checked_samples, denied, measure
from sim.planning.plan_rules import check_configuration
from sim.planning.queueing import sojourn
from sim.planning.world_state import ServedWorld


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
        self._call.count()
        return self._service.registry.waiting

    @property
    def running(self) -> tuple[Query, ...]:
        self._call.count()
        return self._service.registry.running

    def plan_of(self, query: Query) -> Plan | None:
        self._call.count()
        state = self._service.registry.living.get(query.id)
        return None if state is None else state.plan

    def telemetry(self, query: Query) -> tuple[WindowReport, ...]:
        self._call.count()
        living = query.id in self._service.registry.living
        return self._service.telemetry.reports(query.id) if living else ()

    def candidates(self, query: Query, order: str = "cost") -> Iterator[Plan]:
        self._call.count()
        return self._service.plan_space.ordered(order, query.device)

    def profile(
        self, of: Query | str, what: Plan | Configuration, samples: int | Integers
    ) -> Estimate:
        if isinstance(of, str):
            return self._profile_offline(of, what, samples)
        call, search = self._call, self._call.search(of)
        bench = self._service.bench(of, call.now_ns)
        wanted = checked_samples(samples)
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
        measurement, reused = measure(
            self._service, bench, configuration, wanted, search, of.id, of.dataset
        )
        estimate = call.estimate(of, plan, measurement, reused)
        if plan is not None and reused == len(pipeline.operators):
            bench.keep(plan, estimate)  # Asked again, it would be the same.
        return estimate

    def _profile_offline(
        self, dataset: str, configuration: Any, samples: int | Integers
    ) -> Estimate:
        call, service = self._call, self._service
        call.count()
        call.check_dataset(dataset)
        check_configuration(configuration, service.application.pipeline)
        bench, search = service.offline(dataset, call.budget_s)
        wanted = checked_samples(samples)
        return Estimate(*measure(service, bench, configuration, wanted, search, None, dataset))

    def measure_live_accuracy(self, query: Query, samples: int) -> Estimate:
        call, search = self._call, self._call.search(query)
        active = call.state(query).active
        if active is None:
            raise PlannerError(f"measure_live_accuracy query {query.id}: no plan is active")
        bench = self._service.fresh_bench(query, call.now_ns)
        wanted = checked_samples(samples)
        configuration = active.plan.configuration
        measurement, reused = measure(
            self._service, bench, configuration, wanted, search, query.id, query.dataset
        )
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
            figures.access_s,
            figures.whole.backhaul_s,
            figures.whole.fixed_s,
            measurement.time_cv,
            query.slo.latency_quantile,
            [(service.work_factor, service.crowded_factor) for service in figures.services],
            measurement.normalised,
            figures.whole.backhaul_up_s,
            machines.backhaul.load_without(query.id),
            figures.ways,
        )
        return Prediction(
            mean_s,
            quantile_s,
            utilisation,
            measurement.accuracy_mean,
            figures.cost_usd_per_hour,
        )

    def fits(self, query: Query, plan: Plan, beside: Sequence[tuple[Query, Plan]] = ()) -> bool:
        call = self._call
        call.search(query).charge("fits", CHARGES_S["fits"])
        others = [call.figures(other, its).off_device for other, its in beside]
        wanted = call.figures(query, plan).off_device
        return self._service.machines.first_that_fits(others, [[wanted]]) == [0]

    def remaining(self, query: Query) -> float:
        return self._call.search(query).remaining_s

    def charge(self, query: Query, operation: str = "step", count: int = 1) -> None:
        if operation not in CHARGES_S:
            raise PlannerError(f"charge({operation!r}): choose one of {', '.join(CHARGES_S)}")
        if not isinstance(count, int | np.integer) or count < 0:
            raise PlannerError(f"charge(count={count!r}): must be a whole number of 0 or more")
        self._call.search(query).charge(operation, int(count) * CHARGES_S[operation])

    def deploy(self, query: Query, plan: Plan) -> None:
        self._call.figures(query, plan)
        self._call.order(query, plan)

    def release(self, query: Query) -> None:
        self._call.order(query, None)

    def remember(self, key: Hashable, value: Any, query: Query | None = None) -> None:
        now_ns, memory = self._call.now_ns, self._service.memory
        if query is None:
            self._call.count()
            memory.write(key, value, now_ns, 0, now_ns)
        else:
            search = self._call.search(query)
            memory.write(key, value, search.clock_ns, search.number, now_ns)

    def recall(self, key: Hashable, query: Query | None = None) -> Any | None:
        self._call.count()
        author = 0 if query is None else self._call.search(query).number
        return self._service.memory.read(key, self._call.now_ns, author)
