"""The control plane: queries come and go, planners are called, plans come into force, things drift.

All of it runs on one SimPy clock. It tells the data plane what changes and when; what depends on
requests (telemetry, verdicts, draining) happens at ticks only, after the data plane was advanced.
"""

from collections.abc import Callable, Generator, Sequence
from operator import itemgetter
from pathlib import Path
from time import perf_counter
from traceback import extract_tb

from simpy import Event

from hardware_models.tables import using_tables
from scenarios.drift import DriftEvent
from scenarios.queries import Query, QueryTruth, births
from scenarios.requests import request_blocks
from scenarios.scenario import Scenario
from sim.api.context import PlanningContext
from sim.api.planner import Planner
from sim.clock import Clock, ns, seconds
from sim.cluster.billing import Billing
from sim.cluster.machines import Machines, Station
from sim.cluster.queries import Deployment, QueryRegistry, QueryState
from sim.controlplane.deployments import Deployments, NoRoomError
from sim.controlplane.gc_policy import seldom_collected
from sim.controlplane.interference import Interference
from sim.controlplane.result_rows import (
    decision_row,
    end_row,
    operator_columns,
    query_row,
    window_columns,
)
from sim.controlplane.routing import RouteBuilder
from sim.dataplane.base.interface import DataPlane, Recorder
from sim.dataplane.base.recorders import Tee
from sim.metrics.goodput import Account, SloMonitor, Verdicts
from sim.metrics.results import ResultTables
from sim.planning.call import DeploymentOrder, PlanningCall
from sim.planning.context import ServedContext
from sim.planning.profiling_log import ProfilingLog
from sim.planning.service import PlanningService


