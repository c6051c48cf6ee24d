"""Seconds of one core that Compass plans in the large tracking scenario, and what dominates.

An hour that fills up to 1,600 simultaneous queries of 600 s each. The data plane moves no requests,
so telemetry never shows any trouble, and only the planner is measured: searches, matching, audits,
improvement in the background. After the hour, or the part of it that takes two minutes, another
simulated minute runs under a profiler. Times are processor seconds without compilation at first
use; those under the profiler are used only for shares.
"""

import cProfile
import pstats
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from time import process_time
from typing import Any

from lab.config.compose import compose, set_up
from lab.runs.runner import single_threaded
from planners.compass.compass import Compass
from planners.compass.runtime.watch import Watch
from planners.compass.scheduling.rebidding import retries
from planners.compass.scheduling.scheduler import PriceMatching
from planners.compass.search.beliefs import Beliefs
from planners.compass.search.search import CmboSearch
from scenarios.requests import RequestBlock
from sim.api.planner import Planner
from sim.controlplane.world import World
from sim.dataplane.base.interface import LinkSpec, Recorder, Route, StationSpec

QUERIES, LIFETIME_S, HORIZON_S = 1600, 600.0, 3600.0
MOST_S = 120.0
STEP_S = 10.0
PROFILED_S = 60.0

PARTS: Mapping[str, Callable[..., Any]] = {
    "proposing": Beliefs.propose,
    "profiling": CmboSearch.look,
    "learning": Beliefs.learn,
    "judging plans": Beliefs._look_at,
    "cheapest plan": Beliefs.cheapest,
    "offers": Beliefs.offers,
    "matching": PriceMatching.award,
    "looking at the refused": retries,
    "market": Compass._market,
    "watch and audits": Watch.drifted,
}
"""The measured parts of a planner call. Learning and the cheapest plan may fit surrogates; the
cheapest plan and offers judge plans."""


class Still:
    """A data plane that moves nothing.

    Args:
        recorder: the recorder, which is not used.
    """

    def __init__(self, recorder: Recorder) -> None:
        del recorder

    def add_station(self, spec: StationSpec) -> None: ...

    def add_link(self, spec: LinkSpec) -> None: ...

    def remove_station(self, station: int) -> None: ...

    def remove_link(self, link: int) -> None: ...

    def open_source(self, at_ns: int, query: int, blocks: Iterator[RequestBlock]) -> None: ...

    def close_source(self, at_ns: int, query: int) -> None: ...

    def route(self, at_ns: int, query: int, route: Route | None) -> None: ...

    def fail_station(self, at_ns: int, station: int) -> None: ...

    def slow_down(self, at_ns: int, station: int, factor: float) -> None: ...

    def busy_ns(self, station: int) -> int:
        del station
        return 0

    def abort(self, at_ns: int, deployment: int) -> None: ...

    def in_flight(self, deployment: int) -> int:
        del deployment
        return 0

    def advance(self, until_ns: int) -> None: ...

    def finish(self) -> None: ...


class Timed(Planner):
    """Measures the time of a planner.

    Args:
        planner: the planner.

    Attributes:
        planning_s: processor seconds by trigger.
        calls: calls by trigger.
        profiler: the profiler under which calls run, if any.
    """

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.budget_s = planner.budget_s
        self.replan_every_s = planner.replan_every_s
        self.planning_s: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.profiler: cProfile.Profile | None = None

    def plan(self, context: Any) -> None:
        started = process_time()
        if self.profiler is None:
            self.planner.plan(context)
        else:
            self.profiler.runcall(self.planner.plan, context)
        self.planning_s[context.trigger] += process_time() - started
        self.calls[context.trigger] += 1


def made(horizon_s: float = HORIZON_S) -> tuple[World, Timed]:
    """Return the world and its planner."""
    overrides = [
        "experiment=tracking_large",
        "planner=compass",
        f"workload.rate={QUERIES / LIFETIME_S}",
        f"workload.lifetime_mean_s={LIFETIME_S}",
        f"horizon_s={horizon_s}",
    ]
    setup = set_up(compose(overrides), overrides)
    planner = Timed(next(iter(setup.planners.values())))
    return World(setup.scenario(), planner, setup.seed, Still), planner


def dominating(planner: Timed, world: World) -> dict[str, float]:
    """Return each part's share of the planning time in the next minute."""
    planner.profiler = cProfile.Profile()
    world.run(min(HORIZON_S, world.now_s + PROFILED_S))
    stats: Any = pstats.Stats(planner.profiler)

    def cumulative_s(function: Callable[..., Any]) -> float:
        code = function.__code__
        place = code.co_filename, code.co_firstlineno, code.co_name
        return float(stats.stats[place][3]) if place in stats.stats else 0.0

    whole_s = cumulative_s(Compass.plan)
    return {part: round(cumulative_s(function) / whole_s, 3) for part, function in PARTS.items()}


def measure() -> dict[str, Any]:
    """Return the figures."""
    with single_threaded():
        world, _ = made()
        world.run(STEP_S)  # Compiles or loads the compiled code.
        world, planner = made()
        started = process_time()
        until_s = HORIZON_S - PROFILED_S
        while world.now_s < until_s and process_time() - started < MOST_S:
            world.run(min(until_s, world.now_s + STEP_S))
            world.tables.take()
            if not world.now_s % 600:
                print(f"{world.now_s:.0f} s: {sum(planner.planning_s.values()):.1f} s", flush=True)
        simulated_s, planning_s = world.now_s, dict(planner.planning_s)
        arrivals, total_s = planner.calls["arrival"], sum(planning_s.values())
        living, running = len(world.registry.living), len(world.registry.running)
        shares = dominating(planner, world)
    return {
        "benchmark": "planning_large",
        "planning_s": round(total_s, 2),
        "simulated_s": simulated_s,
        "planning_s_per_hour": round(total_s * HORIZON_S / simulated_s, 1),
        "ms_per_arrival": round(1000 * total_s / arrivals, 2),
        "arrivals": arrivals,
        "living_at_end": living,
        "running_at_end": running,
        "planning_s_by_trigger": {key: round(value, 2) for key, value in planning_s.items()},
        "errors": len(world.planner_errors),
        "shares_of_last_minute": shares,
    }
