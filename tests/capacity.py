"""What machines must keep to at all times."""

from hardware_models.gpu.mig import check_layout
from scenarios.cluster import DEVICE
from sim.cluster.machine import MOST_CLIENTS


def check_capacity(machines):
    """Check everything that the world must never lose hold of."""
    listed = [station for group in machines.stations.values() for station in group]
    for machine in machines.all():
        node = machine.node
        cores = [slot for slot in machine.slots if slot.instance is None]
        assert 0 <= machine.free_cores == node.cores - len(cores)
        for gpu in range(node.gpus):
            check_layout(node.gpu_board, machine.layout(gpu))
        for instance in machine.instances:
            assert instance.slots == [slot for slot in machine.slots if slot.instance is instance]
            assert instance.thread_percent <= 100
            assert instance.clients <= MOST_CLIENTS
            held = [slot.need.memory_bytes for slot in instance.slots]
            assert sum(held) + sum(instance.left.values()) <= instance.memory_bytes
        assert machine.up or not machine.slots
        assert all(machines.holders[slot] in listed for slot in machine.slots)
    instances = [instance for machine in machines.all() for instance in machine.instances]
    shared = [instance for instance in instances if len(instance.slots) > 1]
    assert set(machines.sharing()) == set(shared)
    for station in listed:
        assert station.members
        if station.key[2] == DEVICE:
            assert station.slots == ()
            continue
        assert sum(slot.need.processes for slot in station.slots) == station.load.servers
        assert {slot.machine.node_name for slot in station.slots} == {station.key[2]}
        assert station.load.work <= 0.8 * station.load.servers + 1e-9
