"""The planning context: all that a planner sees of the world, and all that it can do to it.

The planning context shows what a deployed planner could know: the catalogue, its own profiling
results and telemetry. It never shows a device's or a link's true speed, the content of a query, or
the future. What it does for a planner is charged to the clock of the query's search, by one cost
model for all.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from scenarios.application import Configuration, Pipeline
from scenarios.cluster import Cluster
from scenarios.queries import Query
from sim.api.errors import PlannerError
from sim.api.estimate import Estimate, Floats, Integers, Measurement
from sim.api.plan import Plan, list_price_usd_per_hour
from sim.api.prediction import Prediction, sojourn
from sim.catalogue.service_times import RefusalError
from sim.clock import seconds
from sim.cluster.machines import StationDemand
from sim.metrics.telemetry import WindowReport
from sim.planning.bulk_prediction import Sizes, no_loads, present_loads, sojourns
from sim.planning.metered_profiling import checked_samples, denied, measure
from sim.planning.plan_rules import check_configuration, check_plan
from sim.planning.plan_space import Choices
from sim.planning.plan_views import PlanView
from sim.planning.search import CHARGES_S, SearchClock
from sim.planning.service import PlanFigures, PlanningService
from sim.planning.truth import Truth

MOST_CALLS = 1_000_000
"""PlanningContext calls that one call of ``plan`` may make before it is taken to run for ever."""

MOST_CALLS_PER_SEARCH = 50_000
"""Likewise for one query: several times what asking everything of every candidate takes."""

PREDICTIONS_PER_CHARGE = 1000
"""Plans that `PlanningContext.predict_many` predicts for the charge of one prediction: most of
what that takes is the same for all."""

DEFAULT_CHOICES = Choices()


@dataclass(frozen=True, slots=True)
class DeploymentOrder:
    """What a planner ordered.

    Args:
        query: id of the query.
        plan: the plan to deploy, or None to release the query's deployment.
        search: the search that ordered it.
    """

    query: int
    plan: Plan | None
    search: SearchClock

    @property
    def at_ns(self) -> int:
        """When it is carried out: the clock of its search, once the call is over."""
        return self.search.clock_ns


class PlanningContext:
    """The planning context of one planning call; it is of no use afterwards.

    Attributes:
        trigger: why the planner is called.
        scratch: for a planner to keep what it works out more than once in the call. It is empty at
            the beginning of each; what is to last goes to `remember`.

    Args:
        planning_service: what lies behind the planning context.
        trigger: why the planner is called: ``arrival``, ``departure``, ``refusal``, ``failure``,
            ``recovery`` or ``tick``.
        now_ns: time of the trigger.
        budget_s: planning seconds of each search.
        sees_truth: whether the planner has said that it is one of those that see the truth.
    """

    def __init__(
        self,
        planning_service: PlanningService,
        trigger: str,
        now_ns: int,
        budget_s: float,
        sees_truth: bool = False,
    ) -> None:
        self._service = planning_service
        self._sees_truth = sees_truth
        self._now_ns = now_ns
        self._budget_s = budget_s
        self._calls = 0
        self._closed = False
        self._searches: dict[int, SearchClock] = {}
        self._orders: dict[int, DeploymentOrder] = {}
        self._fitting: dict[tuple[int, ...], list[bool]] = {}
        self.trigger = trigger
        self.scratch: dict[Hashable, Any] = {}

    # What is known

    @property
    def now_s(self) -> float:
        """Time of the trigger in seconds."""
        return seconds(self._now_ns)

    @property
    def pipeline(self) -> Pipeline:
        """The application's operators, knobs and configurations."""
        return self._service.application.pipeline

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that content comes from."""
        return tuple(self._service.application.datasets)

    @property
    def cluster(self) -> Cluster:
        """The nodes, their machines and prices."""
        return self._service.shown_cluster

    @property
    def waiting(self) -> tuple[Query, ...]:
        """Queries that need a plan, in order of arrival."""
        self._called()
        return self._service.registry.waiting

    @property
    def searching(self) -> tuple[Query, ...]:
        """Queries whose search of an earlier call is still under way; leave them alone."""
        self._called()
        return self._service.registry.searching

    @property
    def running(self) -> tuple[Query, ...]:
        """Queries that have a deployment, in order of arrival."""
        self._called()
        return self._service.registry.running

    @property
    def waiting_by_id(self) -> Mapping[int, Query]:
        """The same as `waiting`, by id, in that order."""
        self._called()
        return MappingProxyType(self._service.registry.waiting_by_id)

    @property
    def running_by_id(self) -> Mapping[int, Query]:
        """The same as `running`, by id, in that order."""
        self._called()
        return MappingProxyType(self._service.registry.running_by_id)

    @property
    def departed(self) -> tuple[Query, ...]:
        """The last 1,000 queries that have left."""
        self._called()
        return tuple(self._service.registry.departed)

    def last_departed(self) -> Iterator[Query]:
        """Yield the queries of `departed`, those that left last first."""
        self._called()
        return reversed(self._service.registry.departed)

    @property
    def plans(self) -> Mapping[int, Plan]:
        """The plan that serves each query, or is on its way to, by id, of those that have one."""
        self._called()
        return MappingProxyType(self._service.registry.plans)

    @property
    def loading(self) -> Mapping[int, Plan]:
        """The plans whose models are being loaded, by query's id.

        They hold their room already. An order meanwhile overtakes them: what was loaded is lost.
        """
        self._called()
        return MappingProxyType(self._service.registry.loading)

    def plan_of(self, query: Query) -> Plan | None:
        """Return the plan that serves a query, or that is on its way to."""
        self._called()
        state = self._service.registry.living.get(query.id)
        return None if state is None else state.plan

    def active_since_s(self, query: Query) -> float | None:
        """Return when the plan that serves a query came into force, or None if none has."""
        self._called()
        state = self._service.registry.living.get(query.id)
        if state is None or state.active is None:
            return None
        return seconds(state.active_since_ns[state.active.number])

    def telemetry(self, query: Query) -> tuple[WindowReport, ...]:
        """Return the last windows of a living query that were judged, the latest last."""
        self._called()
        living = query.id in self._service.registry.living
        return self._service.telemetry.reports(query.id) if living else ()

    def last_counts(self) -> Integers:
        """Return how many requests of each running query's last window were born, and were good.

        Returns:
            Shape (Q, 2), in the order of `running`; 0 where no window was judged. What more there
            is to know of a window, `telemetry` tells.
        """
        self._called()
        running = self._service.registry.running
        ids = np.fromiter((query.id for query in running), np.int64, len(running))
        return self._service.telemetry.last_counts(ids)

    def candidates(self, query: Query, order: str = "cost") -> Iterator[Plan]:
        """Yield every plan that the cluster and the query's device offer; see ``plan_space``.

        All have one replica per operator and no batching, but for language models.

        Args:
            query: the query; of its device, what it can run decides which plans there are.
            order: ``"cost"`` for the lowest list price first and, among equals, the richest
                configuration first; ``"enumeration"`` for the order of the space.
        """
        self._called()
        return self._service.plan_space.ordered(order, query.device)

    def view(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> PlanView:
        """Return all plans that the cluster and the query's device offer, as arrays.

        Args:
            query: the query.
            choices: which shares, batches and replicas are on offer; by default the plans are those
                of `candidates`, in the order of the space.
        """
        self._called()
        return self._service.views.view(query, choices)

    def list_price_usd_per_hour(self, plan: Plan) -> float:
        """Return what a plan costs if no other query shares its stations."""
        self._called()
        return list_price_usd_per_hour(self._service.cluster, plan.placement, plan.allocation)

    def latency_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        """Return the nominal time of each operator under a plan over that on profiling hardware."""
        self._called()
        return self._figures(query, plan).latency_factors

    def capacity_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        """Return what a request takes of each operator's servers, over its profiled time.

        The nominal latency factor, but for language models, which serve several requests at once.
        """
        self._called()
        services = self._figures(query, plan).services
        return tuple(service.factor * service.work_factor for service in services)

    def refusal(self, query: Query, plan: Plan) -> str | None:
        """Return why no machines could serve a query by a plan, or None if some could.

        A plan may need more memory than there is, or times that no table holds. All that
        `candidates` yields can be served.
        """
        self._called()
        try:
            self._figures(query, plan)
        except PlannerError as error:
            return str(error)
        return None

    def free_cores(self, node: str) -> int:
        """Return the free cores of a node's machines."""
        self._called()
        pool = self._service.machines.pools[node]
        return sum(machine.free_cores for machine in pool if machine.up)

    def machines_up(self, node: str) -> int:
        """Return how many of a node's machines work."""
        self._called()
        return self._service.machines.up[node]

    @property
    def last_release_s(self) -> float | None:
        """When a deployment last gave back what it held, or a machine came back; None if none did.

        What failed to fit before may fit since. A departure gives nothing back by itself: the
        deployment is drained first.
        """
        self._called()
        last_release_ns = self._service.machines.last_release_ns
        return None if last_release_ns is None else seconds(last_release_ns)

    def free_instances(self, node: str, profile: str) -> int:
        """Return how many more GPU instances of a profile a node could create."""
        self._called()
        return sum(machine.room_for(profile) for machine in self._service.machines.pools[node])

    # What planning does, and is charged for

    def remaining(self, query: Query) -> float:
        """Return the planning seconds that the query's search has left."""
        return self._search(query).remaining_s

    def charge(self, query: Query, operation: str = "step", count: int = 1) -> None:
        """Charge a planner's own computing to a query's search.

        Args:
            query: the query.
            operation: a name of the cost model, ``sim.planning.search.CHARGES_S``.
            count: how often.
        """
        if operation not in CHARGES_S:
            raise PlannerError(f"charge({operation!r}): choose one of {', '.join(CHARGES_S)}")
        if not isinstance(count, int | np.integer) or count < 0:
            raise PlannerError(f"charge(count={count!r}): must be a whole number of 0 or more")
        self._search(query).charge(operation, int(count) * CHARGES_S[operation])

    def profile(
        self, query: Query, what: Plan | Configuration, samples: int | Integers
    ) -> Estimate:
        """Measure a configuration on items of the query's data.

        Only what was not measured before runs, and is charged: n items on w workers take
        ceil(n / w) times one item's time, from the first operator on whose knobs or upstream knobs
        differ from all earlier runs. If the budget does not suffice, fewer items are measured,
        perhaps none; ``count`` tells.

        Args:
            query: a waiting or running query.
            what: a plan, or a configuration alone.
            samples: how many items the estimate is to rest on, those of the lowest numbers being
                the next to be measured; or the numbers of the items, shape (m,).

        Returns:
            The estimate on all that was measured of the configuration, at least what was asked
            for, budget permitting.
        """
        search = self._search(query)
        bench = self._service.bench(query, self._now_ns)
        wanted = checked_samples(samples, bench.items)
        plan = what if isinstance(what, Plan) else None
        known = None if plan is None else bench.estimate(plan)
        if known is not None:
            configuration = known.measurement.configuration
            if not len(bench.missing(configuration, wanted)) or denied(
                configuration, bench, search
            ):
                return known
        configuration = what.configuration if isinstance(what, Plan) else what
        check_configuration(configuration, self.pipeline)
        measurement, reused = measure(
            self._service, bench, configuration, wanted, search, query.id, query.dataset
        )
        estimate = self._estimate(query, plan, measurement, reused)
        if plan is not None and reused == len(self.pipeline.operators):
            bench.keep(plan, estimate)  # Asked again, it would be the same.
        return estimate

    def measure_live_accuracy(self, query: Query, samples: int) -> Estimate:
        """Measure the configuration in force on fresh items of a running query's content as it is.

        It is charged as profiling on data that was never seen is, and adds nothing to what was
        profiled. The only way to learn of the accuracy that a deployment has by now.

        Args:
            query: a running query.
            samples: items that are taken from the stream, and labelled.

        Raises:
            PlannerError: no plan is in force.
        """
        search = self._search(query)
        active = self._service.registry.living[query.id].active
        if active is None:
            raise PlannerError(f"audit query {query.id}: no plan is in force")
        plan = active.plan
        bench = self._service.fresh_bench(query, self._now_ns)
        wanted = checked_samples(samples, bench.items)
        measurement, reused = measure(
            self._service, bench, plan.configuration, wanted, search, query.id, query.dataset
        )
        return self._estimate(query, plan, measurement, reused)

    def resample(self, query: Query) -> None:
        """Take new data from a query's stream, whose content may have changed, for profiling.

        What was measured for it is of the past: the planning context forgets it.
        """
        self._search(query).denied.clear()
        self._service.renew(query, self._now_ns)

    def features(self, query: Query) -> Floats:
        """Return features of the items of a query's data; see ``sim.planning.profiling_bench``.

        Returns:
            Shape (items, 4): log size, log output length, and two views of how hard an item is.
        """
        self._search(query)
        return self._service.bench(query, self._now_ns).features

    def dataset_features(self, dataset: str) -> Floats:
        """Return the features of the items that offline profiling uses, shape (items, 4)."""
        self._called()
        self._check_dataset(dataset)
        return self._service.offline(dataset, self._budget_s)[0].features

    def profile_offline(self, dataset: str, configuration: Configuration, samples: int) -> Estimate:
        """Measure a configuration on a data set's own mixture of content, ahead of all queries.

        Offline profiling costs device time but no response time. Each data set has one budget of
        ``budget_s`` for it, and a lane of its own.

        Args:
            dataset: name of the data set.
            configuration: the configuration.
            samples: items that the estimate is to rest on.
        """
        self._called()
        self._check_dataset(dataset)
        check_configuration(configuration, self.pipeline)
        bench, search = self._service.offline(dataset, self._budget_s)
        wanted = checked_samples(samples, bench.items)
        return Estimate(
            *measure(self._service, bench, configuration, wanted, search, None, dataset)
        )

    def predict(self, query: Query, plan: Plan, estimate: Estimate | None = None) -> Prediction:
        """Predict what a plan would do for a query under the present load; see ``sim.api``.

        Args:
            query: a waiting or running query.
            plan: the plan.
            estimate: what is believed of the plan's configuration, such as an offline profile; by
                default what was profiled for this query.

        Raises:
            PlannerError: nothing is known of the configuration.
        """
        search = self._search(query)
        measurement = (
            self._service.bench(query, self._now_ns).known(plan.configuration)
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
        figures = self._figures(query, plan)
        mean_s, quantile_s, utilisation = sojourn(
            query.requests_per_s,
            [
                float(time_s) * service.factor
                for time_s, service in zip(
                    measurement.operator_mean_s, figures.services, strict=True
                )
            ],
            [self._service.machines.load_for(demand, query.id) for demand in figures.demands],
            figures.access_s,
            figures.backhaul_s,
            figures.fixed_s,
            measurement.time_cv,
            query.slo.latency_quantile,
            [(service.work_factor, service.crowded_factor) for service in figures.services],
            measurement.normalised,
            figures.backhaul_up_s,
            self._service.machines.backhaul.load_without(query.id),
            figures.ways,
        )
        return Prediction(
            mean_s,
            quantile_s,
            utilisation,
            measurement.accuracy_mean,
            figures.cost_usd_per_hour,
        )

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
        """Predict the latency of many plans at once, as `predict` does of one.

        Args:
            query: a waiting or running query.
            view: a view of its plans.
            indices: numbers of the plans in the view, shape (K,).
            operator_time_s: mean time of each operator on profiling hardware that is believed of
                the plans' configurations, shape (K, N), or (N,) for all alike.
            time_cv: coefficient of variation of the pipeline's total time between items, shape
                (K,), or one for all; see ``Measurement.time_cv``.
            load: ``"present"`` for the present load, or a utilisation from 0 to below 1 at which
                every station off the device is taken, or at its load by the query alone if that is
                more. The backhaul is taken at its present load in any case.
            normalised: see ``Measurement.normalised``, shape (K, 2) or (2,).
            row: row of ``operator_time_s``, ``time_cv`` and ``normalised`` that each plan goes by,
                shape (K,), where they have one for each of some configurations; by default its own.
            slower: what times of operators are multiplied by: of those on the device, and of all
                others; such as telemetry has shown.
            links_slower: what times of the query's messages on links are multiplied by, propagation
                and waits for batches included. The backhaul is as busy as it is.

        Returns:
            Mean and SLO's quantile of latency in seconds, each of shape (K,); infinite where a
            station or a link would be overloaded.

        Raises:
            PlannerError: the arrays do not fit each other, or there is no such load.
        """
        search = self._search(query)
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

    def truth(self, query: Query, choices: Choices = DEFAULT_CHOICES) -> Truth:
        """Return what is true of a living query now; for planners that say that they see it.

        Args:
            query: a waiting, searching or running query.
            choices: as for `view`.

        Raises:
            PlannerError: the planner's class does not set ``sees_truth``, or the query is gone.
        """
        self._called()
        if not self._sees_truth:
            raise PlannerError(
                "truth: no deployed planner could know it; one that is a bound for others says so "
                "by the class attribute sees_truth = True, and results label it"
            )
        state = self._service.registry.living.get(query.id)
        if state is None:
            raise PlannerError(f"query {query.id}: unknown or departed; see waiting and running")
        return self._service.truths.of(query, state.truth, self.now_s, choices)

    def fits(self, query: Query, plan: Plan) -> bool:
        """Tell whether the cluster could deploy a plan for a query now."""
        self._search(query).charge("fits", CHARGES_S["fits"])
        return self._fit_together([self._figures(query, plan)])[0]

    def fits_all(
        self,
        orders: Sequence[tuple[Query, Plan]],
        beside: Sequence[tuple[Query, Plan]] = (),
    ) -> list[bool]:
        """Tell which plans the cluster could deploy now, one after the other.

        Each that fits holds what it got while the next is tried; none is deployed. What a plan
        would replace stays where it is.

        Args:
            orders: queries and plans, in the order in which they would be deployed.
            beside: orders that hold no room yet: of searches under way, and those that were given,
                or decided upon, in this call. They come first; who decided on them has asked about
                them, so that nothing is charged.

        Returns:
            For each of ``orders`` whether it fits.
        """
        self._called()
        figures = [self._figures(query, plan) for query, plan in beside]
        for query, plan in orders:
            self._search(query).charge("fits", CHARGES_S["fits"])
            figures.append(self._figures(query, plan))
        return self._fit_together(figures)[len(beside) :]

    def first_that_fits(
        self,
        wanted: Sequence[tuple[Query, Sequence[Plan]]],
        beside: Sequence[tuple[Query, Plan]] = (),
    ) -> list[int | None]:
        """Tell which plan each of some queries could get now, one query after the other.

        It is charged as `fits_all` is that asks about one plan of a query after the other until one
        fits. That one holds what it got while those of the next query are tried.

        Args:
            wanted: queries, and plans of each in the order in which they are tried.
            beside: see `fits_all`.

        Returns:
            For each query the number of the first of its plans that fits, or None if none does.
        """
        self._called()
        return self._service.machines.first_that_fits(
            [self._figures(other, plan).off_device for other, plan in beside],
            (self._tried(query, plans) for query, plans in wanted),
        )

    def _tried(self, query: Query, plans: Sequence[Plan]) -> Iterator[Sequence[StationDemand]]:
        """Yield what each plan asks of the machines, once the question whether it fits is paid."""
        for plan in plans:
            self._search(query).charge("fits", CHARGES_S["fits"])
            yield self._figures(query, plan).off_device

    def _fit_together(self, figures: Sequence[PlanFigures]) -> list[bool]:
        """Tell which plans fit, one after the other; the world stands still during a call."""
        asked = tuple(each.asked for each in figures)
        if asked not in self._fitting:
            demands = [each.off_device for each in figures]
            self._fitting[asked] = self._service.machines.fit_together(demands)
        return self._fitting[asked]

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
        """Put on record what a planner considered, for those who ask why later; it changes nothing.

        Args:
            query: the query.
            plan: a plan that was looked at.
            role: what became of it: ``"feasible"``, ``"offered"``, ``"chosen"``, ``"refused"`` or
                a word of the planner's own.
            latency_s: the SLO's quantile of latency that is believed.
            accuracy: the mean accuracy that is believed.
            price: what it would pay at the prices of the pools, if there are any.
            reason: one sentence.

        Raises:
            PlannerError: the plan could not run even on the empty cluster, or something said of it
                is not of its type.
        """
        clock_ns = self._search(query).clock_ns
        self._figures(query, plan)
        for name, text in (("role", role), ("reason", reason)):
            if not isinstance(text, str):
                raise PlannerError(f"log_candidate: {name}={text!r} must be a text")
        numbers = (
            _number("latency_s", latency_s),
            _number("accuracy", accuracy),
            None if price is None else _number("price", price),
        )
        self._service.note_offer(query, plan, self._now_ns, clock_ns, (role, *numbers, reason))

    def deploy(self, query: Query, plan: Plan) -> None:
        """Deploy a plan when the search's clock is reached; the last order for a query counts.

        The cluster checks then whether it fits. If it does not, the deployment is refused, which
        triggers another call at the next tick.
        """
        self._figures(query, plan)
        self._order(query, plan)

    def release(self, query: Query) -> None:
        """Take a query's deployment out of force when the search's clock is reached."""
        self._order(query, None)

    # What planners remember

    def remember(self, key: Hashable, value: Any, query: Query | None = None) -> None:
        """Write a record into the planner's memory.

        Args:
            key: what it is about.
            value: what was learned; do not change it afterwards.
            query: the query whose search learned it, at whose clock it becomes visible to others;
                by default it is visible from the trigger on.
        """
        self._called()
        if query is None:
            self._service.memory.write(key, value, self._now_ns, 0, self._now_ns)
        else:
            search = self._search(query)
            self._service.memory.write(key, value, search.clock_ns, search.number, self._now_ns)

    def recall(self, key: Hashable, query: Query | None = None) -> Any | None:
        """Return the latest visible record of a key, or None.

        Args:
            key: what it is about.
            query: the query whose search asks; it also sees what it wrote itself.
        """
        self._called()
        author = 0 if query is None else self._search(query).number
        return self._service.memory.read(key, self._now_ns, author)

    def recall_each(self, keys: Iterable[Hashable]) -> Iterator[Any | None]:
        """Yield the latest record of each key that everybody sees, or None, in the same order."""
        self._called()
        return self._service.memory.read_each(keys, self._now_ns)

    def settled(self, keys: Sequence[Hashable]) -> list[bool]:
        """Tell of each key whether everybody sees all that was remembered of it by now.

        Searches under way have written what others see later. Once a query has departed, and what
        its last search wrote is seen, its records stay as they are.
        """
        self._called()
        return self._service.memory.settled(keys, self._now_ns)

    # Behind the planning context

    def close(self) -> None:
        """End the call that the planning context is for; the world does."""
        self._closed = True

    def _called(self) -> None:
        if self._closed:
            raise PlannerError(
                "this context's call is over: a planner must not keep the planning context"
            )
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise PlannerError(
                f"more than {MOST_CALLS:,} calls of the planning context in one call of plan"
            )

    def _search(self, query: Query) -> SearchClock:
        """Return the query's search in this call; it begins with the first operation."""
        self._called()
        search = self._searches.get(query.id)
        if search is None:
            state = self._service.registry.living.get(query.id)
            if state is None or state.query is not query:
                raise PlannerError(
                    f"query {query.id}: unknown or departed; see waiting and running"
                )
            if state.searching:
                raise PlannerError(f"query {query.id}: an earlier search is still under way")
            search = self._service.new_search(self._now_ns, self._budget_s)
            self._searches[query.id] = search
        search.calls += 1
        if search.calls > MOST_CALLS_PER_SEARCH:
            raise PlannerError(
                f"query {query.id}: more than {MOST_CALLS_PER_SEARCH:,} calls of the planning "
                f"context in one search, with {search.remaining_s:.3g} s of its budget left; stop "
                "when context.remaining(query) is 0, or when every candidate was looked at"
            )
        return search

    def _check_dataset(self, dataset: str) -> None:
        if dataset not in self.datasets:
            raise PlannerError(f"data set {dataset!r}: choose one of {', '.join(self.datasets)}")

    def _estimate(
        self, query: Query, plan: Plan | None, measurement: Measurement, reused: int
    ) -> Estimate:
        """Return what a measurement says of a plan, or of its configuration alone."""
        if plan is None:
            return Estimate(measurement, reused, query.slo.latency_quantile)
        figures = self._figures(query, plan)
        return Estimate(
            measurement,
            reused,
            query.slo.latency_quantile,
            figures.latency_factors,
            figures.fixed_s,
            fsum(figures.access_s) + figures.backhaul_s,
            figures.cost_usd_per_hour,
            figures.ways,
        )

    def _figures(self, query: Query, plan: Plan) -> PlanFigures:
        """Return the figures of a plan, once it is found to be one that could run."""
        if plan not in self._service.valid_plans:
            check_plan(plan, self._service.nominal)
            self._service.valid_plans.add(plan)
        try:
            return self._service.figures(query, plan)
        except RefusalError as refusal:
            raise PlannerError(f"query {query.id}: {plan}: {refusal}") from None

    def _order(self, query: Query, plan: Plan | None) -> None:
        self._orders[query.id] = DeploymentOrder(query.id, plan, self._search(query))


def _number(name: str, value: float) -> float:
    if not isinstance(value, Real):  # Also what numpy gives, but no array.
        raise PlannerError(f"log_candidate: {name}={value!r} must be a number")
    return float(value)


def _filled(values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Return an array of a shape, whatever of it was given."""
    if isinstance(values, np.ndarray) and values.shape == shape and values.flags.c_contiguous:
        return values if values.dtype == np.float64 else values.astype(np.float64)
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=np.float64), shape))


def _row(row: ArrayLike, many: int) -> Integers:
    """Return the rows that so many plans go by."""
    given = np.asarray(row, dtype=np.int64)
    if given.shape != (many,):
        raise ValueError(f"row: shape {given.shape}, must be ({many},)")
    return given
