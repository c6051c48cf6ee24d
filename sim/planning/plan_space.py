"""The space of all plans that a scenario's machines could run, in a fixed order."""

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from math import fsum

import numpy as np

from hardware_models.devices import DeviceModel
from scenarios.applications.pipeline import Operator
from scenarios.cluster import DEVICE, Cluster
from scenarios.numerics import Bools, Floats, Ints
from sim.api.choices import Choices
from sim.api.errors import PlannerError
from sim.api.plan import CORE, Allocation, Plan, operator_price_usd_per_hour
from sim.catalogue.catalogue import (
    Catalogue,
    OperatorKeys,
    OperatorOption,
    ServiceTable,
    device_table,
    node_table,
)
from sim.planning.plan_rules import moves_up

Layout = tuple[tuple[str, ...], tuple[Allocation, ...]]


class PlanSpace:
    """All plans in a fixed order; a plan is a configuration together with a layout.

    The space excludes plans that no machine could run for lack of memory or of measurements. The
    method `on` marks the plans that a user's device can run. An *option* of an operator is a node
    with an allocation, or the device, which is the first option. A *layout* has one option for each
    operator. Plan ``i`` combines ``configuration[i]`` with ``layout[i]``. L is the number of
    layouts, and N is the number of operators.

    Attributes:
        layout_option: index of each operator's option in each layout, of shape (L, N).
        layout_placement: index in ``placements`` of each layout's placement, of shape (L,).
        tables: how each operator is served under each option; entries of the device are empty.
    """

    def __init__(self, nominal: Catalogue, choices: Choices | None = None) -> None:
        self._nominal = nominal
        self._pipeline = nominal.application.pipeline
        self._made: dict[int, Plan] = {}
        self._on: dict[str, Bools] = {}
        operators, cluster = self._pipeline.operators, nominal.cluster
        self.keys = OperatorKeys.of(self._pipeline)
        offers = [
            _options(operator, largest, cluster, choices or Choices())
            for operator, largest in zip(
                operators, nominal.application.largest_batches, strict=True
            )
        ]
        self.options = tuple(tuple(each) for each in offers)
        self.placements = tuple(
            tuple(cluster.places[place] for place in places)
            for places in product(range(len(cluster.places)), repeat=len(operators))
            if moves_up(self._pipeline, places)
        )
        blocks = [self._block(placement) for placement in self.placements]
        self.layout_option: Ints = np.concatenate(blocks)
        self.layout_placement: Ints = np.repeat(
            np.arange(len(blocks)), [len(block) for block in blocks]
        )
        self.tables: tuple[ServiceTable, ...] = tuple(
            node_table(nominal, self.keys, operator, options)
            for operator, options in enumerate(self.options)
        )
        runs = np.ones((len(self.layout_option), len(self._pipeline.configurations)), dtype=bool)
        for operator, table in enumerate(self.tables):
            can = ~np.isnan(table.latency)
            can[0] = True  # the device
            runs &= can[:, self.keys.column[:, operator]][self.layout_option[:, operator]]
        self.layout, self.configuration = (index.astype(np.int64) for index in np.nonzero(runs))
        prices = np.column_stack(
            [
                np.array([operator_price_usd_per_hour(cluster, *option) for option in options])[row]
                for options, row in zip(self.options, self.layout_option.T, strict=True)
            ]
        )
        self.layout_price_usd_per_hour: Floats = np.array([fsum(row) for row in prices.tolist()])
        self.list_price_usd_per_hour: Floats = self.layout_price_usd_per_hour[self.layout]

    def __len__(self) -> int:
        return len(self.layout)

    @cached_property
    def option_number(self) -> tuple[dict[OperatorOption, int], ...]:
        """The index of each option, by operator."""
        return tuple({each: at for at, each in enumerate(options)} for options in self.options)

    def plan(self, index: int) -> Plan:
        """Return the plan at index ``index``; later calls return the same object."""
        plan = self._made.get(index)
        if plan is None:
            layout = self.layout_at(self.layout[index])
            configuration = self._pipeline.configurations[self.configuration[index]]
            plan = self._made[index] = Plan(configuration, *layout)
        return plan

    def ordered(self, order: str, device: DeviceModel) -> Iterator[Plan]:
        """Yield all plans, except those with operators on the device that the device cannot run.

        With order ``"cost"``, plans are sorted by ascending list price, and among equal prices the
        richest configuration comes first. With ``"enumeration"``, they are in the order of the
        space.

        Raises:
            PlannerError: there is no such order.
        """
        if order == "cost":
            indices = self._by_cost
        elif order == "enumeration":
            indices = np.arange(len(self))
        else:
            raise PlannerError(f"candidates: order={order!r}: choose cost or enumeration")
        return map(self.plan, indices[self.on(device)[indices]].tolist())

    @cached_property
    def _by_cost(self) -> Ints:
        return np.lexsort((self.configuration, self.layout, self.list_price_usd_per_hour))

    def on(self, device: DeviceModel) -> Bools:
        """Return, for each plan, whether the device can run the operators placed on it."""
        if device.name not in self._on:
            # Many layouts have the same operators on the device.
            sets, of_layout = np.unique(self.layout_option == 0, axis=0, return_inverse=True)
            need = np.zeros((len(sets), len(self._pipeline.configurations)))
            for operator, table in enumerate(self.tables_on(device)):
                memory_bytes = table.memory_bytes[0, self.keys.column[:, operator]]
                need[sets[:, operator]] += memory_bytes
            here = of_layout.reshape(-1)[self.layout]
            self._on[device.name] = need[here, self.configuration] <= device.memory_bytes
        return self._on[device.name]

    def tables_on(self, device: DeviceModel) -> tuple[ServiceTable, ...]:
        """Return how each operator is served under each option, including those on the device."""
        return tuple(
            table.with_device(device_table(self._nominal, self.keys, operator, device))
            for operator, table in enumerate(self.tables)
        )

    def layout_at(self, number: int) -> Layout:
        """Return the placement and the allocations of a layout."""
        row = self.layout_option[number].tolist()
        chosen = [options[at] for options, at in zip(self.options, row, strict=True)]
        return tuple(place for place, _ in chosen), tuple(share for _, share in chosen)

    def _block(self, placement: tuple[str, ...]) -> Ints:
        """Return all layouts of a placement; the last operator's option varies fastest."""
        offered = [
            np.array(
                [at for at, (offer, _) in enumerate(options) if offer == place], dtype=np.int64
            )
            for options, place in zip(self.options, placement, strict=True)
        ]
        return np.stack(np.meshgrid(*offered, indexing="ij"), axis=-1).reshape(-1, len(placement))


def _options(
    operator: Operator, largest_batch: int, cluster: Cluster, choices: Choices
) -> Iterator[OperatorOption]:
    """Yield an operator's options; on cores, batches go up to ``largest_batch``."""
    yield DEVICE, Allocation(DEVICE)
    for name, node in cluster.nodes.items():
        if operator.kind == "cpu":
            measured = [batch for batch in choices.max_batches if batch <= largest_batch]
            for cores, batch in product(choices.cores, measured or (1,)):
                waits_s = choices.max_wait_s if batch > 1 else 0.0
                yield name, Allocation(CORE, cores, batch, waits_s)
            continue
        shares, batches, wait_s = choices.thread_percents, choices.max_batches, choices.max_wait_s
        if operator.kind == "llm":  # it takes a whole instance and batches without waiting
            shares, batches, wait_s = (100,), (cluster.llm_sequences,), 0.0
        for profile in node.gpu_profiles:
            for share, batch, replicas in product(shares, batches, choices.replicas):
                waits_s = wait_s if batch > 1 else 0.0
                yield name, Allocation(profile, replicas, batch, waits_s, thread_percent=share)
