"""Worlds in which operators share GPU instances, and machines keep unused instances."""

from dataclasses import replace

import pytest
from worlds import Does, plan_in, queries_at, run, scenario

from hardware_models.gpu.compute import memory_utilisation
from hardware_models.gpu.mps import interference_factor
from scenarios.cluster import Node
from scenarios.drift import Drift, DriftEvent
from sim.controlplane.world import World
from sim.dataplane.events.plane import EventsPlane

NODES = {"cloud": Node("cloud", "a2-highgpu-1g", standby=1)}


def workload(*times, lifetime_s=1000.0):
    return queries_at(*times, lifetime_mean_s=lifetime_s, lifetime_min_s=lifetime_s - 0.001)


def sharing(percent, profile="3g.20gb", **changes):
    """Deploy every query in the cloud, its network limited to a share of an instance.

    Each query gets another configuration, so that they share instances and not stations.
    """

    def act(context):
        for query in context.waiting:
            if context.plan_of(query) is None and not context.recall(query.id):
                context.remember(query.id, True)
                plan = plan_in(context, query, "cloud", 5 * query.id + 4)
                allocation = list(plan.allocation)
                allocation[2] = replace(
                    allocation[2], profile=profile, thread_percent=percent, **changes
                )
                context.deploy(query, replace(plan, allocation=tuple(allocation)))

    return Does(act)


class Told(EventsPlane):
    """A data plane that keeps the slowdowns that it was told."""

    def __init__(self, recorder):
        super().__init__(recorder)
        self.told = []

    def slow_down(self, at_ns, station, factor):
        self.told.append((at_ns, station, factor))
        super().slow_down(at_ns, station, factor)


def told(a_scenario, planner):
    made = World(a_scenario, planner, 1, Told)
    made.run(a_scenario.horizon_s)
    return made


def test_operators_that_share_an_instance_slow_each_other_down_by_what_the_others_use():
    made = told(scenario(60.0, nodes=NODES, workload=workload(1.0, 2.0)), sharing(50))
    (instance,) = made.machines.pools["cloud"][0].instances
    assert len(instance.slots) == 2
    stations = {made.machines.holders[slot].id for slot in instance.slots}
    assert {station for _, station, _ in made.data.told} == stations
    assert all(at_ns % 10**9 == 0 for at_ns, _, _ in made.data.told), "at ticks alone"
    most = interference_factor([memory_utilisation("bert")])
    assert 1.0 < max(factor for *_, factor in made.data.told) <= most


def test_whoever_has_an_instance_alone_is_not_slowed_down():
    made = told(scenario(60.0, nodes=NODES, workload=workload(1.0, 2.0)), sharing(100))
    assert len(made.machines.pools["cloud"][0].instances) == 2
    assert made.data.told == []


def test_when_the_neighbour_has_left_the_slowdown_ends():
    leaving = workload(1.0, 2.0, lifetime_s=20.0)
    made = told(scenario(120.0, nodes=NODES, workload=leaving), sharing(50))
    last = {station: factor for _, station, factor in made.data.told}
    assert len(last) == 2
    assert 1.0 in last.values()


def test_a_fatal_fault_of_mps_ends_all_clients_of_its_instance_and_no_others():
    drift = Drift([DriftEvent("mps_fault", at_s=30.0, node="cloud")])
    planner = sharing(50, "2g.10gb")
    made = run(scenario(60.0, nodes=NODES, workload=workload(1.0, 2.0, 3.0), drift=drift), planner)
    running = [query.id for query in made.registry.running]
    assert running == [2], "the first two shared an instance; the third has one of its own"
    usual = run(
        scenario(60.0, nodes=NODES, workload=workload(1.0, 2.0, 3.0)), planner
    ).monitor.outcomes
    assert made.monitor.outcomes["unserved"] > usual["unserved"], "those born after the fault, too"
    ended = made.tables.take()["decisions"].filter(outcome="ended")
    assert ended.select("query", "decided_s", "reason").rows() == [
        (query, 30.0, "a GPU instance of machine 0 of cloud failed") for query in (0, 1)
    ]


def test_what_a_fault_of_mps_ends_is_given_back_at_once():
    drift, told = Drift([DriftEvent("mps_fault", at_s=30.5, node="cloud")]), []
    sharer = sharing(50)

    def act(context):
        if context.trigger == "failure":
            told.append(
                (
                    context.now_s,
                    context.world.last_release_s,
                    context.world.free_instances("cloud", "3g.20gb"),
                )
            )
        sharer.plan(context)

    run(scenario(60.0, nodes=NODES, workload=workload(1.0, 2.0), drift=drift), Does(act))
    assert told == [(30.5, 30.5, 2)]


def test_without_a_shared_instance_a_fault_of_mps_changes_nothing():
    drift = Drift([DriftEvent("mps_fault", at_s=30.0, node="cloud")])
    made = run(scenario(60.0, nodes=NODES, workload=workload(1.0), drift=drift), sharing(100))
    assert [query.id for query in made.registry.running] == [0]


def test_processes_of_one_operator_are_servers_that_slow_each_other_down():
    made = run(
        scenario(60.0, nodes=NODES, workload=workload(1.0)),
        sharing(100, processes=3),
        plane=EventsPlane,
    )
    ((_, (station,)),) = [
        (key, group) for key, group in made.machines.stations.items() if key[0] == 2
    ]
    spec = made.data.stations[station.id].spec
    assert station.load.servers == spec.servers == 3
    assert made.machines.pools["cloud"][0].instances[0].slots[0].load_bytes == 3 * 377_600_000


def in_the_cloud(context):
    for query in context.waiting:
        context.deploy(query, plan_in(context, query, "cloud", 0))


def test_a_second_query_finds_the_model_of_the_first_in_memory():
    """On a standby machine the instance stays; a query that comes later starts sooner."""
    times = workload(1.0, 60.0, lifetime_s=20.0)
    made = run(scenario(100.0, nodes=NODES, workload=times), Does(in_the_cloud))
    rows = made.tables.take()["decisions"]
    first, second = rows["in_force_s"] - rows["decided_s"]
    assert first == pytest.approx(1.0 + 4e9 / 2e9)
    assert second == 0.0


def test_a_machine_that_was_given_back_starts_from_nothing():
    nodes = {"cloud": replace(NODES["cloud"], standby=0)}
    times = workload(1.0, 60.0, lifetime_s=20.0)
    made = run(scenario(100.0, nodes=nodes, workload=times), Does(in_the_cloud))
    rows = made.tables.take()["decisions"]
    assert (rows["in_force_s"] - rows["decided_s"]).to_list() == [3.0, 3.0]
