"""The space of all plans that a scenario's machines could run, in fixed orders."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import numpy as np
from numpy.typing import NDArray

from hardware_models.devices import DeviceModel
from scenarios.application import Operator
from scenarios.cluster import DEVICE, Cluster
from sim.nominal import Nominal
from sim.plan import CORE, Allocation, Plan, list_price_usd_per_hour
from sim.service import RefusalError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Layout = tuple[tuple[str, ...], tuple[Allocation, ...]]


class PlanSpace:
    """Every plan with one replica per operator and no batching, in one fixed order.

    Language models are the exception: an engine generates up to ``cluster.llm_sequences`` at once.
    Plans that no machine could run, for lack of memory or of measurements, are left out; whether a
    user's device can run a plan is for `on` to say.

    Plans are made when asked for; what bulk scoring needs of them is kept as arrays. A *layout* is
    a placement with its allocation; plan ``i`` joins configuration ``configuration[i]`` with layout
    ``layout[i]``.

    Args:
        nominal: the catalogue of the scenario.
    """

    def __init__(self, nominal: Nominal) -> None:
        self._nominal = nominal
        self._pipeline = nominal.application.pipeline
        self._made: dict[int, Plan] = {}
        self._on: dict[str, Booleans] = {}
        self._runs: dict[tuple[int, str, Allocation], Booleans] = {}
        self.layouts = tuple(_layouts(self._pipeline.operators, nominal.cluster))
        runs = np.array([self._runs_on_nodes(layout) for layout in self.layouts])
        self.layout, self.configuration = (index.astype(np.int64) for index in np.nonzero(runs))
        prices = [list_price_usd_per_hour(nominal.cluster, *layout) for layout in self.layouts]
        self.list_price_usd_per_hour: Floats = np.array(prices)[self.layout]
        self._by_cost = np.lexsort((self.configuration, self.layout, self.list_price_usd_per_hour))

    def __len__(self) -> int:
        return len(self.layout)

    def plan(self, index: int) -> Plan:
        """Return plan number ``index``; the same object every time."""
        plan = self._made.get(index)
        if plan is None:
            placement, allocation = self.layouts[self.layout[index]]
            configuration = self._pipeline.configurations[self.configuration[index]]
            plan = self._made[index] = Plan(configuration, placement, allocation)
        return plan

    def ordered(self, order: str, device: DeviceModel) -> Iterator[Plan]:
        """Yield all plans that a device can take part in.

        Args:
            order: ``"cost"`` for the lowest list price first, and among equals the richest
                configuration first; ``"enumeration"`` for the space's own order.
            device: model of the user's device.

        Raises:
            ValueError: there is no such order.
        """
        if order == "cost":
            indices: Integers = self._by_cost
        elif order == "enumeration":
            indices = np.arange(len(self))
        else:
            raise ValueError(f"order={order!r}: choose cost or enumeration")
        return map(self.plan, indices[self.on(device)[indices]].tolist())

    def on(self, device: DeviceModel) -> Booleans:
        """Mark the plans whose operators on the device it can run, shape (len(self),)."""
        if device.name not in self._on:
            runs = np.array([self._runs_on_device(layout, device) for layout in self.layouts])
            self._on[device.name] = runs[self.layout, self.configuration]
        return self._on[device.name]

    def _runs_on_nodes(self, layout: Layout) -> Booleans:
        """Mark the configurations that a layout can run, but for what is on the device."""
        runs = np.ones(len(self._pipeline.configurations), dtype=bool)
        for operator, (place, allocation) in enumerate(zip(*layout, strict=True)):
            if place != DEVICE:
                runs &= self._operator_runs(operator, place, allocation)
        return runs

    def _operator_runs(self, operator: int, place: str, allocation: Allocation) -> Booleans:
        key = operator, place, allocation
        if key not in self._runs:
            self._runs[key] = np.array(
                [
                    self._nominal.runs_on_node(operator, configuration, place, allocation)
                    for configuration in self._pipeline.configurations
                ]
            )
        return self._runs[key]

    def _runs_on_device(self, layout: Layout, device: DeviceModel) -> Booleans:
        """Mark the configurations whose operators on the device run there, all together."""
        here = [operator for operator, place in enumerate(layout[0]) if place == DEVICE]

        def runs(configuration: int) -> bool:
            try:
                self._nominal.check_device(
                    here, self._pipeline.configurations[configuration], device
                )
            except RefusalError:
                return False
            return True

        return np.array([runs(index) for index in range(len(self._pipeline.configurations))])


def _layouts(operators: tuple[Operator, ...], cluster: Cluster) -> Iterator[Layout]:
    """Yield every placement that moves up, with every allocation that its nodes offer."""
    for placement in combinations_with_replacement(cluster.places, len(operators)):
        choices: list[tuple[Allocation, ...]] = []
        for operator, place in zip(operators, placement, strict=True):
            if place == DEVICE:
                choices.append((Allocation(DEVICE),))
            elif operator.kind == "cpu":
                choices.append((Allocation(CORE),))
            else:
                at_once = cluster.llm_sequences if operator.kind == "llm" else 1
                offered = cluster.nodes[place].gpu_profiles
                choices.append(tuple(Allocation(profile, max_batch=at_once) for profile in offered))
        for allocation in product(*choices):
            yield placement, allocation
