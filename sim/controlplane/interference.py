"""Slowdowns of operators that share a GPU instance by MPS, which are updated at ticks.

The slowdown of a batch is ``hardware_models.gpu.mps.interference_factor``, a function of the memory
utilisations of the other stations on the instance. The utilisation of a station is that of one
process alone, divided by the slowdown from its thread limit, times the average number of its busy
processes since the last tick; it is at most 1. Profiling on an idle part of a card slows down all
stations on the card in the same way.
"""

from dataclasses import dataclass, field

from hardware_models.gpu.compute import memory_utilisation
from hardware_models.gpu.mps import interference_factor
from scenarios.applications.application import NeuralNetwork
from sim.cluster.machine import GpuShare
from sim.cluster.machines import Machines
from sim.dataplane.base.interface import DataPlane
from sim.planning.profiling_pool import ProfilingPool


@dataclass
class Interference:
    """The present slowdown of each station that shares a GPU instance."""

    machines: Machines
    data: DataPlane
    pool: ProfilingPool
    _factors: dict[int, float] = field(default_factory=dict)
    _busy_ns: dict[int, int] = field(default_factory=dict)
    _at_ns: int = 0

    def update(self, now_ns: int) -> None:
        """Compute the slowdowns from the stations' busy times since the last call."""
        elapsed_ns, self._at_ns = now_ns - self._at_ns, now_ns
        factors: dict[int, float] = {}
        busy_ns: dict[int, int] = {}
        profiled = {
            instance: use
            for (machine, gpu), use in self.pool.uses(now_ns - elapsed_ns, now_ns).items()
            for instance in machine.instances
            if instance.gpu == gpu and instance.slots
        }
        for instance in dict.fromkeys((*self.machines.sharing(), *profiled)):
            uses = {slot: self._use(slot, elapsed_ns, busy_ns) for slot in instance.slots}
            for slot in instance.slots:
                others = [use for other, use in uses.items() if other is not slot]
                if instance in profiled:
                    others.append(profiled[instance])
                station = self.machines.holders[slot]
                factor = interference_factor(others)
                factors[station.id] = max(factor, factors.get(station.id, 1.0))
        alone = self._factors.keys() - factors.keys()
        living = self.machines.stations.values() if alone else ()
        for station_id in alone & {each.id for stations in living for each in stations}:
            factors[station_id] = 1.0  # The station has no neighbours any more.
        for station_id, factor in sorted(factors.items()):
            if factor != self._factors.get(station_id, 1.0):
                self.data.slow_down(now_ns, station_id, factor)
        self._factors = {station: factor for station, factor in factors.items() if factor != 1.0}
        self._busy_ns = busy_ns

    def _use(self, slot: GpuShare, elapsed_ns: int, busy_ns: dict[int, int]) -> float:
        station, model = self.machines.holders[slot], slot.need.model
        if not isinstance(model, NeuralNetwork):
            return 0.0
        total_ns = busy_ns[station.id] = self.data.busy_ns(station.id)
        spent_ns = total_ns - self._busy_ns.get(station.id, total_ns)
        share = min(1.0, spent_ns / (elapsed_ns * station.load.servers)) if elapsed_ns else 0.0
        need = slot.need
        alone = memory_utilisation(model.like, need.thread_percent, model.like_items)
        return min(1.0, share * need.processes * alone)
