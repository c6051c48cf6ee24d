"""Small worlds and data planes that several tests build."""

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from omegaconf import OmegaConf

from scenarios.applications.application import Application
from scenarios.applications.dataset import Tokens
from scenarios.applications.shipped import shipped_application, shipped_applications
from scenarios.arrivals import ArrivalProcess
from scenarios.cluster import DEVICE, NOMINAL, Cluster, Node
from scenarios.declaration import DeclaredApplication
from scenarios.drift import Drift
from scenarios.network import Network
from scenarios.numerics import Ints
from scenarios.queries import Query
from scenarios.random_streams import stream
from scenarios.requests import RequestBlock
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim.api.context import PlanningContext
from sim.api.plan import Plan
from sim.api.planner import Planner
from sim.controlplane.world import World
from sim.dataplane.base.interface import DataPlane, Recorder, Route, StationSpec, Visit
from sim.dataplane.base.rate_profile import RateProfile
from sim.dataplane.base.recorders import Tee
from sim.dataplane.base.request_rows import ARRIVAL, ENDED, RequestRecord, records
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
BRANCHED = "spoken_question"
"""The example whose operators fork and join."""

FAST_LINK = RateProfile((0,), (10**9,))  # 1 byte per nanosecond


@dataclass
class Recording:
    """A recorder that keeps everything, in the order in which it was told."""

    births: list[tuple[int, int]] = field(default_factory=list)
    records: list[RequestRecord] = field(default_factory=list)

    def record(self, rows: np.ndarray, born: np.ndarray, ended: np.ndarray) -> None:
        self.births += [(each.query, each.arrival_ns) for each in records(rows, born)]
        self.records += records(rows, ended)

    def ends(self, query: int = 0) -> list[tuple[int, str, int]]:
        """List (birth, outcome, end) of a query's requests, by birth."""
        return sorted(
            (each.arrival_ns, each.outcome, each.ended_ns)
            for each in self.records
            if each.query == query
        )


def recorded(kind: Callable[[Recorder], DataPlane]) -> tuple[DataPlane, Recording]:
    """Return a data plane, and the recording of what it tells."""
    recording = Recording()
    return kind(recording), recording


class Sojourns:
    """A recorder that keeps the sojourns of requests born after a warm-up, in ns."""

    def __init__(self, after_ns: int) -> None:
        self.after_ns, self.all_ns = after_ns, list[int]()

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        ends = rows[ended]
        ends = ends[ends[:, ARRIVAL] >= self.after_ns]
        self.all_ns += (ends[:, ENDED] - ends[:, ARRIVAL]).tolist()


class Forgetful:
    """A recorder that keeps nothing."""

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        pass


def grown_bytes(work: Callable[[int, int], None], first: int, warm: int, last: int) -> int:
    """Return by how much memory grows while work goes on to ``last`` after it got to ``warm``."""
    tracemalloc.start()
    try:
        work(first, warm)
        before, _ = tracemalloc.get_traced_memory()
        work(warm, last)
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def overhear(world: World) -> Recording:
    """Return a recording of all that a world's monitor is told from now on."""
    recording = Recording()
    world.data.recorder = Tee(recording, world.monitor)
    return recording


def flat(record: RequestRecord) -> tuple:
    """Return all that a record holds, comparable."""
    return (
        record.query,
        record.arrival_ns,
        record.deployment,
        record.outcome,
        record.ended_ns,
        tuple(record.queueing_ns),
        tuple(record.batching_ns),
        tuple(record.compute_ns),
        tuple(record.transfer_ns),
    )


def requests(
    arrival_ns: Sequence[int],
    size: Sequence[float] | None = None,
    operators: int = 1,
    length: Sequence[float] | None = None,
    allowance: Sequence[float] | None = None,
    variability: Sequence[Sequence[float]] | None = None,
) -> Iterator[RequestBlock]:
    """Return a source of these requests, in one block; all factors are 1 unless given."""
    count = len(arrival_ns)
    return iter(
        [
            RequestBlock(
                np.array(arrival_ns, dtype=np.int64),
                np.ones(count) if size is None else np.array(size, dtype=float),
                np.ones(count) if length is None else np.array(length, dtype=float),
                np.ones(count) if allowance is None else np.array(allowance, dtype=float),
                np.ones((count, operators))
                if variability is None
                else np.array(variability, dtype=float),
            )
        ]
    )


def pipeline(deployment: int, *stops: tuple[str, int, float]) -> Route:
    """Lay out a route of stops ("link" or "station", id, mean); a station ends an operator."""
    visits, operator = [], 0
    for kind, number, mean in stops:
        if kind == "station":
            visits.append(Visit(operator, number, None, mean))
            operator += 1
        else:
            visits.append(Visit(operator, None, number, mean))
    return Route(deployment, tuple(visits))