class World:
    """One simulated run.

    Args:
        scenario: what is simulated.
        planner: who decides.
        seed: seed of all random streams.
        data_plane: makes the data plane, given the recorder that it reports to.
        profiling_log: where profiling is noted, and what an earlier run that broke off had noted.
        listeners: who else is told of requests, after the monitor that counts them.
    """

    def __init__(
        self,
        scenario: Scenario,
        planner: Planner,
        seed: int,
        data_plane: Callable[[Recorder], DataPlane],
        profiling_log: ProfilingLog | None = None,
        listeners: Sequence[Recorder] = (),
    ) -> None:
        self.scenario = scenario
        self.planner = planner
        self.seed = seed
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
        self._routes = RouteBuilder(self.data, scenario, self.planning_service.nominal)
        self._deployments = Deployments(
            self.env,
            scenario.cluster,
            self.machines,
            self.billing,
            self._routes,
            self.data,
        )
        self._interference = Interference(self.machines, self.data)
        self.planner_errors: list[str] = []
        self.planning_wall_s = 0.0
        self.planner_crashes = 0
        self.profiling_runs_lost = 0
        self._planner_away_until_ns = 0
        self._saving = any(each.kind == "planner_crash" for each in scenario.drift.events)
        if self._saving:
            self.planning_service.checkpoint(0)
        self._refused = False
        self._due: dict[int, list[tuple[int, DeploymentOrder, str, int]]] = {}
        self._costs_noted: dict[int, float] = {}
        self._closing: dict[int, QueryState] = {}
        self._horizon_ns = ns(scenario.horizon_s)
        self.env.process(self._arrivals())
        self.env.process(self._ticks())
        for event in scenario.drift.in_order():
            if event.kind == "machine_failure":
                self.env.process(self._machine_failure(event))
            elif event.kind == "mps_fault":
                self.env.process(self._mps_fault(event))
            elif event.kind == "planner_crash":
                self.env.process(self._planner_crash(event))

    # Running

    @property
    def now_s(self) -> float:
        """The simulated time in seconds."""
        return seconds(self.env.now)

    def run(self, until_s: float) -> None:
        """Advance to a time in seconds, at most to the horizon, where the run is closed."""
        until_ns = min(ns(until_s), self._horizon_ns)
        if until_ns > self.env.now:
            with using_tables(self.scenario.tables), seldom_collected():
                self.env.run(until=until_ns)
                if until_ns == self._horizon_ns:
                    self._close()

    def _close(self) -> None:
        """Bring everything to account at the horizon."""
        now = self.env.now
        self.data.advance(now)
        self._note_costs(now)
        self.data.finish()
        self.monitor.judge(now, horizon=True)

    # Queries

    def _arrivals(self) -> Generator[Event, None, None]:
        """Let every query arrive at its time."""
        for query, truth in births(self.scenario, self.seed):
            at_ns = ns(query.arrival_s)
            if at_ns > self.env.now:
                yield self.env.timeout(at_ns - self.env.now)
            self._arrive(query, truth)

    def _arrive(self, query: Query, truth: QueryTruth) -> None:
        now = self.env.now
        state = QueryState(query, truth)
        self.registry.arrive(state)
        self._closing[query.id] = state
        self.monitor.arrive(query, now)
        self.planning_service.telemetry.arrive(query.id)
        self._routes.add_access_link(query.id, truth, now)
        self.data.open_source(
            now, query.id, request_blocks(self.scenario.application, query, self.seed)
        )
        self.env.process(self._life(state))
        self._call_planner("arrival")

    def _life(self, state: QueryState) -> Generator[Event, None, None]:
        """Wait until a query departs, and see it off."""
        yield self.env.timeout(max(1, ns(state.truth.departure_s) - self.env.now))
        now, query = self.env.now, state.query.id
        self.billing.settle(now)
        self._note_cost(state, now)
        unlisted = self.registry.depart(query)
        self.planning_service.forget(query)
        if unlisted is not None:
            self.planning_service.memory.forget(
                (name, unlisted.id) for name in self.planner.query_records
            )
        self.data.close_source(now, query)
        self.monitor.depart(query, now)
        self._withdraw(state)
        self._call_planner("departure")

    # Planning

    def _call_planner(self, trigger: str) -> None:
        """Call the planner, unless its process is down, and schedule its orders."""
        if self.env.now < self._planner_away_until_ns:
            return
        planner = self.planner
        call = PlanningCall(
            self.planning_service, self.env.now, planner.budget_s, planner.sees_truth
        )
        context = self._context(call, trigger)
        started = perf_counter()
        outcome = call.run(planner, context)
        self.planning_wall_s += perf_counter() - started
        if outcome.error is not None:
            self._note_error(trigger, outcome.error)
        ordered = {order.query for order in outcome.orders}
        for query, search in outcome.searches.items():
            self.planning_service.planning_charged_s += seconds(search.charged_ns)
            state = self.registry.living[query]
            state.planning_s += seconds(search.charged_ns)
            state.profiling_s += seconds(search.profiling_ns)
            state.surrogates_s += seconds(search.surrogates_ns)
            state.profiling_device_s += search.device_s
            if search.clock_ns > self.env.now and query not in ordered:
                state.searching = True
                self.env.process(self._search_in_vain(state, search.clock_ns))
        for order in outcome.orders:
            self.registry.living[order.query].searching = True
            due = self._due.setdefault(order.at_ns, [])
            due.append((order.query, order, trigger, self.env.now))
            if len(due) == 1:
                self.env.process(self._when_due(order.at_ns))

    def _context(self, call: PlanningCall, trigger: str) -> PlanningContext:
        return ServedContext(call, trigger)

    def _note_error(self, trigger: str, error: BaseException) -> None:
        line = f"{type(error).__name__} in {_origin(error)}: {_reason(error)}"
        self.planner_errors.append(f"at {self.now_s:.3f} s, on {trigger}: {line}")
        self.tables.add(
            "decisions",
            {
                "trigger": trigger,
                "triggered_s": self.now_s,
                "decided_s": self.now_s,
                "outcome": "error",
                "reason": line,
            },
        )

    def _search_in_vain(self, state: QueryState, until_ns: int) -> Generator[Event, None, None]:
        crashes = self.planner_crashes
        yield self.env.timeout(until_ns - self.env.now)
        if crashes == self.planner_crashes:  # Else the search ended with the planner's process.
            state.searching = False

    def _when_due(self, at_ns: int) -> Generator[Event, None, None]:
        """Wait for a moment at which orders are due, then carry them out by query."""
        if at_ns > self.env.now:
            yield self.env.timeout(at_ns - self.env.now)
        due = self._due.pop(at_ns, ())  # nothing, if they were lost with the planner's process
        for query, order, trigger, triggered_ns in sorted(due, key=itemgetter(0)):
            state = self.registry.living.get(query)
            if state is not None:
                state.searching = False
                self.env.process(self._carry_out(state, order, trigger, triggered_ns))

    def _carry_out(
        self, state: QueryState, order: DeploymentOrder, trigger: str, triggered_ns: int
    ) -> Generator[Event, None, None]:
        """Deploy the plan of an order if it still fits, and wait until it is in force."""
        if state.departed:
            return
        row = decision_row(order, trigger, triggered_ns)
        if order.plan is None:
            self._take_out_of_force(state)
            self._withdraw(state)
            self.tables.add("decisions", row | {"outcome": "released"})
            return
        figures = self.planning_service.figures(state.query, order.plan)
        row |= {
            "list_price_usd_per_hour": figures.list_price_usd_per_hour,
            "latency_basis": figures.basis,
        }
        try:
            deployment = self._deployments.reserve(
                state, order.plan, figures.demands, figures.backhaul_up_s
            )
        except NoRoomError as refusal:
            self.tables.add("decisions", row | {"outcome": "refused", "reason": str(refusal)})
            self._refused = True
            return
        self.tables.add(
            "decisions",
            row
            | {
                "deployment": deployment.number,
                "outcome": "deployed",
                "in_force_s": seconds(deployment.in_force_ns),
            },
        )
        yield from self._bring_into_force(state, deployment)

    # Deployments

    def _bring_into_force(
        self, state: QueryState, deployment: Deployment
    ) -> Generator[Event, None, None]:
        """Wait until a deployment's models are loaded, then let it replace the one in force."""
        if state.loading is not None:
            self._deployments.leave(state.loading)
        state.loading = deployment
        if deployment.in_force_ns > self.env.now:
            yield self.env.timeout(deployment.in_force_ns - self.env.now)
        if state.loading is not deployment:
            return  # The query departed, or a machine failed, or another plan overtook this one.
        now = self.env.now
        if state.active is not None:
            self._deployments.drain(state.active)
        state.loading, state.active = None, deployment
        state.active_since_ns[deployment.number] = now
        usd_per_answer = self.planning_service.nominal.egress_usd_per_answer(
            deployment.plan.placement
        )
        state.egress_usd[deployment.number] = usd_per_answer
        accuracies = self._accuracies(state, deployment)
        self.monitor.deploy(state.query.id, deployment.number, now, accuracies)
        self.data.route(now, state.query.id, self._routes.route(state, deployment))

    def _withdraw(self, state: QueryState) -> None:
        """Take a query's deployments out of force; what is in flight may finish."""
        if state.loading is not None:
            self._deployments.leave(state.loading)
            state.loading = None
        if state.active is not None:
            self._deployments.drain(state.active)
            state.active = None

    def _take_out_of_force(self, state: QueryState) -> None:
        """Take a living query's deployment out of force; its requests are unserved from now on."""
        if state.active is not None:
            self._deployments.drain(state.active)
            state.active = None
            self.data.route(self.env.now, state.query.id, None)
            self.monitor.deploy(state.query.id, None, self.env.now)

    # What is learned at ticks

    def _ticks(self) -> Generator[Event, None, None]:
        """Advance the data plane tick by tick, and act on what it shows."""
        tick_ns = ns(self.scenario.cluster.tick_s)
        period_s = self.planner.replan_every_s
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
            self._deployments.end_draining()
            if self._saving and now // checkpoint_ns != (now - tick_ns) // checkpoint_ns:
                self.planning_service.checkpoint(now)
            if self._refused:
                # Told at ticks, or a planner that insists would keep the clock from moving on.
                self._refused = False
                self._call_planner("refusal")
            if period_s is not None and now >= next_replan_ns:
                next_replan_ns = (now // ns(period_s) + 1) * ns(period_s)
                self._call_planner("tick")

    def _note_costs(self, now: int) -> None:
        """Put what each living query owes since the last note into the window that ends now."""
        self.billing.settle(now)
        for state in self.registry.living.values():
            self._note_cost(state, now)

    def _note_cost(self, state: QueryState, now: int) -> None:
        """Put what one query owes since the last note into the window that now is the end of.

        That is the end of the window, or of the query's life: what it owes later is in none.
        """
        self._charge_egress(state)
        query = state.query.id
        usd = self.billing.owed_usd(query)
        self.monitor.add_cost(query, now, usd - self._costs_noted.get(query, 0.0))
        self._costs_noted[query] = usd

    def _charge_egress(self, state: QueryState) -> None:
        """Charge the answers that have left a cloud region since the last call."""
        for number, usd_per_answer in state.egress_usd.items():
            served = self.monitor.served(number)
            usd = usd_per_answer * (served - state.egress_charged.get(number, 0))
            state.egress_charged[number] = served
            if usd:
                self.billing.charge(state.query.id, usd)

    def _accuracies(self, state: QueryState, deployment: Deployment) -> list[tuple[int, float]]:
        """Return the accuracy that a deployment is expected to have, and from when, by mixture."""
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
        """Write the row of a query of which nothing more will be heard."""
        state = self._closing.pop(account.query.id)
        self._charge_egress(state)
        self._routes.remove_access_link(account.query.id)
        self.planning_service.telemetry.forget(account.query.id)
        trials = [
            (self.monitor.trial(number), since_ns)
            for number, since_ns in state.active_since_ns.items()
        ]
        for number in state.active_since_ns:
            self.monitor.forget(number)
        self._costs_noted.pop(account.query.id, None)
        self.tables.add(
            "queries",
            query_row(state, account, trials, self.scenario.horizon_s, self.scenario.application),
        )

    # Failures

    def _machine_failure(self, event: DriftEvent) -> Generator[Event, None, None]:
        """Fail a machine at its time, and bring it back."""
        if event.at_s > 0:
            yield self.env.timeout(ns(event.at_s))
        assert event.node is not None
        now = self.env.now
        machine = self.machines.pools[event.node][event.machine]
        machine.down_until_ns = max(machine.down_until_ns, now + ns(event.duration_s))
        if not machine.up:
            return  # Another event took it down already; this one can only keep it away longer.
        self.billing.settle(now)
        reason = f"machine {event.machine} of {event.node} failed"
        self._lose(self.machines.fail(machine, now), reason)
        while self.env.now < machine.down_until_ns:
            yield self.env.timeout(machine.down_until_ns - self.env.now)
        self.billing.settle(self.env.now)  # A machine that is down costs nothing.
        self.machines.recover(machine, self.env.now)
        machine.ready_ns = self.env.now + ns(machine.node.boot_s)
        self._call_planner("recovery")

    def _mps_fault(self, event: DriftEvent) -> Generator[Event, None, None]:
        """End all clients of the instance that the most of them share, if any is shared."""
        if event.at_s > 0:
            yield self.env.timeout(ns(event.at_s))
        assert event.node is not None
        machine = self.machines.pools[event.node][event.machine]
        shared = [each for each in machine.instances if each.clients > 1]
        if not shared:
            return
        self.billing.settle(self.env.now)
        instance = max(shared, key=lambda each: each.clients)  # of equals, the first
        reason = f"a GPU instance of machine {event.machine} of {event.node} failed"
        self._lose(self.machines.fail_instance(instance, self.env.now), reason)

    def _planner_crash(self, event: DriftEvent) -> Generator[Event, None, None]:
        """Lose the planner's process, its searches, and what it did not save; restart it."""
        if event.at_s > 0:
            yield self.env.timeout(ns(event.at_s))
        self.planner_crashes += 1
        self.profiling_runs_lost += self.planning_service.fall_back()
        self._due.clear()
        for state in self.registry.living.values():
            state.searching = False
        back_ns = self.env.now + ns(event.duration_s)
        self._planner_away_until_ns = max(self._planner_away_until_ns, back_ns)
        yield self.env.timeout(back_ns - self.env.now)
        if back_ns == self._planner_away_until_ns:  # Else it crashed again while it was away.
            self._planner_away_until_ns = 0  # Of two crashes that end now, one calls.
            self._call_planner("recovery")

    def _lose(self, stations: list[Station], reason: str) -> None:
        """Lose what stations held that are gone, end their deployments, and tell the planner.

        Args:
            stations: those that are gone.
            reason: why, as the table of decisions says it.
        """
        now, dead = self.env.now, set(stations)
        for station in sorted(dead, key=lambda station: station.id):
            self.data.fail_station(now, station.id)
        for state in self.registry.living.values():
            if state.loading is not None and not dead.isdisjoint(state.loading.stations):
                self.tables.add("decisions", end_row(state.loading, now, reason))
                self._deployments.leave(state.loading)
                state.loading = None
            if state.active is not None and not dead.isdisjoint(state.active.stations):
                self.tables.add("decisions", end_row(state.active, now, reason))
                self.monitor.void_trial(state.active.number, now)
                self._take_out_of_force(state)
        self._call_planner("failure")


def _reason(error: BaseException) -> str:
    """Return the message of an exception in one line."""
    try:
        said = str(error)
    except Exception:  # A planner's exception may not even be able to say what it is.
        said = ""
    return " ".join(said.split()) or "no message"


def _origin(error: BaseException) -> str:
    """Return the file and line of the planner's own code at which an exception came up."""
    here = Path(__file__).parents[1]
    frames = [
        frame
        for frame in extract_tb(error.__traceback__)
        if here not in Path(frame.filename).parents
    ]
    return (
        f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "no code of its own"
    )
