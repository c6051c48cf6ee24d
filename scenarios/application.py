"""Applications: a pipeline of operators, the knobs that configure them, and what data decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenarios.distributions import Constant, Exponential, Variability

Floats = NDArray[np.float64]
KnobValue = int | str


@dataclass(frozen=True)
class Knob:
    """A choice that a plan makes for an operator.

    Args:
        name: unique within the application.
        choices: allowed values, from the richest (dearest, as a rule most accurate) down. The
            order is public: it is all that a planner knows of a value before profiling.
    """

    name: str
    choices: tuple[KnobValue, ...]


@dataclass(frozen=True)
class Operator:
    """One stage of the pipeline.

    Args:
        name: unique within the application.
        kind: ``"cpu"`` for classical code, ``"gpu"`` for a neural network. A device without an
            accelerator runs both on its processor.
        knobs: the knobs that belong to this operator.
        variability: how service times of requests of equal size differ, independently per operator.
    """

    name: str
    kind: Literal["cpu", "gpu"]
    knobs: tuple[Knob, ...] = ()
    variability: Variability = Constant()


@dataclass(frozen=True, slots=True)
class Configuration:
    """All knobs chosen.

    Args:
        index: position among the application's configurations.
        values: one value per knob, in the application's knob order.
    """

    index: int
    values: tuple[KnobValue, ...]

    def __str__(self) -> str:
        return "/".join(str(value) for value in self.values)


@dataclass(frozen=True)
class Dataset:
    """A population of content, and what was measured on it for every configuration.

    C configurations, N operators, S strata.

    Args:
        name: name of the data set.
        service_time_s: mean service time on the reference hardware, shape (C, N).
        message_bytes: mean size of the message that enters each operator, shape (C, N).
        stratum_weights: share of each stratum in the population, shape (S,).
        accuracy: mean accuracy by stratum, shape (C, S).
        accuracy_quantiles: accuracy of one item by stratum at ``quantile_grid``, shape (C, S, Q);
            its mean over the piecewise-linear inverse CDF equals ``accuracy``.
        quantile_grid: increasing probabilities from 0 to 1, shape (C, S, Q).
        request_size: how requests differ in size; scales service times and messages alike.
    """

    name: str
    service_time_s: Floats
    message_bytes: Floats
    stratum_weights: Floats
    accuracy: Floats
    accuracy_quantiles: Floats
    quantile_grid: Floats
    request_size: Variability

    def expected_accuracy(self, weights: Floats) -> Floats:
        """Return the accuracy of every configuration on a mixture of strata, shape (C,)."""
        return self.accuracy @ weights

    def item_accuracy(self, configuration: int, strata: NDArray[np.int64], ranks: Floats) -> Floats:
        """Return the accuracy of single items.

        Args:
            configuration: index of the configuration.
            strata: stratum of each item, shape (n,).
            ranks: how easy each item is within its stratum, in [0, 1], shape (n,). An item keeps
                its rank in every configuration, which is what makes it the same item.

        Returns:
            Accuracies, shape (n,).
        """
        values = np.empty(len(strata))
        for stratum in np.unique(strata):
            here = strata == stratum
            values[here] = np.interp(
                ranks[here],
                self.quantile_grid[configuration, stratum],
                self.accuracy_quantiles[configuration, stratum],
            )
        return values


@dataclass(frozen=True)
class Pipeline:
    """What everybody may know of an application: its operators and how they can be configured.

    Args:
        name: name of the application.
        operators: the pipeline, in the order in which data flow.
    """

    name: str
    operators: tuple[Operator, ...]

    @cached_property
    def knobs(self) -> tuple[Knob, ...]:
        """All knobs, in pipeline order."""
        return tuple(knob for operator in self.operators for knob in operator.knobs)

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """Every combination of knob values, the richest first."""
        combinations = product(*(knob.choices for knob in self.knobs))
        return tuple(Configuration(i, values) for i, values in enumerate(combinations))

    @cached_property
    def upstream_knobs(self) -> tuple[int, ...]:
        """For each operator, how many leading knobs decide its work: its own and those before."""
        counts = np.cumsum([len(operator.knobs) for operator in self.operators])
        return tuple(int(count) for count in counts)

    def operator_key(self, operator: int, configuration: Configuration) -> tuple[KnobValue, ...]:
        """Return what the operator's work depends on: the values of its own and upstream knobs.

        Two queries whose keys agree can share a station, and a profiling run can reuse the
        operator's earlier results.
        """
        return configuration.values[: self.upstream_knobs[operator]]

    def configuration(self, **values: KnobValue) -> Configuration:
        """Return the configuration with these knob values, one for every knob.

        Raises:
            KeyError: a knob is missing or unknown, or has no such value.
        """
        names = [knob.name for knob in self.knobs]
        if sorted(values) != sorted(names):
            raise KeyError(f"{self.name} has the knobs {names}, not {sorted(values)}")
        wanted = tuple(values[name] for name in names)
        for configuration in self.configurations:
            if configuration.values == wanted:
                return configuration
        raise KeyError(f"{self.name} has no configuration {wanted}")


@dataclass(frozen=True)
class Application:
    """A pipeline, and all that its configurations and its content decide.

    Args:
        pipeline: the operators and their knobs.
        datasets: what the content of queries is drawn from, by name.
        model_bytes: weights to load before an operator can serve, by the value of its knob; an
            operator whose knobs are not listed loads nothing.
        requests_per_s: mean rate of one query's source of requests.
        interarrival: spacing of requests around its mean; exponential for a Poisson source.
        answer_bytes: size of the answer that returns to the device.
        window_s: length of an evaluation window, long enough to expect 20 requests.

    Raises:
        ValueError: a figure is out of range, or the data sets do not fit the pipeline.
    """

    pipeline: Pipeline
    datasets: Mapping[str, Dataset]
    model_bytes: Mapping[KnobValue, int] = field(default_factory=dict)
    requests_per_s: float = 0.5
    interarrival: Variability = Exponential()
    answer_bytes: float = 1000.0
    window_s: float = 60.0

    def __post_init__(self) -> None:
        if self.requests_per_s <= 0:
            raise ValueError(
                f"application.requests_per_s={self.requests_per_s}: must be above 0 requests/s"
            )
        if self.window_s * self.requests_per_s < 20:
            raise ValueError(
                f"application.window_s={self.window_s}: too short to judge a query by; at "
                f"{self.requests_per_s} requests/s, 20 requests need "
                f"{20 / self.requests_per_s:g} s or more"
            )
        if self.answer_bytes < 0:
            raise ValueError(f"application.answer_bytes={self.answer_bytes}: must be 0 or more")
        shape = (len(self.pipeline.configurations), len(self.pipeline.operators))
        for data in self.datasets.values():
            if data.service_time_s.shape != shape or data.message_bytes.shape != shape:
                raise ValueError(
                    f"application {self.name!r}, data set {data.name!r}: service times and message "
                    f"sizes must have shape {shape} (configurations, operators)"
                )

    @property
    def name(self) -> str:
        """Name of the application."""
        return self.pipeline.name

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators, in the order in which data flow."""
        return self.pipeline.operators

    def load_bytes(self, operator: int, configuration: Configuration) -> int:
        """Return the bytes of model weights that the operator loads before it can serve."""
        last = self.pipeline.upstream_knobs[operator]
        own = configuration.values[last - len(self.operators[operator].knobs) : last]
        return sum(self.model_bytes.get(value, 0) for value in own)
