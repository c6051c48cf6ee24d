"""The two data planes give the very same results of whole worlds, in every table."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from worlds import BRANCHED, Restless, declared, scenario

from scenarios.cluster import Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.scenario import Scenario
from scenarios.shipped import shipped_applications
from scenarios.workload import Workload
from sim.blocks.plane import BlocksPlane
from sim.events_plane import EventsPlane
from sim.world import World

DRIFTS = {
    "none": (),
    "device_slowdown": (DriftEvent("device_slowdown", at_s=40.3, factor=0.4, share=0.7),),
    "link_degradation": (DriftEvent("link_degradation", at_s=33.1, factor=0.02, share=0.7),),
    "content_shift": (DriftEvent("content_shift", at_s=50.0, share=0.8),),
    "failures": (
        DriftEvent("machine_failure", at_s=31.4, node="cloud", machine=0, duration_s=20.0),
        DriftEvent("mps_fault", at_s=70.2, node="cloud", machine=1),
        DriftEvent("planner_crash", at_s=45.0, duration_s=10.0),
    ),
}
NODES = {
    "edge": Node("edge", "g2-standard-8", standby=1),
    "cloud": Node("cloud", "a2-highgpu-1g", count=2),
}
QUEUES = (
    {},
    {"discipline": "edf", "shed_late": True},
    {"discipline": "priority"},
)
QUEUE_NAMES = ("fifo", "edf_shedding", "priority")


def tables(kind: type, a_scenario: Scenario, seed: int) -> dict[str, pl.DataFrame]:
    made = World(a_scenario, Restless(seed), seed, kind)
    made.run(a_scenario.horizon_s)
    return made.tables.take()


def agree(a_scenario: Scenario, seed: int) -> dict[str, pl.DataFrame]:
    """Run both planes, compare all that they report, and return it."""
    events, blocks = (tables(kind, a_scenario, seed) for kind in (EventsPlane, BlocksPlane))
    assert events.keys() == blocks.keys()
    for name, frame in events.items():
        assert_frame_equal(frame, blocks[name], check_exact=True)
    return blocks


@pytest.mark.parametrize("name", DRIFTS)
@pytest.mark.parametrize("seed", range(3))
def test_invariant_agreement_of_planes_under_drift(name, seed):
    queues = QUEUES[seed]
    frames = agree(scenario(120.0, rate=0.2, drift=Drift(DRIFTS[name]), **queues), seed)
    assert frames["queries"].select("completed", "shed").sum().sum_horizontal().item() > 100


@pytest.mark.parametrize("name", [*shipped_applications(), BRANCHED])
@pytest.mark.parametrize("queues", QUEUES, ids=QUEUE_NAMES)
def test_invariant_agreement_of_planes_on_every_application(name, queues):
    workload = Workload(0.05, lifetime_mean_s=300.0, lifetime_min_s=60.0)
    cluster = Cluster(NODES, **queues)
    frames = agree(Scenario(declared(name), cluster, workload=workload, horizon_s=300.0), seed=1)
    assert frames["queries"]["completed"].sum() > 0


@pytest.mark.parametrize("name", ["device_slowdown", "link_degradation", "failures"])
def test_invariant_agreement_of_planes_under_drift_where_operators_fork_and_join(name):
    workload = Workload(0.1, lifetime_mean_s=80.0, lifetime_min_s=20.0)
    application = declared(BRANCHED, requests_per_s=1.0, window_s=40.0)
    world = Scenario(
        application, Cluster(NODES), workload=workload, drift=Drift(DRIFTS[name]), horizon_s=120.0
    )
    frames = agree(world, seed=2)
    assert frames["queries"]["completed"].sum() > 20
