"""The two data planes give identical results for whole worlds, in every table."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from worlds import BRANCHED, Restless, declared, scenario, smooth, smooth_network

from scenarios.applications.shipped import shipped_applications
from scenarios.cluster import FIFO, NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.network import PROCESSOR_SHARING, Network
from scenarios.scenario import Scenario
from scenarios.workload import Workload
from sim.controlplane.world import World
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

HORIZON_S = 60.0
"""Of each world; all events of drift begin, and most end, before it."""
DRIFTS = {
    "none": (),
    "device_slowdown": (DriftEvent("device_slowdown", at_s=20.3, factor=0.4, share=0.7),),
    "link_degradation": (DriftEvent("link_degradation", at_s=16.1, factor=0.02, share=0.7),),
    "content_shift": (DriftEvent("content_shift", at_s=25.0, share=0.8),),
    "shapes": (
        DriftEvent("device_slowdown", at_s=10.3, factor=0.3, share=0.7, ramp_s=15.0),
        DriftEvent("link_degradation", at_s=16.1, factor=0.02, ramp_s=9.0, duration_s=15.0),
        DriftEvent("link_degradation", at_s=0.0, factor=2.0, share=0.5, period_s=60.0),
        DriftEvent("content_shift", at_s=25.0, share=0.8, ramp_s=10.0, duration_s=20.0),
        DriftEvent("rate_change", at_s=15.0, factor=3.0, duration_s=25.0),
    ),
    "failures": (
        DriftEvent("machine_failure", at_s=16.4, node="cloud", machine=0, duration_s=10.0),
        DriftEvent("mps_fault", at_s=35.2, node="cloud", machine=1),
        DriftEvent("planner_crash", at_s=27.0, duration_s=10.0),
    ),
}
NODES = {
    "edge": Node("edge", "g2-standard-8", standby=1),
    "cloud": Node("cloud", "a2-highgpu-1g", count=2),
}
QUEUES = {
    "fifo": {},
    "edf_shedding": {"discipline": "edf", "shed_late": True},
    "priority": {"discipline": "priority"},
}


def test_invariant_agreement_of_planes_where_work_alone_scales_and_services_spread():
    workload = Workload(0.05, lifetime_mean_s=300.0, lifetime_min_s=60.0)
    cluster = Cluster(NODES, **NOMINAL | {"service_cv": 0.2, "speed_log_sd": 0.1})
    application = declared("speech_recognition", size_scales="work")
    rough = Scenario(application, cluster, workload=workload, horizon_s=HORIZON_S)
    alike = declared("speech_recognition", size_scales="all")
    nominal = replace(rough, application=alike, cluster=Cluster(NODES, **NOMINAL))
    frames, others = agree(rough, 1), tables(BlocksPlane, nominal, 1)
    assert frames["queries"]["completed"].sum() > 0
    assert frames["operators"]["compute_s"].sum() != others["operators"]["compute_s"].sum()


def test_invariant_agreement_of_planes_where_messages_share_links():
    """Links so slow that several messages are on them, some at the horizon."""
    workload = Workload(0.2, lifetime_mean_s=80.0, lifetime_min_s=20.0)
    network = Network({"4G-LTE": 1.0}, backhaul_bps=3e6, discipline=PROCESSOR_SHARING)
    drift = Drift((*DRIFTS["link_degradation"], *DRIFTS["failures"]))
    shared = replace(scenario(HORIZON_S, workload=workload, drift=drift), network=network)
    alone = replace(shared, network=replace(network, discipline=FIFO))
    frames, others = agree(shared, 2), tables(BlocksPlane, alone, 2)
    assert frames["operators"]["transfer_s"].sum() != others["operators"]["transfer_s"].sum()


def some_of(ways: Iterable[Any], names: Iterable[str]) -> list[Any]:
    """Return all pairs of the two; but for one with each name, they are for the longer checks."""
    ways, names = list(ways), list(names)
    return [
        pytest.param(way, name, marks=[] if (i + j) % len(ways) == 0 else pytest.mark.slow)
        for i, way in enumerate(ways)
        for j, name in enumerate(names)
    ]


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


@pytest.mark.parametrize(("seed", "name"), some_of(range(3), DRIFTS))
def test_invariant_agreement_of_planes_under_drift(name, seed):
    queues = [*QUEUES.values()][seed]
    frames = agree(scenario(HORIZON_S, rate=0.2, drift=Drift(DRIFTS[name]), **queues), seed)
    assert frames["queries"].select("completed", "shed").sum().sum_horizontal().item() > 40


@pytest.mark.parametrize(("queue", "name"), some_of(QUEUES, [*shipped_applications(), BRANCHED]))
def test_invariant_agreement_of_planes_on_every_application(queue, name):
    workload = Workload(0.05, lifetime_mean_s=300.0, lifetime_min_s=60.0)
    cluster = Cluster(NODES, **NOMINAL, **QUEUES[queue])
    frames = agree(
        Scenario(declared(name), cluster, workload=workload, horizon_s=HORIZON_S), seed=1
    )
    assert frames["queries"]["completed"].sum() > 0


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("device_slowdown", marks=pytest.mark.slow),
        pytest.param("link_degradation", marks=pytest.mark.slow),
        "failures",
    ],
)
def test_invariant_agreement_of_planes_under_drift_where_operators_fork_and_join(name):
    workload = Workload(0.1, lifetime_mean_s=80.0, lifetime_min_s=20.0)
    application = smooth(BRANCHED, requests_per_s=1.0, window_s=40.0)
    world = Scenario(
        application,
        Cluster(NODES, **NOMINAL),
        smooth_network(),
        workload,
        drift=Drift(DRIFTS[name]),
        horizon_s=HORIZON_S,
    )
    frames = agree(world, seed=2)
    assert frames["queries"]["completed"].sum() > 10
