"""Worlds that follow a script: when queries arrive, what drifts, and what the planner orders.

The script alone decides a world, so a world can be built again up to any time: with another data
plane, from a checkpoint, or with a script that differs only in the future.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from worlds import At, declared

from lab.config.environment import Environment
from scenarios.cluster import DEVICE, NOMINAL, Cluster, Node, Profiling
from scenarios.drift import Drift, DriftEvent
from scenarios.queries import Query
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError
from sim.api.estimate import Estimate
from sim.api.plan import Plan
from sim.api.planner import Planner
from sim.dataplane.base.interface import DataPlane, Recorder

HORIZON_S = 60.0
TICK_S = 1.0
CHECKPOINT_S = 5.0
WINDOW_S = 20.0
DRAIN_S = 3.0
KINDS = (
    *("deploy", "release", "profile", "predict", "live", "resample", "charge", "standby"),
    *("raise", "stale", "unfit"),
)
"""What a planner does: the last three are errors of its own."""
APPLICATIONS = ("speech_recognition", "visual_tracking", "spoken_question", "live_video_chat")
"""Pipelines of classical operators, one with a fork, and one with a language model."""
QUEUES: dict[str, dict[str, Any]] = {
    "fifo": {},
    "edf": {"discipline": "edf", "shed_late": True},
    "priority": {"discipline": "priority"},
}


class Action(NamedTuple):
    """One thing that the planner does in a call, for the query at a place of its lists."""

    kind: str
    query: int = 0
    plan: int = 0
    replicas: int = 1
    batch: int = 1
    percent: int = 100
    count: int = 1
    fitting: bool = True  # whether another plan will do if this one does not fit


@dataclass(repr=False)
class Script:
    """All that decides a world but its data plane."""

    application: str = "speech_recognition"
    queue: str = "fifo"
    seed: int = 1
    eager: bool = True  # whether the planner profiles and deploys a plan for waiting queries
    arrivals: list[float] = field(default_factory=list)
    events: list[DriftEvent] = field(default_factory=list)
    actions: dict[int, list[Action]] = field(default_factory=dict)  # by the number of the call

    def scenario(self) -> Scenario:
        """Return the scenario, which no other world has."""
        cluster = Cluster(
            {
                "edge": Node("edge", "g2-standard-4", standby=1),
                "cloud": Node("cloud", "a2-highgpu-1g", count=2),
            },
            profiling=Profiling(lanes=2, checkpoint_every_s=CHECKPOINT_S),
            drain_timeout_s=DRAIN_S,
            tick_s=TICK_S,
            load_bytes_per_s=4e9,
            **NOMINAL,
            **QUEUES[self.queue],
        )
        workload = Workload(
            arrivals=At(tuple(self.arrivals)),
            lifetime_mean_s=25.0,
            lifetime_min_s=8.0,
            tiers={
                "premium": Tier(1.0, latency_s=2.0, accuracy_of_best=0.6),
                "economy": Tier(1.0, latency_s=8.0, cost_usd_per_hour=2.0),
            },
        )
        application = declared(self.application, requests_per_s=1.0, window_s=WINDOW_S)
        return Scenario(
            application,
            cluster,
            workload=workload,
            drift=Drift(list(self.events)),
            horizon_s=HORIZON_S,
        )

    def of_kind(self, kind: str) -> list[DriftEvent]:
        """Return the events of a kind."""
        return [event for event in self.events if event.kind == kind]


@dataclass(frozen=True)
class Call:
    """One call of the planner: what it saw, did, and was answered. Only equality matters."""

    now_s: float
    trigger: str
    sees: tuple[Any, ...]
    answers: tuple[str, ...]
    charged_s: tuple[tuple[int, float], ...]  # by query, at the end of the call
    recalled: int | None  # the number of the last call that it remembers
    raised: bool


class Scripted(Planner):
    """Does in each call what the script says, and notes all that it can see.

    It keeps state, which no other planner may: here the script is the memory of the test.
    """

    budget_s = 5.0
    replan_every_s = 1.0

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: list[Call] = []
        self._kept: PlanningContext | None = None

    def plan(self, context: PlanningContext) -> None:
        actions = self.script.actions.get(len(self.calls), ())
        if self.script.eager and not actions:
            plan = 7919 * (1 + len(self.calls))
            actions = [
                Action(kind, place, plan + query.id, count=5)
                for place, query in enumerate(context.waiting)
                for kind in ("profile", "deploy")
            ]
        sees, answers = _view(context), []
        charged: dict[int, float] = {}
        recalled = context.recall("call")
        context.remember("call", len(self.calls))
        error = None
        for action in actions:
            queries = (*context.waiting, *context.running, *context.bulk.searching)
            if not queries:
                continue
            query = queries[action.query % len(queries)]
            try:
                answers.append(repr(self._act(context, query, action)))
            except PlannerError as refused:
                answers.append(f"refused: {refused}")
            except ZeroDivisionError as raised:
                error = raised
            with suppress(PlannerError):  # An earlier search may be under way.
                charged[query.id] = self.budget_s - context.remaining(query)
            if error is not None:
                break
        self._kept = context
        self.calls.append(
            Call(
                context.now_s,
                context.trigger,
                sees,
                tuple(answers),
                tuple(charged.items()),
                recalled,
                error is not None,
            )
        )
        if error is not None:
            raise error

    def _act(
        self,
        context: PlanningContext,
        query: Query,
        action: Action,
    ) -> Any:
        """Do one thing, and return what the context answers."""
        answer: Any = None
        match action.kind:
            case "deploy":
                answer = _deploy(context, query, action)
            case "release":
                context.release(query)
            case "profile":
                plan = drawn(context, query, action)
                answer = _said(context.profile(query, plan, action.count % 40))
            case "predict":
                answer = context.predict(query, drawn(context, query, action))
            case "live":
                answer = _said(context.measure_live_accuracy(query, action.count % 40))
            case "resample":
                context.resample(query)
            case "charge":
                context.charge(query, count=action.count)
            case "standby":
                names = list(context.world.cluster.nodes)
                answer = context.keep_standby(names[action.plan % 2], action.count % 3)
            case "raise":
                raise ZeroDivisionError
            case "stale" if self._kept is not None:
                self._kept.deploy(query, drawn(context, query, action))
            case "unfit":
                plan = drawn(context, query, action)
                context.deploy(query, replace(plan, placement=plan.placement[1:]))
        return answer


def _deploy(context: PlanningContext, query: Query, action: Action) -> tuple[Plan, bool]:
    """Deploy the first plan from that of the action on that fits, or else its own."""
    context.charge(query, count=action.count)
    for step in range(12):
        other = action._replace(plan=action.plan + 31 * step)
        try:
            plan = drawn(context, query, other)
            fits = context.fits(query, plan)
        except PlannerError:  # No machine could ever hold so many replicas.
            plan = drawn(context, query, Action("deploy", plan=other.plan))
            fits = context.fits(query, plan)
        if fits or not action.fitting:
            break
    context.deploy(query, plan)
    return plan, fits


def _said(estimate: Estimate) -> tuple[Any, ...]:
    measured = estimate.measurement
    return measured.items.tolist(), measured.accuracy.tolist(), measured.operator_mean_s.tolist()


def drawn(context: PlanningContext, query: Query, action: Action) -> Plan:
    """Return the plan of an action, with replicas, batches and shares where they are possible."""
    view = context.bulk.view(query)
    plan = view.plan(action.plan % len(view))
    allocation = []
    for operator, place, share in zip(
        context.world.pipeline.operators, plan.placement, plan.allocation, strict=True
    ):
        changed = share
        if place != DEVICE and operator.kind != "llm":
            changed = replace(
                share, replicas=action.replicas, max_batch=action.batch, max_wait_s=0.05
            )
            if operator.kind == "gpu" and action.percent < 100:
                changed = replace(changed, thread_percent=action.percent, processes=2)
        allocation.append(changed)
    return Plan(plan.configuration, plan.placement, tuple(allocation))


def _view(context: PlanningContext) -> tuple[Any, ...]:
    """Return all that a planner can see without a charge."""
    world = context.world
    known = (*context.waiting, *context.running)
    return (
        [query.id for query in context.waiting],
        [query.id for query in context.running],
        [query.id for query in context.bulk.searching],
        [query.id for query in context.bulk.last_departed()],
        dict(world.plans),
        dict(world.loading),
        repr([(query, context.plan_of(query), context.telemetry(query)) for query in known]),
        [world.active_since_s(query) for query in known],
        [(node, world.machines_up(node), world.free_cores(node)) for node in world.cluster.nodes],
        [
            (world.machines_used(node), world.machines_on_standby(node))
            for node in world.cluster.nodes
        ],
        [
            world.free_instances(node, profile)
            for node, pool in world.cluster.nodes.items()
            for profile in pool.gpu_profiles
        ],
        world.last_release_s,
    )


@dataclass(frozen=True)
class Given:
    """What ``lab.runs.runner.simulate`` needs of a setup, for a script."""

    script: Script
    plane: Callable[[Recorder], DataPlane]
    flush_every_s: float = 15.0
    requests: bool = True
    max_wall_s: None = None
    max_call_s: None = None
    bound_every_s: None = None
    bound_optimum: bool = False
    environment: Environment = field(default_factory=Environment)

    def summary_of(self, name: str, summary: dict[str, Any]) -> dict[str, Any]:
        return summary

    @property
    def seed(self) -> int:
        return self.script.seed

    @property
    def data_plane(self) -> Callable[[Recorder], DataPlane]:
        return self.plane

    @property
    def scenario(self) -> Callable[[], Scenario]:
        return partial(Script.scenario, self.script)


def overlap_s(spans: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """Return how much of a span the disjoint spans cover."""
    return sum(max(0.0, min(end, until) - max(start, since)) for since, until in spans)