def graph(
    deployment: int,
    operators: Sequence[tuple[int, float | Tokens, dict[int, Sequence[tuple[int, float]]]]],
    answer: Sequence[tuple[int, float]] = (),
) -> Route:
    """Lay out a route of operators that follow each other as a graph.

    Args:
        deployment: number of the deployment.
        operators: of each, its station, its mean, and the links (id, mean) on the way from each
            operator that it follows; the first follows none.
        answer: links that the answer crosses.
    """
    visits: list[Visit] = []
    ends: list[int] = []

    def cross(operator: int, links: Sequence[tuple[int, float]], before: int) -> int:
        for link, mean in links:
            visits.append(Visit(operator, None, link, mean, (before,)))
            before = len(visits) - 1
        return before

    for operator, (station, mean, follows) in enumerate(operators):
        after = tuple(cross(operator, links, ends[each]) for each, links in follows.items())
        visits.append(Visit(operator, station, None, mean, after))
        ends.append(len(visits) - 1)
    cross(len(operators), answer, ends[-1])
    return Route(deployment, tuple(visits))


def one_station(
    spec: StationSpec, arrival_ns: Sequence[int], service_ns: float, size: Sequence[float] | None
) -> tuple[EventsPlane, Recording]:
    """Return a plane with one query whose requests visit one station, ready to advance."""
    plane, recording = recorded(EventsPlane)
    plane.add_station(spec)
    plane.open_source(0, 0, requests(arrival_ns, size))
    plane.route(0, 0, pipeline(0, ("station", spec.id, service_ns)))
    return plane, recording


@cache
def declared(name: str, **changes: object) -> Application:
    """Return one of the applications that come with the package, or one of the documentation's.

    It is made once, as it is slow.
    """
    if name in shipped_applications():
        return shipped_application(name, **changes)
    node = OmegaConf.to_container(OmegaConf.load(EXAMPLES / name / "application" / f"{name}.yaml"))
    del node["_target_"]
    return DeclaredApplication(**node | {"tables": str(EXAMPLES / name / "tables")} | changes)


def content(name: str, **changes: object) -> Application:
    """Return a shipped application with changed keys of its ``accuracy``."""
    return shipped_application(name, accuracy=_accuracy(name) | changes)


def _accuracy(name: str) -> dict[str, object]:
    return _declaration(name)["accuracy"]


def _declaration(name: str) -> dict[str, object]:
    file = EXAMPLES.parent.parent / "conf" / "application" / f"{name}.yaml"
    return OmegaConf.to_container(OmegaConf.load(file))


def _alike(name: str) -> dict[str, object]:
    """Return the data sets of an application whose users differ little; cameras have one scene."""
    measured = {"content_concentration"} | ({"strata"} if name.startswith("visual") else set())
    return {
        one: {key: value for key, value in node.items() if key not in measured}
        for one, node in _declaration(name)["datasets"].items()
    }


@cache
def smooth(name: str, **changes: object) -> Application:
    """Return one of the applications of `declared`, with the content of version 0.1.

    An item has one rank in all configurations, all times grow with the size of a request, and users
    differ little.
    Tests of planners and of the world then need few items to tell configurations apart.
    """
    changes = {"size_scales": "all", **changes}
    if name not in shipped_applications():
        return declared(name, **changes)
    ranks: dict[str, object] = {"rank_correlation": 1.0}
    if name == "speech_recognition":
        ranks["spread"] = "straight"
    changes = {"datasets": _alike(name), **changes}
    return shipped_application(name, accuracy=_accuracy(name) | ranks, **changes)


def smooth_network(technologies: dict[str, float] | None = None, **others: object) -> Network:
    """Return a network whose links are as fast as in speed tests."""
    shares = {} if technologies is None else {"technologies": technologies}
    return Network(capacity="speed_tests", **shares, **others)


def scenario(
    horizon_s: float = 120.0,
    rate: float = 0.1,
    drift: Drift | None = None,
    nodes: dict[str, Node] | None = None,
    workload: Workload | None = None,
    **cluster: object,
) -> Scenario:
    """Return a small smooth scenario: an edge machine and two cloud machines with an A100 each."""
    return Scenario(
        smooth("speech_recognition", window_s=40.0),
        Cluster(
            nodes
            or {
                "edge": Node("edge", "g2-standard-8", standby=1),
                "cloud": Node("cloud", "a2-highgpu-1g", count=2),
            },
            **NOMINAL | cluster,
        ),
        smooth_network(),
        workload
        or Workload(
            rate=rate,
            lifetime_mean_s=80.0,
            lifetime_min_s=20.0,
            tiers={
                "premium": Tier(1.0, latency_s=1.0, accuracy_of_best=0.95),
                "economy": Tier(1.0, latency_s=4.0, cost_usd_per_hour=1.0),
            },
        ),
        drift=drift or Drift(),
        horizon_s=horizon_s,
    )


def coding_without_gpus() -> Scenario:
    """Return a small scenario that no plan suits: language models run on GPUs alone."""
    cluster = Cluster({"cloud": Node("cloud", "n1-standard-8")}, **NOMINAL)
    workload = Workload(0.1, lifetime_mean_s=80.0, lifetime_min_s=20.0)
    return Scenario(declared("code_generation"), cluster, workload=workload, horizon_s=30.0)


