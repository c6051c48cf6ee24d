"""The bound on goodput: a world by hand, validity in drawn worlds, and what users see of it."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from worlds import At, Does, declared, smooth_network

from lab import run
from lab.common.errors import InputError
from lab.common.metrics import GAP
from lab.config.environment import Environment
from lab.runs.goodput_bound import MOST_PERIODS, during, period_s
from lab.runs.runner import simulate
from planners.reference.ilp import ILP
from planners.teaching.cheapest_feasible import CheapestFeasible
from scenarios.applications.application import Application
from scenarios.applications.dataset import Dataset
from scenarios.applications.pipeline import Knob, Operator, Pipeline
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.numerics.distributions import Constant
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import CORE, Allocation, Plan
from sim.dataplane.blocks.plane import BlocksPlane

WINDOW_S, HORIZON_S = 20.0, 200.0
HALF = np.array([[[0.0, 1.0]]])


@dataclass(frozen=True)
class Given:
    """What `simulate` needs of a setup."""

    world: Scenario
    seed: int = 1
    bound_every_s: float | None = None
    bound_optimum: bool = True
    flush_every_s: float = 1e4
    requests: bool = False
    max_wall_s: None = None
    max_call_s: None = None
    environment: Environment = field(default_factory=Environment)
    data_plane = BlocksPlane

    def scenario(self):
        return self.world

    def summary_of(self, name, summary):
        return summary


def summary_of(scenario, planner, **others):
    return simulate(Given(scenario, **others), "planner", planner, [])


def by_hand(queries, service_s=5.0, message=1000.0, events=(), latency_s=2.5, **network):
    """Return a world in which each query needs half of the time of one of the edge's four cores.

    The edge is ten times as fast as the reference, so that no device is fast enough.
    """
    application = Application(
        Pipeline("by_hand", (Operator("work", "cpu", (Knob("size", (1,)),)),)),
        {
            "data": Dataset(
                "data",
                service_time_s=np.array([[service_s]]),
                message_bytes=np.array([[message]]),
                stratum_weights=np.ones(1),
                accuracy=np.array([[0.5]]),
                accuracy_quantiles=HALF,
                quantile_grid=HALF,
                request_size=Constant(),
            )
        },
        requests_per_s=1.0,
        interarrival=Constant(),
        window_s=WINDOW_S,
    )
    nodes = {
        "edge": Node("edge", "n1-standard-4", standby=1, cpu_relative_speed=132.03),
        "cloud": Node("cloud", "n1-standard-4", standby=1, cpu_relative_speed=132.03),
    }
    if not network:
        del nodes["cloud"]
    return Scenario(
        application,
        Cluster(nodes, **NOMINAL),
        smooth_network(**network),
        Workload(
            arrivals=At(tuple(0.001 * np.arange(queries))),
            lifetime_mean_s=10_001.0,
            lifetime_min_s=10_000.0,
            tiers={"any": Tier(latency_s=latency_s)},
        ),
        Drift(list(events)),
        horizon_s=HORIZON_S,
    )


def serving(node, cores):
    """Return a planner that serves everybody for whom stations of so many cores have room."""

    def plan(context):
        for query in context.waiting:
            [configuration] = context.world.pipeline.configurations
            one = Plan(configuration, (node,), (Allocation(CORE, cores),))
            if context.fits(query, one):
                context.deploy(query, one)

    return Does(plan)


@pytest.mark.parametrize(("cores", "served"), [(1, 4), (4, 6)])
def test_a_world_by_hand(cores, served):
    """Four cores may be 0.8 busy, and each of eight queries needs 0.5 of one: 6.4 queries.

    A core alone serves one query; four that share a queue serve six, which is the optimum.
    """
    found = summary_of(by_hand(8), serving("edge", cores))
    assert found["goodput_bound"] == pytest.approx(6.4 / 8, rel=1e-3)
    assert found["goodput_optimum"] == pytest.approx(6 / 8, rel=1e-3)
    assert found["slo_met_fraction"] == pytest.approx(served / 8, abs=2e-3)
    assert found["goodput_gap"] == found["goodput_bound"] - found["slo_met_fraction"]


def test_a_machine_that_fails_serves_nobody_meanwhile():
    """It is down for 50 of 200 s; the periods of 20 s see the mean over their time."""
    fails = DriftEvent("machine_failure", at_s=30.0, node="edge", machine=0, duration_s=50.0)
    found = summary_of(by_hand(8, events=[fails]), serving("edge", 1))
    assert found["goodput_bound"] == pytest.approx(6.4 / 8 * 0.75, rel=1e-3)
    assert found["goodput_optimum"] == pytest.approx(6 / 8 * 0.75, rel=1e-3)


def test_the_backhaul_limits_what_the_cloud_can_serve():
    """It carries 2 queries of 95 % of a message of 4000 bytes each second."""
    bps = 2 * 0.95 * 8 * 4000.0
    short = by_hand(12, message=4000.0, latency_s=3.0, backhaul_bps=bps)
    found = summary_of(short, serving("cloud", 4))
    assert found["goodput_bound"] == pytest.approx((6.4 + 2.0) / 12, rel=1e-2)


def test_queries_that_no_plan_can_serve_do_not_count():
    found = summary_of(by_hand(3, latency_s=0.3), serving("edge", 1))
    assert found["goodput_bound"] == found["goodput_optimum"] == 0
    assert found["goodput_gap"] == 0


def drawn(seed):
    """Return a world that is short of machines or links, or whose content and devices change."""
    rng = np.random.default_rng(seed)
    name = ("speech_recognition", "visual_tracking")[seed % 4 == 1]
    window_s, latency_s = 40.0, float(rng.choice([1, 2, 4]))
    kind = str(rng.choice(["device_slowdown", "link_degradation", "content_shift"]))
    events = [DriftEvent(kind, 40.125, factor=float(rng.choice([0.1, 0.5, 0.9])), share=0.7)]
    if rng.random() < 0.5:
        events.append(
            DriftEvent("machine_failure", 60.125, node="cloud", machine=0, duration_s=20.0)
        )
    return Scenario(
        declared(name, window_s=window_s),
        Cluster(
            {
                "edge": Node(
                    "edge", str(rng.choice(["n1-standard-4", "g2-standard-4"])), standby=1
                ),
                "cloud": Node("cloud", "a2-highgpu-1g"),
            },
            **{**NOMINAL, "speed_log_sd": 0.02, "service_cv": 0.015},
        ),
        smooth_network(backhaul_bps=float(rng.choice([1e6, 5e6, 1e9]))),
        Workload(
            rate=float(rng.choice([0.05, 0.3])),
            lifetime_mean_s=150.0,
            lifetime_min_s=50.0,
            tiers={
                "first": Tier(1.0, latency_s, accuracy_of_best=0.9),
                "second": Tier(1.0, 2 * latency_s, accuracy_of_best=0.7, cost_usd_per_hour=1.0),
            },
        ),
        Drift(events),
        horizon_s=2 * window_s + 25,
    )


def is_bounded(seed, planner, optimum=False):
    found = summary_of(drawn(seed), planner, seed=seed, bound_optimum=optimum)
    met, bound = found["slo_met_fraction"], found["goodput_bound"]
    assert met <= bound + 1e-9, seed
    if found["goodput_optimum"] is not None:
        assert met - 1e-9 <= found["goodput_optimum"] <= bound, seed
    return met, bound


def bold():
    """Return a planner that knows the truth, and plans as if nothing waited."""
    return ILP(utilisation=0.3, shares_backhaul=False, node_limit=1)


@pytest.mark.parametrize("seed", [0, 4])
def test_property_no_planner_exceeds_the_bound(seed):
    is_bounded(seed, bold())


@pytest.mark.slow
@pytest.mark.parametrize("planner", [bold, CheapestFeasible])
def test_property_no_planner_exceeds_the_bound_in_many_worlds(planner):
    found = np.array([is_bounded(seed, planner(), optimum=True) for seed in range(20, 44)])
    assert (found[:, 1] < 0.9).any(), "some bounds are tight"


def test_periods_are_whole_windows():
    world = by_hand(1)
    assert period_s(world) == WINDOW_S
    assert period_s(world, 1.0) == WINDOW_S
    assert period_s(world, 20.1) == 2 * WINDOW_S
    long = replace(world, horizon_s=100 * MOST_PERIODS)
    assert period_s(long) == 100.0


def test_longer_periods_give_a_looser_bound():
    fails = DriftEvent("machine_failure", at_s=30.0, node="edge", machine=0, duration_s=50.0)
    few = by_hand(2, events=[fails])
    short, long = (
        summary_of(few, serving("edge", 1), bound_every_s=every_s)["goodput_bound"]
        for every_s in (20.0, 200.0)
    )
    # Down for half of two periods, where half of 6.4 cores' room is enough for both queries, and
    # for all of two more.
    assert short == pytest.approx(1 - 40 / 200, abs=1e-3)
    assert long == pytest.approx(1.0)


def test_a_step_function_has_the_values_of_a_span():
    steps = ((5.0, "a"), (10.0, "b"), (20.0, "c"))
    assert list(during(steps, 0.0, 4.0)) == ["a"]
    assert list(during(steps, 6.0, 11.0)) == ["a", "b"]
    assert list(during(steps, 10.0, 20.0)) == ["b"]
    assert list(during(steps, 25.0, 30.0)) == ["c"]


def test_a_period_longer_than_the_run_is_refused():
    with pytest.raises(InputError, match=r"bound_every_s=700: must be at most .* horizon_s=600"):
        run(["experiment=speech_small", "bound_every_s=700"])


@pytest.mark.slow
def test_the_bound_changes_nothing_else_and_has_a_range():
    short = ["experiment=speech_small", "horizon_s=120", "planner=cheapest_feasible"]
    one, other = (run([*short, f"bound_every_s={every_s}"]) for every_s in (60, 120))
    assert one.windows.equals(other.windows)
    assert one.decisions.equals(other.decisions)
    assert GAP.range[0] <= one.summary["goodput_gap"] <= 1
    assert one.summary["goodput_optimum"] is None
    assert one.summary["bound_wall_s"] > 0
