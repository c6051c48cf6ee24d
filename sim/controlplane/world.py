"""The control plane: queries arrive and depart, planners are called, and plans become active.

The control plane runs on one SimPy clock, and sends orders with their times to the data plane.
Actions that depend on requests happen at ticks, after the data plane has advanced to the tick.
Module `sim.controlplane.planner_calls` calls the planner, and `sim.controlplane.failures` simulates
failures.
"""

import gc
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from simpy import Event

from hardware_models.tables import using_tables
from scenarios.queries import Query, QueryTruth, births
from scenarios.requests import request_blocks
from scenarios.scenario import Scenario
from sim.api.context import PlanningContext
from sim.api.plan import Plan
from sim.api.planner import Planner, Settings
from sim.clock import Clock, ns, seconds
from sim.cluster.billing import Billing
from sim.cluster.machines import Machines
from sim.cluster.queries import Deployment, QueryRegistry, QueryState
from sim.controlplane.deployments import Deployments
from sim.controlplane.failures import FAILURES
from sim.controlplane.interference import Interference
from sim.controlplane.planner_calls import Outcome, call_planner, planned, settings_of
from sim.controlplane.result_rows import operator_columns, query_row, window_columns
from sim.controlplane.routing import RouteBuilder
from sim.controlplane.speeds import HiddenSpeeds
from sim.controlplane.usage import Usage
from sim.controlplane.watcher import Watcher
from sim.dataplane.base.interface import DataPlane, Recorder
from sim.dataplane.base.recorders import Tee
from sim.metrics.goodput import Account, SloMonitor, Verdicts
from sim.metrics.results import ResultTables
from sim.planning.call import DeploymentOrder, PlanningCall
from sim.planning.context import ServedContext
from sim.planning.guard import Guard
from sim.planning.profiling_log import ProfilingLog
from sim.planning.service import PlanningService

ALLOCATIONS_PER_COLLECTION = 50_000  # first threshold of ``gc``


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Collect garbage rarely, because a world has many long-lived objects and few cycles."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(max(ALLOCATIONS_PER_COLLECTION, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def interrupted(error: BaseException | None) -> BaseException | None:
    """Return an exception if it is a KeyboardInterrupt, which ends a run; otherwise None."""
    return error if isinstance(error, KeyboardInterrupt) else None


