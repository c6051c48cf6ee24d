"""Failures of machines, of shared GPU instances, and of the planner's process."""

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

from simpy import Event

from scenarios.drift import DriftEvent
from sim.api.planner import restart
from sim.clock import ns
from sim.cluster.machines import Station
from sim.cluster.preparing import boot
from sim.controlplane.planner_calls import described_or_ended
from sim.controlplane.result_rows import end_row

if TYPE_CHECKING:
    from sim.controlplane.world import World


def _machine_failure(world: "World", event: DriftEvent) -> Generator[Event, None, None]:
    if event.at_s > 0:
        yield world.env.timeout(ns(event.at_s))
    assert event.node is not None
    now = world.env.now
    machine = world.machines.pools[event.node][event.machine]
    machine.down_until_ns = max(machine.down_until_ns, now + ns(event.down_s))
    if not machine.up:
        return  # An earlier event made the machine fail; this one can only delay its recovery.
    world.billing.settle(now)
    reason = f"machine {event.machine} of {event.node} failed"
    dead = world.machines.fail(machine, now)
    world.deployments.usage.fail(dead, now)
    world.deployments.usage.note(machine, now)  # It may be a standby machine without stations.
    _lose(world, dead, reason)
    while world.env.now < machine.down_until_ns:
        yield world.env.timeout(machine.down_until_ns - world.env.now)
    world.billing.settle(world.env.now)  # A machine that is down costs nothing.
    world.machines.recover(machine, world.env.now)
    world.deployments.usage.note(machine, world.env.now)
    boot(world.deployments.cluster, machine, world.env.now)
    world.call_planner("recovery")


def _mps_fault(world: "World", event: DriftEvent) -> Generator[Event, None, None]:
    """End all processes on the GPU instance that has the most processes, if it is shared."""
    if event.at_s > 0:
        yield world.env.timeout(ns(event.at_s))
    assert event.node is not None
    machine = world.machines.pools[event.node][event.machine]
    shared = [each for each in machine.instances if each.clients > 1]
    if not shared:
        return
    world.billing.settle(world.env.now)
    instance = max(shared, key=lambda each: each.clients)  # the first of several equal ones
    reason = f"a GPU instance of machine {event.machine} of {event.node} failed"
    dead = world.machines.fail_instance(instance, world.env.now)
    world.deployments.usage.fail(dead, world.env.now)
    _lose(world, dead, reason)


def _planner_crash(world: "World", event: DriftEvent) -> Generator[Event, None, None]:
    """Kill the planner's process and restart it; its searches and unsaved records are lost."""
    if event.at_s > 0:
        yield world.env.timeout(ns(event.at_s))
    world.planner_crashes += 1
    world.profiling_runs_lost += world.planning_service.fall_back(
        world.env.now, world.settings.profiles_ahead
    )
    world.due.clear()
    _, error = world.guard.run(partial(restart, world.planner))
    if (line := described_or_ended(world, error)) is not None:
        world.note_error("recovery", line)
    for state in world.registry.living.values():
        state.searching = False
    back_ns = world.env.now + ns(event.down_s)
    world.planner_away_until_ns = max(world.planner_away_until_ns, back_ns)
    yield world.env.timeout(back_ns - world.env.now)
    if back_ns == world.planner_away_until_ns:  # otherwise, it crashed again while down
        world.planner_away_until_ns = 0  # Only one of two crashes that end now calls it.
        world.call_planner("recovery")


def _lose(world: "World", stations: list[Station], reason: str) -> None:
    """Lose the requests at failed stations, end their deployments, and call the planner."""
    now, dead = world.env.now, set(stations)
    for station in sorted(dead, key=lambda station: station.id):
        world.data.fail_station(now, station.id)
    for state in world.registry.living.values():
        if state.loading is not None and not dead.isdisjoint(state.loading.stations):
            world.tables.add("decisions", end_row(state.loading, now, reason))
            world.deployments.leave(state.loading)
            state.loading = None
        if state.active is not None and not dead.isdisjoint(state.active.stations):
            world.tables.add("decisions", end_row(state.active, now, reason))
            world.monitor.void_trial(state.active.number, now)
            world.deactivate(state)
    world.call_planner("failure")


FAILURES = {
    "machine_failure": _machine_failure,
    "mps_fault": _mps_fault,
    "planner_crash": _planner_crash,
}
"""The effect of a drift event, by its kind."""
