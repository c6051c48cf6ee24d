"""How every operator is served on every allocation at hand, as arrays for scoring in bulk.

Service depends on an operator's own and upstream knobs, its *key*: tables have a column for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hardware_models.devices import DeviceModel
from scenarios.applications.pipeline import Configuration, KnobValue, Pipeline
from scenarios.cluster import DEVICE
from sim.api.estimate import Floats, Integers
from sim.api.plan import Allocation
from sim.catalogue.catalogue import Catalogue
from sim.catalogue.service_times import RefusalError, Service

Key = tuple[KnobValue, ...]
Option = tuple[str, Allocation]
"""A place, and what an operator gets there."""


@dataclass(frozen=True, eq=False)
class OperatorKeys:
    """What the operators of a pipeline can be asked to do; C configurations, N operators."""

    # Which key of each operator a configuration has, counted from 0 for each operator, shape (C,
    # N).
    column: Integers
    identity: Integers  # a number for each key of the pipeline, equal for equal keys, shape (C, N)
    number: tuple[dict[Key, int], ...]  # for each operator, which column a key has
    # For each operator, a configuration for each of its keys.
    examples: tuple[tuple[Configuration, ...], ...]

    @classmethod
    def of(cls, pipeline: Pipeline) -> "OperatorKeys":
        """Number the keys of a pipeline in order of first appearance."""
        identities: dict[Key, int] = {}
        column, identity, numbers, examples = [], [], [], []
        for operator in range(len(pipeline.operators)):
            keys = [pipeline.operator_key(operator, each) for each in pipeline.configurations]
            first: dict[Key, Configuration] = {}
            for key, configuration in zip(keys, pipeline.configurations, strict=True):
                first.setdefault(key, configuration)
            number = {key: at for at, key in enumerate(first)}
            column.append([number[key] for key in keys])
            identity.append([identities.setdefault(key, len(identities)) for key in keys])
            numbers.append(number)
            examples.append(tuple(first.values()))
        return cls(np.array(column).T, np.array(identity).T, tuple(numbers), tuple(examples))


@dataclass(frozen=True, eq=False)
class ServiceTable:
    """How one operator is served; O options and K keys, all arrays of shape (O, K)."""

    # Time of a request alone over that on profiling hardware; nan where the operator cannot run.
    latency: Floats
    capacity: Floats  # what a request takes of a server, over the same
    crowded: Floats  # time of a request on a full server, over the same
    at_once: Integers  # requests that a server serves at the same time
    memory_bytes: Floats  # memory that a replica needs; infinite where the operator cannot run

    def with_device(self, row: "ServiceTable") -> "ServiceTable":
        """Return a table whose first option, the device, is taken from a table of one option."""
        return ServiceTable(
            *(
                np.concatenate((getattr(row, name), getattr(self, name)[1:]))
                for name in ("latency", "capacity", "crowded", "at_once", "memory_bytes")
            )
        )


def node_table(
    nominal: Catalogue, keys: OperatorKeys, operator: int, options: Sequence[Option]
) -> ServiceTable:
    """Return how an operator is served on options; nothing runs on a device yet."""
    # Neither replicas nor waiting for a batch change how one server serves.
    ones = [(place, replace(each, replicas=1, max_wait_s=0.0)) for place, each in options]
    return _table(
        [
            [
                None
                if place == DEVICE
                else _or_none(nominal.on_node, operator, example, place, one)
                for example in keys.examples[operator]
            ]
            for place, one in ones
        ]
    )


def device_table(
    nominal: Catalogue, keys: OperatorKeys, operator: int, device: DeviceModel
) -> ServiceTable:
    """Return how an operator is served on a device, a table of one option."""
    examples = keys.examples[operator]
    return _table([[_or_none(nominal.on_device, operator, each, device) for each in examples]])


def _or_none(serve: Callable[..., Service], *arguments: Any) -> Service | None:
    try:
        return serve(*arguments)
    except RefusalError:
        return None


def _table(rows: list[list[Service | None]]) -> ServiceTable:
    nan, inf = float("nan"), float("inf")
    figures = np.array(
        [
            [
                (nan, nan, nan, 1, inf)
                if service is None
                else (
                    service.factor,
                    service.factor * service.work_factor,
                    service.factor * service.crowded_factor,
                    service.at_once,
                    service.memory_bytes,
                )
                for service in row
            ]
            for row in rows
        ],
        dtype=np.float64,
    )
    latency, capacity, crowded, at_once, memory_bytes = np.moveaxis(figures, -1, 0).copy()
    return ServiceTable(latency, capacity, crowded, at_once.astype(np.int64), memory_bytes)