class World:
    """The simulated world of one run.

    ``data_plane`` creates the data plane from a recorder. ``profiling_log`` can have records of an
    interrupted run. ``listeners`` are recorders that are called after the SLO monitor. ``settings``
    are the planner's, if they were read with ``guard`` already. ``watchers`` can be added before
    the run.
    """

    def __init__(
        self,
        scenario: Scenario,
        planner: Planner,
        seed: int,
        data_plane: Callable[[Recorder], DataPlane],
        profiling_log: ProfilingLog | None = None,
        listeners: Sequence[Recorder] = (),
        guard: Guard | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.scenario = scenario
        self.planner = planner
        self.guard = guard or Guard()
        self.settings = settings or self._settings()
        # The exception that ends the run after a call of the planner that ended in another.
        self.ending: Callable[[BaseException | None], BaseException | None] = interrupted
        # What decides at each trigger, for example a planner, or its record in an earlier run.
        self.decide: Callable[[World, str], Outcome] = planned
        self.declared: Mapping[int, Query] = {}  # by id, instead of equal new ones
        self.seed = seed
        self.watchers: list[Watcher] = []
        self.tables = ResultTables()
        self.registry = QueryRegistry()
        with using_tables(scenario.tables):
            self.machines = Machines(scenario.cluster)
            self.planning_service = PlanningService(
                scenario,
                seed,
                self.machines,
                self.registry,
                self.tables,
                profiling_log or ProfilingLog(),
            )
        self.billing = Billing(self.machines)
        self.monitor = SloMonitor(
            scenario.application.window_s,
            len(scenario.application.operators),
            self._on_verdicts,
            self._on_close,
        )
        self.data = data_plane(Tee(self.monitor, *listeners) if listeners else self.monitor)
        self.env = Clock()
        self._routes = RouteBuilder(
            self.data, scenario, self.planning_service.nominal, HiddenSpeeds(seed, scenario.cluster)
        )
        operators = [operator.name for operator in scenario.application.operators]
        usage = Usage(self.machines, operators, self.tables)
        self.deployments = Deployments(
            self.env, scenario.cluster, self.machines, self.billing, self._routes, self.data, usage
        )
        self._interference = Interference(self.machines, self.data, self.planning_service.pool)
        self.planner_errors: list[str] = []
        self.planning_wall_s = 0.0
        self.planner_crashes = 0
        self.profiling_runs_lost = 0
        self.planner_away_until_ns = 0
        self._saving = any(each.kind == "planner_crash" for each in scenario.drift.events)
        if self._saving:
            self.planning_service.checkpoint(0)
        self.refused = False
        self.due: dict[int, list[tuple[int, DeploymentOrder, str, int]]] = {}
        self._costs_noted: dict[int, float] = {}
        self._closing: dict[int, QueryState] = {}
        self._horizon_ns = ns(scenario.horizon_s)
        self.env.process(self._arrivals())
        self.env.process(self._ticks())
        for event in scenario.drift.in_order():
            if event.kind in FAILURES:
                self.env.process(FAILURES[event.kind](self, event))

    def _settings(self) -> Settings:
        """Restart the planner, and read its settings; raise `PlannerError` if that fails."""
        settings, error = self.guard.run(partial(settings_of, self.planner))
        if error is not None:
            raise error
        assert isinstance(settings, Settings)
        return settings

    # Running

    @property
    def now_s(self) -> float:
        """The simulated time in seconds."""
        return seconds(self.env.now)

    def run(self, until_s: float) -> None:
        """Advance to time ``until_s``, but at most to the horizon, where the run ends."""
        until_ns = min(ns(until_s), self._horizon_ns)
        if until_ns > self.env.now:
            with using_tables(self.scenario.tables), seldom_collected():
                self.env.run(until=until_ns)
                if until_ns == self._horizon_ns:
                    self._close()

    def _close(self) -> None:
        now = self.env.now
        self.data.advance(now)
        self._note_costs(now)
        self.deployments.usage.close(now)
        self.data.finish()
        self.monitor.judge(now, horizon=True)

    # Queries

    def _arrivals(self) -> Generator[Event, None, None]:
        for query, truth in births(self.scenario, self.seed):
            at_ns = ns(query.arrival_s)
            if at_ns > self.env.now:
                yield self.env.timeout(at_ns - self.env.now)
            known = self.declared.get(query.id)  # Planners' records can have this object.
            self._arrive(known if known is not None and known == query else query, truth)

    def _arrive(self, query: Query, truth: QueryTruth) -> None:
        now = self.env.now
        state = QueryState(query, truth)
        self.registry.arrive(state)
        self._closing[query.id] = state
        self.monitor.arrive(query, now)
        for watcher in self.watchers:
            watcher.arrived(query, truth)
        self.planning_service.telemetry.arrive(query.id)
        self._routes.add_access_link(query.id, truth, now)
        scenario = self.scenario
        blocks = request_blocks(scenario.application, query, self.seed, scenario.cluster.service_cv)
        self.data.open_source(now, query.id, blocks)
        self.env.process(self._life(state))
        self.call_planner("arrival")

    def _life(self, state: QueryState) -> Generator[Event, None, None]:
        yield self.env.timeout(max(1, ns(state.truth.departure_s) - self.env.now))
        now, query = self.env.now, state.query.id
        self.billing.settle(now)
        self._note_cost(state, now)
        unlisted = self.registry.depart(query)
        self.planning_service.forget(query)
        if unlisted is not None:
            self.planning_service.memory.forget(
                (name, unlisted.id) for name in self.settings.query_records
            )
        self.data.close_source(now, query)
        self.monitor.depart(query, now)
        self.withdraw(state)
        self.call_planner("departure")

    # Planning

    def call_planner(self, trigger: str) -> None:
        """Call the planner, and schedule its orders."""
        call_planner(self, trigger)

    def context(self, call: PlanningCall, trigger: str) -> PlanningContext:
        """Return the planning context of one call."""
        return ServedContext(call, trigger)

    def note_error(self, trigger: str, line: str) -> None:
        """Record that a call of the planner ended in an error."""
        self.planner_errors.append(f"at {self.now_s:.3f} s, on {trigger}: {line}")
        row = {"trigger": trigger, "triggered_s": self.now_s, "decided_s": self.now_s}
        self.tables.add("decisions", row | {"outcome": "error", "reason": line})

    def true_accuracy(self, state: QueryState, plan: Plan) -> float:
        """Return a plan's expected accuracy on the present content of a query."""
        weights = self.planning_service.content(state.query, self.env.now)
        dataset = self.scenario.application.datasets[state.query.dataset]
        return float(dataset.expected_accuracy(weights)[plan.configuration.index])

    # Deployments

    def activate(self, state: QueryState, deployment: Deployment) -> Generator[Event, None, None]:
        """Wait until a deployment's models are loaded, and then let it replace the active one."""
        if state.loading is not None:
            self.deployments.leave(state.loading)
        state.loading = deployment
        if deployment.active_from_ns > self.env.now:
            yield self.env.timeout(deployment.active_from_ns - self.env.now)
        if state.loading is not deployment:
            return  # The query departed, a machine failed, or a newer plan replaced this one.
        now = self.env.now
        if state.active is not None:
            self.deployments.drain(state.active)
        state.loading, state.active = None, deployment
        state.active_since_ns[deployment.number] = now
        usd_per_answer = self.planning_service.nominal.egress_usd_per_answer(
            deployment.plan.placement
        )
        state.egress_usd[deployment.number] = usd_per_answer
        accuracies = self._accuracies(state, deployment)
        self.monitor.deploy(state.query.id, deployment.number, now, accuracies)
        self.data.route(now, state.query.id, self._routes.route(state, deployment))

    def withdraw(self, state: QueryState) -> None:
        """End a query's deployments, but let requests in flight finish."""
        if state.loading is not None:
            self.deployments.leave(state.loading)
            state.loading = None
        if state.active is not None:
            self.deployments.drain(state.active)
            state.active = None

    def deactivate(self, state: QueryState) -> None:
        """End a living query's deployment; new requests of the query are not served from now on."""
        if state.active is not None:
            self.deployments.drain(state.active)
            state.active = None
            self.data.route(self.env.now, state.query.id, None)
            self.monitor.deploy(state.query.id, None, self.env.now)

    # Ticks

    def _ticks(self) -> Generator[Event, None, None]:
        tick_ns = ns(self.scenario.cluster.tick_s)
        checkpoint_ns = ns(self.scenario.cluster.profiling.checkpoint_every_s)
        next_replan_ns = 0
        while True:
            yield self.env.timeout(tick_ns)
            now = self.env.now
            self.data.advance(now)
            if now // self.monitor.window_ns != (now - tick_ns) // self.monitor.window_ns:
                self._note_costs(now)
            self.monitor.judge(now)
            self._interference.update(now)
            self.deployments.end_draining()
            if self._saving and now // checkpoint_ns != (now - tick_ns) // checkpoint_ns:
                self.planning_service.checkpoint(now)
            if self.refused:
                # At ticks only, or a planner that repeats its order would stop the clock.
                self.refused = False
                self.call_planner("refusal")
            period_s = self.settings.replan_every_s
            if period_s is not None and now >= next_replan_ns:
                next_replan_ns = (now // ns(period_s) + 1) * ns(period_s)
                self.call_planner("tick")

    def _note_costs(self, now: int) -> None:
        self.billing.settle(now)
        for state in self.registry.living.values():
            self._note_cost(state, now)

    def _note_cost(self, state: QueryState, now: int) -> None:
        """Add to the window that ends now the query's cost since the last call.

        When the query departs, that window is its last. Later costs belong to no window.
        """
        self._charge_egress(state)
        query = state.query.id
        usd = self.billing.owed_usd(query)
        self.monitor.add_cost(query, now, usd - self._costs_noted.get(query, 0.0))
        self._costs_noted[query] = usd

    def _charge_egress(self, state: QueryState) -> None:
        for number, usd_per_answer in state.egress_usd.items():
            served = self.monitor.served(number)
            usd = usd_per_answer * (served - state.egress_charged.get(number, 0))
            state.egress_charged[number] = served
            if usd:
                self.billing.charge(state.query.id, usd)

    def _accuracies(self, state: QueryState, deployment: Deployment) -> list[tuple[int, float]]:
        """Return each content mixture's start in ns, and a deployment's expected accuracy on it."""
        dataset = self.scenario.application.datasets[state.query.dataset]
        configuration = deployment.plan.configuration.index
        return [
            (ns(at_s), float(dataset.expected_accuracy(weights)[configuration]))
            for at_s, weights in state.truth.content
        ]

    def _on_verdicts(self, verdicts: Verdicts) -> None:
        window_ns = self.monitor.window_ns
        self.planning_service.telemetry.note(verdicts, window_ns)
        self.tables.extend("windows", window_columns(verdicts, window_ns))
        pipeline = self.scenario.application.pipeline
        self.tables.extend("operators", operator_columns(verdicts, pipeline))

    def _on_close(self, account: Account) -> None:
        state = self._closing.pop(account.query.id)
        self._charge_egress(state)
        self._routes.remove_access_link(account.query.id)
        self.planning_service.telemetry.forget(account.query.id)
        trials = [
            (self.monitor.trial(number), since_ns)
            for number, since_ns in state.active_since_ns.items()
        ]
        accuracy = self.monitor.served_accuracy(state.active_since_ns)
        for number in state.active_since_ns:
            self.monitor.forget(number)
        self._costs_noted.pop(account.query.id, None)
        self.tables.add(
            "queries",
            query_row(state, account, trials, accuracy, self.scenario),
        )
