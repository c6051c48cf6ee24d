"""Applications: a pipeline, the models of its operators, and its results on data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np

from hardware_models.llm import iteration_times, weight_bytes
from hardware_models.reference import REFERENCE, REFERENCE_PROFILE
from scenarios.applications.dataset import Dataset
from scenarios.applications.pipeline import Configuration, KnobValue, Operator, Pipeline
from scenarios.numerics import Floats
from scenarios.numerics.distributions import Exponential, Variability
from scenarios.ranges import Range, check_ranges
from scenarios.slo import MOST_LATENCY_S, Tier


@dataclass(frozen=True, slots=True)
class NeuralNetwork:
    """The network of a ``gpu`` operator, and the measured surfaces that its times follow.

    Args:
        name: name of the network; operators that share it load its weights once.
        weight_bytes: size of its weights.
        like: model of table ``gpu_latency`` whose times scale with batch size, slice size and
            processes per slice like its own.
        benchmark: benchmark of MLPerf Inference that gives the ratios of its times on boards.
        like_items: items of that model that equal one request: the ratio of their operations.
        device_ratio: its time on the CPU of a Raspberry Pi 5 over that on the reference GPU; None
            if it cannot run on a CPU.
    """

    name: str
    weight_bytes: int
    like: str
    benchmark: str
    like_items: float = 1.0
    device_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The model of an ``llm`` operator.

    Args:
        name: a model of ``hardware_models.llm``.
        precision: how its weights are stored, such as ``"BF16"`` or ``"AWQ"``.
    """

    name: str
    precision: str

    @property
    def weight_bytes(self) -> int:
        """Size of its weights."""
        return weight_bytes(self.name, self.precision)


Model = NeuralNetwork | LanguageModel


RATE = Range(gt=0, le=10_000, unit="requests/s")
"""A higher rate of a query counts as a mistake; its requests would fill memory."""

ANSWER = Range(ge=0, le=1e9, unit="bytes")
"""Several times the largest in bytes and nanoseconds fit 64 bits."""


@dataclass(frozen=True)
class Application:
    """A pipeline, and the figures of its configurations and content.

    Args:
        pipeline: the operators and their knobs.
        datasets: what the content of queries is drawn from, by name.
        models: what operators run, by the operator's name and the values of its own and upstream
            knobs, see ``Pipeline.operator_key``; operators of kind ``cpu`` run none.
        tiers: classes of service that queries are drawn from, unless the workload names others.
        requests_per_s: mean rate of one query's source of requests.
        interarrival: spacing of requests around its mean; exponential for a Poisson source.
        answer_bytes: size of the answer that returns to the device.
        window_s: length of an evaluation window, long enough to expect 20 requests.
        latency_per: what a latency bound refers to: ``"request"``, or ``"output_length"``; then the
            bound is that of a request of mean output length, and grows in proportion to it.

    Raises:
        ValueError: a figure is out of range, or the data sets do not fit the pipeline.
    """

    pipeline: Pipeline
    datasets: Mapping[str, Dataset]
    models: Mapping[tuple[str, tuple[KnobValue, ...]], Model] = field(default_factory=dict)
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    requests_per_s: Annotated[float, RATE] = 0.5
    interarrival: Variability = Exponential()
    answer_bytes: Annotated[float, ANSWER] = 1000.0
    window_s: Annotated[float, Range(ge=0, le=MOST_LATENCY_S, unit="s")] = 60.0
    latency_per: Literal["request", "output_length"] = "request"

    def __post_init__(self) -> None:
        check_ranges(self, "application.")
        if self.window_s * self.requests_per_s < 20:
            raise ValueError(
                f"application.window_s={self.window_s}: too short to judge a query by; at "
                f"{self.requests_per_s} requests/s, 20 requests need "
                f"{20 / self.requests_per_s:g} s or more"
            )
        if self.latency_per not in ("request", "output_length"):
            raise ValueError(
                f"application.latency_per={self.latency_per!r}: choose request or output_length"
            )
        self._check_fit()

    def _check_fit(self) -> None:
        """Check that data sets and models fit the pipeline."""
        shape = (len(self.pipeline.configurations), len(self.pipeline.operators))
        for data in self.datasets.values():
            if data.service_time_s.shape != shape:
                raise ValueError(
                    f"application {self.name!r}, data set {data.name!r}: service times must have "
                    f"shape {shape} (configurations, operators)"
                )
            messages = shape[0], len(self.pipeline.edges)
            if data.message_bytes.shape != messages:
                raise ValueError(
                    f"application {self.name!r}, data set {data.name!r}: message sizes must have "
                    f"shape {messages} (configurations, edges of the pipeline)"
                )
        for number, operator in enumerate(self.operators):
            for configuration in self.pipeline.configurations:
                key = operator.name, self.pipeline.operator_key(number, configuration)
                wanted = {"gpu": NeuralNetwork, "llm": LanguageModel}.get(operator.kind)
                if wanted is not None and not isinstance(self.models.get(key), wanted):
                    raise ValueError(
                        f"application {self.name!r}: operator {operator.name!r} of kind "
                        f"{operator.kind} names no model for {configuration}"
                    )

    @property
    def name(self) -> str:
        """Name of the application."""
        return self.pipeline.name

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators, in the order in which data flow."""
        return self.pipeline.operators

    def model(self, operator: int, configuration: Configuration) -> Model | None:
        """Return the model of an operator, or None for classical code."""
        key = self.pipeline.operator_key(operator, configuration)
        return self.models.get((self.operators[operator].name, key))

    def item_times_s(
        self,
        dataset: Dataset,
        configuration: Configuration,
        operator: int,
        size: Floats,
        length: Floats,
        variability: Floats,
    ) -> Floats:
        """Return the time of single requests, served alone on the reference hardware.

        Args:
            dataset: the data set that they belong to.
            configuration: how the operator is configured.
            operator: index of the operator.
            size: size of each over the mean, shape (n,).
            length: length of the output of each over the mean, shape (n,).
            variability: factor of each at this operator, shape (n,).

        Returns:
            Times in seconds, shape (n,).
        """
        mean_s = float(dataset.service_time_s[configuration.index, operator])
        model = self.model(operator, configuration)
        if not isinstance(model, LanguageModel):
            return np.asarray(mean_s * size * variability)
        tokens = dataset.tokens(configuration.index, operator)
        return reference_generation_s(
            model,
            np.maximum(1, np.rint(tokens.prompt * size)),
            np.maximum(1, np.rint(tokens.output * length * variability)),
            tokens.sequences,
        )


def reference_generation_s(
    model: LanguageModel, prompt_tokens: Floats, output_tokens: Floats, sequences: int
) -> Floats:
    """Return how long a language model takes for requests alone on the reference GPU, in seconds.

    The prefill of the prompt yields the first token, and a decoding iteration each other one.
    """
    times = iteration_times(model.name, model.precision, REFERENCE, REFERENCE_PROFILE)
    prefill_s = times.prefill_fixed_s + prompt_tokens * (
        times.prefill_s_per_token + prompt_tokens * times.prefill_s_per_token2
    )
    context = prompt_tokens + sequences * output_tokens / 2
    decode_s = times.decode_s(sequences) + context * times.decode_s_per_context_token
    return np.asarray(prefill_s + (output_tokens - 1) * decode_s)
