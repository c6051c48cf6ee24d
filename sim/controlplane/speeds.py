"""The true speeds of machines, which no planner knows."""

from functools import cache
from math import exp, fsum

from scenarios.cluster import Cluster
from scenarios.random_streams import stream
from sim.cluster.machine import GpuShare
from sim.cluster.machines import Station


class HiddenSpeeds:
    """The true speed of each GPU card and of each machine's cores, relative to nominal speed.

    Speeds are log-normal around 1. Each has a random stream that names the card or the machine, so
    all planners face the same ones.
    """

    def __init__(self, seed: int, cluster: Cluster) -> None:
        self._seed = seed
        self._log_sd = cluster.speed_log_sd
        self._one = cache(self._draw)

    def of(self, station: Station) -> float:
        """Return a station's speed: the mean over its replicas; 1 on a device."""
        if self._log_sd == 0 or not station.slots:
            return 1.0
        return fsum(self._of_slot(slot) for slot in station.slots) / len(station.slots)

    def _of_slot(self, slot: GpuShare) -> float:
        part = "cores" if slot.instance is None else f"card {slot.instance.gpu}"
        return self._one(slot.machine.node_name, slot.machine.number, part)

    def _draw(self, node: str, machine: int, part: str) -> float:
        rng = stream(self._seed, "node", node, machine, part, "speed")
        return exp(self._log_sd * float(rng.standard_normal()))
