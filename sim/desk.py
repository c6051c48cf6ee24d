"""The planning desk: all that a planner sees of the world, and all that it can do to it.

The desk shows what a deployed planner could know: the catalogue, its own profiling results and
telemetry. It never shows a device's or a link's true speed, the content of a query, or the future.
What it does for a planner is charged to the clock of the query's search, by one cost model for all.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from math import fsum
from typing import Any

from scenarios.application import Configuration, Pipeline
from scenarios.cluster import Cluster
from scenarios.queries import Query
from sim.clock import seconds
from sim.errors import PlannerError
from sim.office import Office, PlanFigures
from sim.plan import Plan, list_price_usd_per_hour
from sim.plan_rules import check_configuration, check_plan
from sim.prediction import Prediction, sojourn
from sim.profiling import Estimate, Measurement, ProfilingBench, ProfilingRun
from sim.search import CHARGES_S, Search
from sim.service import RefusalError
from sim.telemetry import WindowReport

MOST_CALLS = 1_000_000
"""Desk calls that one call of ``plan`` may make before it is taken to run for ever."""

MOST_CALLS_PER_SEARCH = 50_000
"""Likewise for one query: several times what asking everything of every candidate takes."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a planner ordered.

    Args:
        query: id of the query.
        plan: the plan to deploy, or None to release the query's deployment.
        search: the search that ordered it, at its clock.
        at_ns: that clock.
    """

    query: int
    plan: Plan | None
    search: Search
    at_ns: int


class Desk:
    """The desk of one planning call; it is of no use afterwards.

    Args:
        office: what lies behind the desk.
        trigger: why the planner is called: ``arrival``, ``departure``, ``refusal``, ``failure``,
            ``recovery`` or ``tick``.
        now_ns: time of the trigger.
        budget_s: planning seconds of each search.
    """

    def __init__(self, office: Office, trigger: str, now_ns: int, budget_s: float) -> None:
        self._office = office
        self._now_ns = now_ns
        self._budget_s = budget_s
        self._calls = 0
        self._closed = False
        self._searches: dict[int, Search] = {}
        self._orders: dict[int, Order] = {}
        self.trigger = trigger

    # What is known

    @property
    def now_s(self) -> float:
        """Time of the trigger in seconds."""
        return seconds(self._now_ns)

    @property
    def pipeline(self) -> Pipeline:
        """The application's operators, knobs and configurations."""
        return self._office.application.pipeline

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that content comes from."""
        return tuple(self._office.application.datasets)

    @property
    def cluster(self) -> Cluster:
        """The nodes, their machines and prices."""
        return self._office.cluster

    @property
    def waiting(self) -> tuple[Query, ...]:
        """Queries that need a plan, in order of arrival."""
        return self._office.board.waiting

    @property
    def searching(self) -> tuple[Query, ...]:
        """Queries whose search of an earlier call is still under way; leave them alone."""
        return self._office.board.searching

    @property
    def running(self) -> tuple[Query, ...]:
        """Queries that have a deployment, in order of arrival."""
        return self._office.board.running

    @property
    def departed(self) -> tuple[Query, ...]:
        """The last 1,000 queries that have left."""
        return tuple(self._office.board.departed)

    def plan_of(self, query: Query) -> Plan | None:
        """Return the plan that serves a query, or that is on its way to."""
        state = self._office.board.living.get(query.id)
        return None if state is None else state.plan

    def telemetry(self, query: Query) -> tuple[WindowReport, ...]:
        """Return the last windows of a living query that were judged, the latest last."""
        state = self._office.board.living.get(query.id)
        return () if state is None else tuple(state.reports)

    def candidates(self, query: Query, order: str = "cost") -> Iterator[Plan]:
        """Yield every plan that the cluster and the query's device offer; see ``sim.plan_space``.

        All have one replica per operator and no batching, but for language models.

        Args:
            query: the query; of its device, what it can run decides which plans there are.
            order: ``"cost"`` for the lowest list price first and, among equals, the richest
                configuration first; ``"enumeration"`` for the order of the space.
        """
        self._called()
        return self._office.plan_space.ordered(order, query.device)

    def list_price_usd_per_hour(self, plan: Plan) -> float:
        """Return what a plan costs if no other query shares its stations."""
        return list_price_usd_per_hour(self.cluster, plan.placement, plan.allocation)

    def latency_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        """Return the nominal time of each operator under a plan over that on profiling hardware."""
        return self._figures(query, plan).latency_factors

    def capacity_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        """Return what a request takes of each operator's servers, over its profiled time.

        The nominal latency factor, but for language models, which serve several requests at once.
        """
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
        pool = self._office.machines.pools[node]
        return sum(machine.free_cores for machine in pool if machine.up)

    def machines_up(self, node: str) -> int:
        """Return how many of a node's machines work."""
        return sum(machine.up for machine in self._office.machines.pools[node])

    def free_instances(self, node: str, profile: str) -> int:
        """Return how many more GPU instances of a profile a node could create."""
        return sum(machine.room_for(profile) for machine in self._office.machines.pools[node])

    # What planning does, and is charged for

    def remaining(self, query: Query) -> float:
        """Return the planning seconds that the query's search has left."""
        return self._search(query).remaining_s

    def think(self, query: Query, operation: str = "step", count: int = 1) -> None:
        """Charge a planner's own computing to a query's search.

        Args:
            query: the query.
            operation: a name of the cost model, ``sim.search.CHARGES_S``.
            count: how often.
        """
        if operation not in CHARGES_S:
            raise PlannerError(f"think({operation!r}): choose one of {', '.join(CHARGES_S)}")
        if not isinstance(count, int) or count < 0:
            raise PlannerError(f"think(count={count!r}): must be a whole number of 0 or more")
        self._search(query).charge(count * CHARGES_S[operation])

    def profile(self, query: Query, what: Plan | Configuration, samples: int) -> Estimate:
        """Measure a configuration on the query's first ``samples`` items of data.

        Only what was not measured before runs, and is charged: n items on w workers take
        ceil(n / w) times one item's time, from the first operator on whose knobs or upstream knobs
        differ from all earlier runs. If the budget does not suffice, fewer items are measured,
        perhaps none; ``count`` tells.

        Args:
            query: a waiting or running query.
            what: a plan, or a configuration alone.
            samples: items that the estimate is to rest on.

        Returns:
            The estimate on at least so many items, budget permitting.
        """
        search = self._search(query)
        _check_samples(samples)
        bench = self._office.bench(query, self._now_ns)
        plan = what if isinstance(what, Plan) else None
        known = None if plan is None else bench.estimate(plan)
        if known is not None and (
            known.count >= samples or self._denied(known.measurement.configuration, bench, search)
        ):
            return known
        configuration = what.configuration if isinstance(what, Plan) else what
        measurement, reused = self._measure(
            bench, self._known(configuration), samples, search, query.id, query.dataset
        )
        if plan is None:
            return Estimate(measurement, reused, query.slo.latency_quantile)
        figures = self._figures(query, plan)
        estimate = Estimate(
            measurement,
            reused,
            query.slo.latency_quantile,
            figures.latency_factors,
            figures.fixed_s,
            fsum(figures.access_s) + figures.backhaul_s,
            figures.cost_usd_per_hour,
        )
        if reused == len(self.pipeline.operators):
            bench.keep(plan, estimate)  # Asked again, it would be the same.
        return estimate

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
        _check_samples(samples)
        if dataset not in self.datasets:
            raise PlannerError(f"data set {dataset!r}: choose one of {', '.join(self.datasets)}")
        bench, search = self._office.offline(dataset, self._budget_s)
        return Estimate(
            *self._measure(bench, self._known(configuration), samples, search, None, dataset)
        )

    def predict(self, query: Query, plan: Plan, estimate: Estimate | None = None) -> Prediction:
        """Predict what a plan would do for a query under the present load; see ``sim.prediction``.

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
            self._office.bench(query, self._now_ns).known(plan.configuration)
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
        search.charge(CHARGES_S["predict"])
        figures = self._figures(query, plan)
        mean_s, quantile_s, utilisation = sojourn(
            query.requests_per_s,
            [
                float(time_s) * service.factor
                for time_s, service in zip(
                    measurement.operator_mean_s, figures.services, strict=True
                )
            ],
            [self._office.machines.load_for(demand, query.id) for demand in figures.demands],
            figures.access_s,
            figures.backhaul_s,
            figures.fixed_s,
            measurement.time_cv,
            query.slo.latency_quantile,
            [(service.work_factor, service.crowded_factor) for service in figures.services],
            measurement.normalised,
        )
        return Prediction(
            mean_s,
            quantile_s,
            utilisation,
            measurement.accuracy_mean,
            figures.cost_usd_per_hour,
        )

    def fits(self, query: Query, plan: Plan) -> bool:
        """Tell whether the cluster could deploy a plan for a query now."""
        self._search(query).charge(CHARGES_S["fits"])
        figures = self._figures(query, plan)
        return self._office.machines.fits(figures.demands)

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
            self._office.memory.write(key, value, self._now_ns, 0, self._now_ns)
        else:
            search = self._search(query)
            self._office.memory.write(key, value, search.clock_ns, search.number, self._now_ns)

    def recall(self, key: Hashable, query: Query | None = None) -> Any | None:
        """Return the latest visible record of a key, or None.

        Args:
            key: what it is about.
            query: the query whose search asks; it also sees what it wrote itself.
        """
        self._called()
        author = 0 if query is None else self._search(query).number
        return self._office.memory.read(key, self._now_ns, author)

    # Behind the desk

    def close(self) -> None:
        """End the call that the desk is for; the world does."""
        self._closed = True

    def _called(self) -> None:
        if self._closed:
            raise PlannerError("this desk's call is over: a planner must not keep the desk")
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise PlannerError(f"more than {MOST_CALLS:,} desk calls in one call of plan")

    def _search(self, query: Query) -> Search:
        """Return the query's search in this call; it begins with the first operation."""
        self._called()
        search = self._searches.get(query.id)
        if search is None:
            state = self._office.board.living.get(query.id)
            if state is None or state.query is not query:
                raise PlannerError(f"query {query.id}: not on the board; see waiting and running")
            if state.searching:
                raise PlannerError(f"query {query.id}: an earlier search is still under way")
            search = self._office.new_search(self._now_ns, self._budget_s)
            self._searches[query.id] = search
        search.calls += 1
        if search.calls > MOST_CALLS_PER_SEARCH:
            raise PlannerError(
                f"query {query.id}: more than {MOST_CALLS_PER_SEARCH:,} desk calls in one search, "
                f"with {search.remaining_s:.3g} s of its budget left; stop when "
                "desk.remaining(query) is 0, or when every candidate was looked at"
            )
        return search

    def _measure(
        self,
        bench: ProfilingBench,
        configuration: Configuration,
        samples: int,
        search: Search,
        query: int | None,
        dataset: str,
    ) -> tuple[Measurement, int]:
        """Measure as many of the samples as the budget allows; return also the prefix reused."""
        known = bench.known(configuration)
        if known is not None and known.count >= min(samples, bench.items):
            return known, len(self.pipeline.operators)
        have = 0 if known is None else known.count
        if self._denied(configuration, bench, search):
            return bench.measure(configuration, have), len(self.pipeline.operators)
        run = self._affordable(bench, configuration, samples, have, search)
        if run is None:
            search.denied[configuration.index] = bench.runs
            return bench.measure(configuration, have), len(self.pipeline.operators)
        charged_s = run.charged_s + CHARGES_S["profile"]
        if query is None:
            search.charge(charged_s)
        else:
            self._office.lanes.charge(search, charged_s)
        search.device_s += run.device_s
        measurement = bench.measure(configuration, run.samples)
        self._office.note_profiling(
            {
                "query": query,
                "dataset": dataset,
                "at_s": seconds(search.clock_ns),
                "configuration": str(configuration),
                "samples": run.samples,
                "prefix_reused": run.prefix_reused,
                "charged_s": charged_s,
                "device_s": run.device_s,
                "accuracy_mean": measurement.accuracy_mean,
                "accuracy_variance": measurement.accuracy_variance,
                "true_accuracy": bench.true_accuracy(configuration),
            }
        )
        return measurement, run.prefix_reused

    def _denied(self, configuration: Configuration, bench: ProfilingBench, search: Search) -> bool:
        """Tell whether the budget did not suffice before, and nothing changed since."""
        return search.denied.get(configuration.index) == bench.runs

    def _affordable(
        self,
        bench: ProfilingBench,
        configuration: Configuration,
        samples: int,
        have: int,
        search: Search,
    ) -> ProfilingRun | None:
        """Return the run on the most samples that the search can pay for, or None."""
        samples = min(samples, bench.items)
        workers = self.cluster.profiling.workers
        budget_s = search.remaining_s - CHARGES_S["profile"]
        if bench.run(configuration, min(samples, have + 1), workers).charged_s > budget_s:
            return None
        while samples > have:
            run = bench.run(configuration, samples, workers)
            if run.charged_s <= budget_s:
                return run
            samples = -(-samples // workers) * workers - workers  # a round of workers fewer
        return None

    def _known(self, configuration: Configuration) -> Configuration:
        check_configuration(configuration, self.pipeline)
        return configuration

    def _figures(self, query: Query, plan: Plan) -> PlanFigures:
        """Return the figures of a plan, once it is found to be one that could run."""
        if plan not in self._office.valid_plans:
            check_plan(plan, self._office.nominal)
            self._office.valid_plans.add(plan)
        try:
            return self._office.figures(query, plan)
        except RefusalError as refusal:
            raise PlannerError(f"query {query.id}: {plan}: {refusal}") from None

    def _order(self, query: Query, plan: Plan | None) -> None:
        search = self._search(query)
        self._orders[query.id] = Order(query.id, plan, search, search.clock_ns)


def _check_samples(samples: int) -> None:
    if not isinstance(samples, int) or samples < 0:
        raise PlannerError(f"samples={samples!r}: must be a whole number of 0 or more")