def queries_at(
    *times: float,
    latency_s: float | None = 4.0,
    accuracy: float | None = None,
    usd_per_hour: float | None = None,
    dataset: str = "LibriSpeech",
    **more: object,
) -> Workload:
    """Return a workload of queries that arrive then, stay, and have clean speech unless told."""
    values = {
        "lifetime_mean_s": 1000.0,
        "lifetime_min_s": 900.0,
        "tiers": {"any": Tier(1.0, latency_s, accuracy, usd_per_hour)},
        "datasets": {dataset: 1.0},
    }
    return Workload(arrivals=At(times), **values | more)


def run(
    a_scenario: Scenario,
    planner: Planner,
    seed: int = 1,
    world: type[World] = World,
    plane: Callable[[Recorder], DataPlane] = BlocksPlane,
) -> World:
    """Run a world to its horizon and return it, its tables not yet taken."""
    made = world(a_scenario, planner, seed, plane)
    made.run(a_scenario.horizon_s)
    return made


def tables_of(a_scenario: Scenario, planner: Planner, seed: int = 1) -> dict[str, pl.DataFrame]:
    """Run a world in which no call of its planner fails, and return its tables."""
    made = run(a_scenario, planner, seed)
    assert made.planner_errors == []
    return made.tables.take()


def asked(
    ask: Callable[[PlanningContext, Query], object],
    a_scenario: Scenario,
    budget_s: float = 5.0,
    calls: int = 1,
) -> list[object]:
    """Return what is answered about the first query in the first calls that it waits in."""
    answers: list[object] = []

    def act(context: PlanningContext) -> None:
        if context.waiting and len(answers) < calls:
            answers.append(ask(context, context.waiting[0]))

    made = run(a_scenario, Does(act, budget_s, replan_every_s=1.0))
    assert made.planner_errors == []
    assert len(answers) == calls
    return answers


def finish_step_by_step(profile: RateProfile, start_ns: int, work: int) -> int:
    """Return when work is done, nanosecond by nanosecond: slow, and plain to see."""
    now = start_ns
    while work > 0 or now == start_ns:
        rate = profile.rates[0]
        for begins, each in zip(profile.starts_ns, profile.rates, strict=True):
            if begins <= now:
                rate = each
        work -= rate
        now += 1
    return now


@dataclass(frozen=True)
class At(ArrivalProcess):
    """Queries that arrive at given times, whatever the rate."""

    times: tuple[float, ...]

    def times_s(self, rate: float, horizon_s: float, rng: np.random.Generator) -> np.ndarray:
        return np.array([each for each in self.times if each < horizon_s])


class Does(Planner):
    """A planner that does what a test says; it keeps state, which no other planner may."""

    def __init__(
        self,
        action: Callable[[PlanningContext], None],
        budget_s: float = 5.0,
        replan_every_s: float | None = None,
    ) -> None:
        self.action = action
        self.budget_s, self.replan_every_s = budget_s, replan_every_s

    def plan(self, context: PlanningContext) -> None:
        self.action(context)


def plan_in(
    context: PlanningContext, query: Query, place: str, configuration: int | None = None
) -> Plan:
    """Return the first candidate that runs everything in one place, of a configuration if given."""
    return next(
        plan
        for plan in context.candidates(query)
        if set(plan.placement) == {place} and configuration in (None, plan.configuration.index)
    )


class Remembers:
    """A part of a planning context: what planners remember is in ``memory``."""

    memory: dict[object, object]

    def recall(self, key: object, query: object = None) -> object:
        return self.memory.get(key)

    def remember(self, key: object, value: object, query: object = None) -> None:
        self.memory[key] = value


class Restless(Planner):
    """Deploys and releases plans at random, with replicas and batches: capacity is never at rest.

    Args:
        seed: of its own draws.
        replan_every_s: how often it changes its mind.
    """

    def __init__(self, seed: int = 0, replan_every_s: float = 5.0) -> None:
        self.seed = seed
        self.replan_every_s = replan_every_s

    def plan(self, context: PlanningContext) -> None:
        for query in (*context.waiting, *context.running):
            rng = stream(
                self.seed, "restless", query.id, context.trigger, round(1e3 * context.now_s)
            )
            choice = rng.random()
            if choice < 0.1 and query in context.running:
                context.release(query)
            elif choice < 0.7 or query in context.waiting:
                if rng.random() < 0.5:
                    context.charge(query, count=int(rng.integers(1, 2_000_000)))
                context.deploy(query, self.draw(context, query, rng))

    def draw(self, context: PlanningContext, query: Query, rng: np.random.Generator) -> Plan:
        view = context.bulk.view(query)  # all candidates in this order, none of them made yet
        plan = view.plan(int(rng.integers(min(len(view), 20_000))))
        batches = [int(rng.integers(1, 5)) for _ in plan.allocation]
        allocation = tuple(
            share
            if place == DEVICE or operator.kind == "llm"  # Engines batch without waiting.
            else replace(share, replicas=int(rng.integers(1, 3)), max_batch=batch, max_wait_s=0.05)
            for operator, place, share, batch in zip(
                context.world.pipeline.operators,
                plan.placement,
                plan.allocation,
                batches,
                strict=True,
            )
        )
        return Plan(plan.configuration, plan.placement, allocation)
