"""How long machines need until new slots can serve: booting, partitioning, and loading weights."""

from collections.abc import Iterable

from scenarios.cluster import PER_MACHINE, Cluster
from sim.clock import ns
from sim.cluster.loading import share_bandwidth
from sim.cluster.machine import GpuShare, Machine
from sim.cluster.machines import Machines, Station, StationDemand


def boot(cluster: Cluster, machine: Machine, now_ns: int) -> None:
    """Begin to boot a machine, which has nothing in memory."""
    machine.ready_ns = now_ns + ns(cluster.boot_s(machine.node))
    machine.loading.clear()


def prepare(cluster: Cluster, station: Station, now_ns: int) -> None:
    """Begin to prepare the slots of a new station, which is ready when the last slot is."""
    times = [_prepare_slot(cluster, slot, now_ns) for slot in station.slots]
    station.ready_ns = max([now_ns, *times])


def _prepare_slot(cluster: Cluster, slot: GpuShare, now_ns: int) -> int:
    """Return the time at which a new slot is booted, partitioned and loaded with weights."""
    machine = slot.machine
    if machine.rented_for(slot):
        boot(cluster, machine, now_ns)
    ready_ns = max(now_ns, machine.ready_ns)
    if slot.instance is not None:
        if slot.created:
            cutting_s = slot.destroyed * cluster.mig_destroy_s + cluster.mig_create_s
            slot.instance.ready_ns = ready_ns + ns(cutting_s)
        ready_ns = max(ready_ns, slot.instance.ready_ns)
    load_ns = ns(slot.load_bytes / cluster.load_bytes_per_s)
    if cluster.load_bandwidth == PER_MACHINE:
        slot.ready_ns = share_bandwidth(machine.loading, now_ns, ready_ns, load_ns)
    else:
        slot.ready_ns = ready_ns + load_ns
    return slot.ready_ns


def ready_ns(
    cluster: Cluster, machines: Machines, demands: Iterable[StationDemand], now_ns: int
) -> int | None:
    """Return when stations for these demands could serve, or None if machines lack room.

    Nothing is changed: all resources are released at the end.
    """

    def look(got: list[tuple[Station, bool]]) -> int:
        slots = [slot for station, new in got if new for slot in station.slots]
        before = [(slot.machine, slot.machine.ready_ns, slot.machine.loading[:]) for slot in slots]
        cut = [(slot.instance, slot.instance.ready_ns) for slot in slots if slot.instance]
        for station, new in got:
            if new:
                prepare(cluster, station, now_ns)
        for machine, at_ns, loading in reversed(before):
            machine.ready_ns, machine.loading[:] = at_ns, loading
        for instance, at_ns in reversed(cut):
            instance.ready_ns = at_ns
        return max([now_ns, *(station.ready_ns for station, _ in got)])

    return machines.tried(list(demands), look)
