"""Billing, which attributes the cost of used slots to queries; the rest of the cost is idle cost.

A machine is billed while it is rented. Each slot costs a fixed share of the machine's price; the
members of the slot's station pay this cost in proportion to their declared loads. Answers that
leave a cloud region are charged to the query as egress. Idle cost is computed from free resources,
so that tests can check that all costs add up to the bill.
"""

from collections.abc import Iterator

import numpy as np

from scenarios.compiled import in_place
from scenarios.numerics import Floats, Ints
from sim._jit.id_pool import grown
from sim.clock import NS_PER_HOUR
from sim.cluster.machine import Machine
from sim.cluster.machines import Machines


class Billing:
    """The amount that each query owes, in dollars, up to the last settlement.

    Call ``settle`` before each change that affects the bill. Prices are cached when machines
    change, because settlements are much more frequent than such changes. ``idle_usd`` is the part
    of ``bill_usd`` for unused resources.
    """

    def __init__(self, machines: Machines) -> None:
        self.bill_usd = 0.0
        self.idle_usd = 0.0
        self._machines = machines
        self._row = {machine: row for row, machine in enumerate(machines.all())}
        many = len(self._row)
        # By machine, in dollars per hour: its price and its idle cost, or 0 if it is not rented.
        self._price, self._idle = np.zeros(many), np.zeros(many)
        # By machine: the number of attributed parts of slots, and for each part the query, the
        # price of the slot in dollars per hour, and the share of it.
        self._parts = np.zeros(many, dtype=np.int64)
        self._query: Ints = np.zeros((many, 0), dtype=np.int64)
        self._slot_price: Floats = np.zeros((many, 0))
        self._share: Floats = np.zeros((many, 0))
        self._attributed_usd: Floats = np.zeros(0)  # by query id
        self._settled_ns = 0
        for machine in self._row:
            self._write_down(machine)

    @property
    def attributed_usd(self) -> dict[int, float]:
        """The amount that each query owes, by id; queries that owe nothing are left out."""
        return {query: usd for query, usd in enumerate(self._attributed_usd.tolist()) if usd}

    def owed_usd(self, query: int) -> float:
        """Return the amount that a query owes, in dollars."""
        return float(self._attributed_usd[query]) if query < len(self._attributed_usd) else 0.0

    def settle(self, now_ns: int) -> None:
        """Charge all machine costs since the last settlement."""
        hours = (now_ns - self._settled_ns) / NS_PER_HOUR
        self._settled_ns = now_ns
        if hours == 0:
            return
        while self._machines.changed:
            self._write_down(self._machines.changed.pop())
        self.bill_usd, self.idle_usd = _charge(
            hours,
            self.bill_usd,
            self.idle_usd,
            self._price,
            self._idle,
            self._parts,
            self._query,
            self._slot_price,
            self._share,
            self._attributed_usd,
        )

    def charge(self, query: int, usd: float) -> None:
        """Charge a query for something other than machines, such as egress."""
        self.bill_usd += usd
        self._attributed_usd = grown(self._attributed_usd, query + 1)
        self._attributed_usd[query] += usd

    def _write_down(self, machine: Machine) -> None:
        """Cache a machine's present price, and the queries that pay for the machine."""
        row, rented = self._row[machine], machine.rented
        self._price[row] = machine.node.price_usd_per_hour if rented else 0.0
        self._idle[row] = idle_usd_per_hour(machine) if rented else 0.0
        parts = list(self._attributions(machine)) if rented else []
        self._parts[row] = len(parts)
        if parts:
            query, slot_price, share = zip(*parts, strict=True)
            self._attributed_usd = grown(self._attributed_usd, max(query) + 1)
            self._make_room(len(parts))
            self._query[row, : len(parts)] = query
            self._slot_price[row, : len(parts)] = slot_price
            self._share[row, : len(parts)] = share

    def _attributions(self, machine: Machine) -> Iterator[tuple[int, float, float]]:
        """Yield (query, slot price, query's share of the slot) for each slot and each member."""
        for slot in machine.slots:
            station = self._machines.holders[slot]
            total = station.load.work
            for member in station.members.values():
                share = member.work / total if total else 1 / len(station.members)
                yield member.query, slot.price_usd_per_hour, share

    def _make_room(self, parts: int) -> None:
        more = parts - self._query.shape[1]
        if more > 0:
            wider = (0, 0), (0, max(more, self._query.shape[1]))
            self._query = np.pad(self._query, wider)
            self._slot_price = np.pad(self._slot_price, wider)
            self._share = np.pad(self._share, wider)


@in_place
def _charge(
    hours: float,
    bill_usd: float,
    idle_usd: float,
    price: Floats,
    idle: Floats,
    parts: Ints,
    query: Ints,
    slot_price: Floats,
    share: Floats,
    attributed_usd: Floats,
) -> tuple[float, float]:
    """Charge the price of M machines for ``hours`` hours; return the new total bill and idle cost.

    Each machine has at most P parts; a part is a query's share of a slot. The price of each part is
    added to the query's ``attributed_usd``, in O(parts). The arrays are those of `Billing`.
    ``price``, ``idle`` and ``parts`` have shape (M,); ``query``, ``slot_price`` and ``share`` have
    shape (M, P).
    """
    for machine in range(len(price)):
        bill_usd += hours * price[machine]
        idle_usd += hours * idle[machine]
        for part in range(parts[machine]):
            usd = hours * slot_price[machine, part]
            attributed_usd[query[machine, part]] += usd * share[machine, part]
    return bill_usd, idle_usd


def idle_usd_per_hour(machine: Machine) -> float:
    """Return the price of the unused part of a rented machine, in dollars per hour."""
    node = machine.node
    idle = machine.free_cores * node.core_price_usd_per_hour
    if node.gpu_board is not None:
        for gpu in range(node.gpus):
            idle += node.gpu_price_usd_per_hour * machine.idle_slices(gpu) / node.gpu_slices
    return idle
