"""Applications: a pipeline, the models of its operators, and measurements on its data sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

import numpy as np

from hardware_models.gpu.compute import fixed_share
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
    """The network of a ``gpu`` operator, and the measured models from which its times are derived.

    Args:
        name: name of the network; operators that share it load its weights once.
        weight_bytes: size of its weights.
        like: model of table ``gpu_latency``. The network's times are assumed to depend on batch
            size, slice size and processes per slice in the same way as this model's times.
        benchmark: benchmark of MLPerf Inference from which the ratios of the network's times on
            different GPU boards are taken.
        like_items: number of items for which model ``like`` needs as many operations as this
            network needs for one request.
        device_ratio: ratio of the network's time on the CPU of a Raspberry Pi 5 to that on the
            reference GPU; None if it cannot run on a CPU.
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
        precision: format of its weights, such as ``"BF16"`` or ``"AWQ"``.
    """

    name: str
    precision: str

    @property
    def weight_bytes(self) -> int:
        """Size of its weights in bytes."""
        return weight_bytes(self.name, self.precision)


Model = NeuralNetwork | LanguageModel
SizeScales = Literal["all", "work"]
OperatorKey = tuple[str, tuple[KnobValue, ...]]


RATE = Range(gt=0, le=10_000, unit="requests/s")
"""Allowed request rates of a query; a higher one is probably a mistake and would exhaust memory."""

ANSWER = Range(ge=0, le=1e9, unit="bytes")
"""Allowed answer sizes; sums of several of the largest fit 64-bit integers."""


@dataclass(frozen=True)
class Application:
    """A pipeline with its models, its measurements on data sets, and its request source.

    Args:
        pipeline: the operators and their knobs.
        datasets: the populations from which the content of queries is drawn, by name.
        models: the model that an operator runs, by the operator's name and the values of its own
            and upstream knobs (``Pipeline.operator_key``); operators of kind ``cpu`` are left out.
        tiers: classes of service, one of which is drawn for each query, unless the workload names
            others.
        requests_per_s: mean rate of one query's requests.
        interarrival: distribution of the time between requests, relative to its mean; exponential
            for a Poisson source.
        answer_bytes: size of the answer that is sent to the device.
        window_s: length of an evaluation window; at least 20 requests must be expected in one.
        latency_per: with ``"request"``, the latency bound is the same for all requests. With
            ``"output_length"``, the declared bound is multiplied by the ratio of a request's output
            length to the mean.
        size_scales: with ``"work"``, a network's time has a fixed share, which does not depend on a
            request's size; see ``hardware_models.gpu.compute.fixed_share``. With ``"all"``, all
            service times are proportional to size.
        batch_factors: for operators of kind ``cpu`` whose batches were measured, with keys as in
            ``models``: times of batches of 1, 2, ... requests, divided by the time of one.

    Raises:
        ValueError: a value is out of range, or the data sets do not match the pipeline.
    """

    pipeline: Pipeline
    datasets: Mapping[str, Dataset]
    models: Mapping[OperatorKey, Model] = field(default_factory=dict)
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    requests_per_s: Annotated[float, RATE] = 0.5
    interarrival: Variability = Exponential()
    answer_bytes: Annotated[float, ANSWER] = 1000.0
    window_s: Annotated[float, Range(ge=0, le=MOST_LATENCY_S, unit="s")] = 60.0
    latency_per: Literal["request", "output_length"] = "request"
    size_scales: SizeScales = "work"
    batch_factors: Mapping[OperatorKey, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ranges(self, "application.")
        if self.window_s * self.requests_per_s < 20:
            raise ValueError(
                f"application.window_s={self.window_s}: too short to judge a query by; at "
                f"{self.requests_per_s} requests/s, 20 requests need "
                f"{20 / self.requests_per_s:g} s or more"
            )
        if self.size_scales not in get_args(SizeScales):
            raise ValueError(f"application.size_scales={self.size_scales!r}: choose all or work")
        if self.latency_per not in ("request", "output_length"):
            raise ValueError(
                f"application.latency_per={self.latency_per!r}: choose request or output_length"
            )
        self._check_fit()

    def _check_fit(self) -> None:
        """Check that data sets and models match the pipeline."""
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
        """Return the model of an operator, or None for an operator without one."""
        key = self.pipeline.operator_key(operator, configuration)
        return self.models.get((self.operators[operator].name, key))

    def fixed_share(
        self,
        model: NeuralNetwork,
        board: str,
        profile: str,
        processes: int = 1,
        thread_percent: int = 100,
    ) -> float:
        """Return the share of a network's time on a GPU instance that does not scale with size."""
        if self.size_scales == "all":
            return 0.0
        of = model.like, model.benchmark, board, profile
        return fixed_share(*of, processes, thread_percent, model.like_items)

    def batch_factor(self, operator: int, configuration: Configuration) -> tuple[float, ...] | None:
        """Return an operator's measured times of batches in those of one request, or None."""
        key = self.pipeline.operator_key(operator, configuration)
        return self.batch_factors.get((self.operators[operator].name, key))

    @property
    def largest_batches(self) -> tuple[int, ...]:
        """The largest measured batch of each operator on a core; 1 for no measurement."""
        return tuple(
            max(
                (len(each) for (of, _), each in self.batch_factors.items() if of == one.name),
                default=1,
            )
            for one in self.operators
        )

    def item_times_s(
        self,
        dataset: Dataset,
        configuration: Configuration,
        operator: int,
        size: Floats,
        length: Floats,
        variability: Floats,
    ) -> Floats:
        """Return the time that each request takes if it is served alone on the reference hardware.

        Args:
            dataset: the data set that the requests belong to.
            configuration: the configuration of the pipeline.
            operator: index of the operator.
            size: ratio of each request's size to the mean, shape (n,).
            length: ratio of the length of each request's output to the mean, shape (n,).
            variability: random factor of each request's time at this operator, shape (n,).

        Returns:
            Times in seconds, shape (n,).
        """
        mean_s = float(dataset.service_time_s[configuration.index, operator])
        model = self.model(operator, configuration)
        if not isinstance(model, LanguageModel):
            fixed = 0.0
            if model is not None:
                fixed = self.fixed_share(model, REFERENCE, REFERENCE_PROFILE)
            return np.asarray(mean_s * (fixed + (1 - fixed) * size) * variability)
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
    """Return a language model's time for each request alone on the reference GPU, in seconds.

    The prefill of the prompt produces the first token. Each further token takes one decoding
    iteration.
    """
    times = iteration_times(model.name, model.precision, REFERENCE, REFERENCE_PROFILE)
    prefill_s = times.prefill_fixed_s + prompt_tokens * (
        times.prefill_s_per_token + prompt_tokens * times.prefill_s_per_token2
    )
    context = prompt_tokens + sequences * output_tokens / 2
    decode_s = times.decode_s(sequences) + context * times.decode_s_per_context_token
    return np.asarray(prefill_s + (output_tokens - 1) * decode_s)
