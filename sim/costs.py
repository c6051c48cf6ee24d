"""Money: whole rented machines are billed; slots attribute the bill to queries; the rest is idle.

The bill of a machine runs while it is rented. Each slot carries a fixed share of the machine's
price, which its station's members split by their declared load. Answers that leave a cloud region
are charged as egress, to the query. Free slots are idle cost, worked
out from what is free and not from what is left over, so that the two must add up to the bill.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from sim.clock import NS_PER_HOUR
from sim.machine import Machine
from sim.machines import Machines


@dataclass
class Ledger:
    """Who owes what, up to the moment of the last settlement.

    Call ``settle`` before anything changes that the bill depends on.

    Args:
        machines: the machines.
    """

    machines: Machines
    bill_usd: float = field(default=0.0, init=False)
    idle_usd: float = field(default=0.0, init=False)
    attributed_usd: defaultdict[int, float] = field(
        default_factory=lambda: defaultdict(float), init=False
    )
    _settled_ns: int = field(default=0, init=False)

    def settle(self, now_ns: int) -> None:
        """Charge everything since the last settlement."""
        hours = (now_ns - self._settled_ns) / NS_PER_HOUR
        self._settled_ns = now_ns
        if hours == 0:
            return
        for machine in self.machines.all():
            if machine.rented:
                self.bill_usd += hours * machine.node.price_usd_per_hour
                self.idle_usd += hours * idle_usd_per_hour(machine)
                self._attribute(machine, hours)

    def charge(self, query: int, usd: float) -> None:
        """Charge a query for something beside machines, such as egress."""
        self.bill_usd += usd
        self.attributed_usd[query] += usd

    def _attribute(self, machine: Machine, hours: float) -> None:
        for slot in machine.slots:
            station = self.machines.holders[slot]
            price = hours * slot.price_usd_per_hour
            total = station.load.work
            for member in station.members.values():
                share = member.work / total if total else 1 / len(station.members)
                self.attributed_usd[member.query] += price * share


def idle_usd_per_hour(machine: Machine) -> float:
    """Return the price of what nobody uses on a rented machine, in dollars per hour."""
    node = machine.node
    idle = machine.free_cores * node.core_price_usd_per_hour
    if node.gpu_board is not None:
        for gpu in range(node.gpus):
            idle += node.gpu_price_usd_per_hour * machine.idle_slices(gpu) / node.gpu_slices
    return idle
