"""Applications: a graph of operators, the knobs that configure them, and what data decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware_models.errors import nearest
from hardware_models.llm import iteration_times, weight_bytes
from hardware_models.reference import REFERENCE, REFERENCE_PROFILE
from scenarios.compiled import compiled
from scenarios.numerics.distributions import Constant, Exponential, Variability
from scenarios.slo import MOST_LATENCY_S, Tier

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
    """One stage of a pipeline.

    Args:
        name: unique within the application.
        kind: ``"cpu"`` for classical code, ``"gpu"`` for a neural network, ``"llm"`` for a language
            model that generates token by token. A device without an accelerator runs the first two
            on its processor, and cannot run the last.
        knobs: the knobs that belong to this operator.
        variability: how service times of requests of equal size differ, independently per operator;
            for a language model, how numbers of generated tokens differ.
        after: names of the operators that it awaits, each of which sends it a message; None for the
            one before it in the pipeline.
    """

    name: str
    kind: Literal["cpu", "gpu", "llm"]
    knobs: tuple[Knob, ...] = ()
    variability: Variability = Constant()
    after: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class NeuralNetwork:
    """What a ``gpu`` operator runs, and which measured surfaces its times follow elsewhere.

    Args:
        name: name of the network; its weights are loaded once for all that use them.
        weight_bytes: size of its weights.
        like: model of table ``gpu_latency`` by which its time grows with batch size, with smaller
            slices and with processes that share one.
        benchmark: benchmark of MLPerf Inference by which its time differs between boards.
        like_items: items of that model that one request weighs: the ratio of their operations.
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
    """What an ``llm`` operator runs.

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


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a language model does for a mean request.

    Args:
        prompt: tokens that it reads.
        output: tokens that each of its sequences generates.
        sequences: sequences that it generates at once from the prompt.
    """

    prompt: float
    output: float
    sequences: int = 1


@dataclass(frozen=True)
class Dataset:
    """A population of content, and what was measured on it for every configuration.

    C configurations, N operators, E edges of the pipeline, S strata.

    Args:
        name: name of the data set.
        service_time_s: mean service time on the reference hardware, shape (C, N).
        message_bytes: mean size of the message on each edge, see ``Pipeline.edges``, shape (C, E).
        stratum_weights: share of each stratum in the population, shape (S,).
        accuracy: mean accuracy by stratum, shape (C, S).
        accuracy_quantiles: accuracy of one item by stratum at ``quantile_grid``, shape (C, S, Q);
            its mean over the piecewise-linear inverse CDF equals ``accuracy``.
        quantile_grid: increasing probabilities from 0 to 1, shape (C, S, Q).
        request_size: how requests differ in size; scales service times, messages and prompts alike.
        prompt_tokens: mean tokens that a language model reads, shape (C, N); 0 for other operators.
        output_tokens: mean tokens that each sequence of it generates, shape (C, N).
        sequences: sequences that it generates at once from one prompt, shape (C, N).
        output_length: how requests differ in the length of their output; scales output tokens.
    """

    name: str
    service_time_s: Floats
    message_bytes: Floats
    stratum_weights: Floats
    accuracy: Floats
    accuracy_quantiles: Floats
    quantile_grid: Floats
    request_size: Variability
    prompt_tokens: Floats | None = None
    output_tokens: Floats | None = None
    sequences: NDArray[np.int64] | None = None
    output_length: Variability = Constant()

    def tokens(self, configuration: int, operator: int) -> "Tokens":
        """Return what a language model reads and generates for a mean request.

        Raises:
            ValueError: the data set was not declared with tokens.
        """
        if self.prompt_tokens is None or self.output_tokens is None or self.sequences is None:
            raise ValueError(f"data set {self.name!r} declares no tokens")
        at = configuration, operator
        return Tokens(
            float(self.prompt_tokens[at]), float(self.output_tokens[at]), int(self.sequences[at])
        )

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
        grid, quantiles = self.quantile_grid[configuration], self.accuracy_quantiles[configuration]
        return _interpolated(strata, ranks, grid, quantiles)


@compiled
def _interpolated(row: NDArray[np.int64], at: Floats, grid: Floats, values: Floats) -> Floats:
    """Return what ``numpy.interp`` does, each number within a row of its own.

    Args:
        row: row of each, shape (n,).
        at: where each is asked for, shape (n,).
        grid: increasing points of each row, shape (S, Q).
        values: what holds there, shape (S, Q).
    """
    found = np.empty(len(at))
    last = grid.shape[1] - 1
    for number in range(len(at)):
        points, known, point = grid[row[number]], values[row[number]], at[number]
        if point > points[last]:
            found[number] = known[last]
            continue
        if point < points[0]:
            found[number] = known[0]
            continue
        # The last point that is not above.
        low, high = 0, last + 1
        while high - low > 1:
            middle = (low + high) // 2
            if points[middle] <= point:
                low = middle
            else:
                high = middle
        if low == last or points[low] == point:
            found[number] = known[low]
        else:
            slope = (known[low + 1] - known[low]) / (points[low + 1] - points[low])
            found[number] = slope * (point - points[low]) + known[low]
    return found


MOST_REQUESTS_PER_S = 10_000
"""A bound beyond which a query's rate is taken for a slip; its requests would fill memory."""

MOST_ANSWER_BYTES = 1e9
"""The largest answer: some times that in bytes and nanoseconds fit 64 bits."""

ANSWER = "answer"
"""What results call the way of the answer back to the device, where others name an operator."""


class Path(NamedTuple):
    """A way through a pipeline, from the request to the answer.

    Args:
        operators: the operators on it.
        edges: the edges between them, that of the request and the way of the answer included.
    """

    operators: tuple[int, ...]
    edges: tuple[int, ...]


@dataclass(frozen=True)
class Pipeline:
    """What everybody may know of an application: its operators and how they can be configured.

    Args:
        name: name of the application.
        operators: the pipeline, in an order in which data flow. The first gets the request, the
            last returns the answer, and all others lie on a path between them.

    Raises:
        ValueError: an operator is named ``"answer"``; or it follows none, one that does not stand
            before it or one twice; or nothing follows it.
    """

    name: str
    operators: tuple[Operator, ...]

    def __post_init__(self) -> None:
        if ANSWER in [operator.name for operator in self.operators]:
            raise ValueError(
                f"application.operators.{ANSWER}: results call the way back to the device so; "
                "give the operator another name"
            )
        self._check_order()

    def _check_order(self) -> None:
        names = [operator.name for operator in self.operators]
        followed: set[str] = set()
        for at, operator in enumerate(self.operators):
            where = f"application.operators.{operator.name}"
            after = names[max(0, at - 1) : at] if operator.after is None else operator.after
            given = f"{where}.after=[{', '.join(after)}]"
            if at == 0 and after:
                raise ValueError(f"{given}: the first operator gets the request and awaits none")
            if at > 0 and not after:
                raise ValueError(
                    f"{given}: only {names[0]}, the first, gets the request; name at least one of "
                    f"{', '.join(names[:at])}"
                )
            for each in after:
                if each not in names[:at]:
                    raise ValueError(
                        f"{given}: {each} does not stand before {operator.name}; choose from "
                        f"{', '.join(names[:at])} (nearest: {nearest(each, names[:at])})"
                    )
            if len(set(after)) < len(after):
                raise ValueError(f"{given}: must not name an operator twice")
            followed.update(after)
        for name in names[:-1]:
            if name not in followed:
                raise ValueError(
                    f"application.operators.{name}: nothing comes after it; only {names[-1]}, the "
                    f"last, returns the answer, so that {name} must stand in the after of another"
                )

    @cached_property
    def after(self) -> tuple[tuple[int, ...], ...]:
        """For each operator, those that it awaits, in the order in which it names them."""
        number = {operator.name: at for at, operator in enumerate(self.operators)}
        return tuple(
            (() if at == 0 else (at - 1,))
            if operator.after is None
            else tuple(number[name] for name in operator.after)
            for at, operator in enumerate(self.operators)
        )

    @cached_property
    def edges(self) -> tuple[tuple[int | None, int], ...]:
        """Every message's way: the operators that send and get it, by who gets it.

        The first is that of the request, which no operator sends. In a chain, edge i leads to
        operator i. The way of the answer is not among them; where it is counted, it comes last.
        """
        return (
            (None, 0),
            *((earlier, at) for at, some in enumerate(self.after) for earlier in some),
        )

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Every way from the request to the answer; a chain has one."""
        to: list[list[Path]] = [[] for _ in self.operators]
        for edge, (earlier, at) in enumerate(self.edges):
            before = [Path((), ())] if earlier is None else to[earlier]
            to[at] += [Path((*path.operators, at), (*path.edges, edge)) for path in before]
        return tuple(Path(path.operators, (*path.edges, len(self.edges))) for path in to[-1])

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
    def own_knobs(self) -> tuple[range, ...]:
        """For each operator, where its own knobs stand among all."""
        ends = accumulate(len(operator.knobs) for operator in self.operators)
        return tuple(
            range(end - len(operator.knobs), end)
            for operator, end in zip(self.operators, ends, strict=True)
        )

    @cached_property
    def upstream_knobs(self) -> tuple[tuple[int, ...], ...]:
        """For each operator, which knobs decide its work: its own and those on all ways to it.

        They are places among all knobs, in rising order; the leading ones in a chain.
        """
        found: list[tuple[int, ...]] = []
        for own, some in zip(self.own_knobs, self.after, strict=True):
            found.append(tuple(sorted({*own, *(knob for one in some for knob in found[one])})))
        return tuple(found)

    @cached_property
    def work_numbers(self) -> tuple[tuple[int, ...], ...]:
        """For each configuration a number for each operator; equal ones mean equal work.

        That is, of the same operator with the same `operator_key`.
        """
        known: dict[tuple[int, tuple[KnobValue, ...]], int] = {}
        return tuple(
            tuple(
                known.setdefault((at, self.operator_key(at, configuration)), len(known))
                for at in range(len(self.operators))
            )
            for configuration in self.configurations
        )

    def operator_key(self, operator: int, configuration: Configuration) -> tuple[KnobValue, ...]:
        """Return what the operator's work depends on: the values of its own and upstream knobs.

        Two queries whose keys agree can share a station, and a profiling run can reuse the
        operator's earlier results.
        """
        return tuple(configuration.values[knob] for knob in self.upstream_knobs[operator])

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
        models: what operators run, by the operator's name and the values of its own and upstream
            knobs, see ``Pipeline.operator_key``; operators of kind ``cpu`` run none.
        tiers: classes of service that queries are drawn from, unless the workload names others.
        requests_per_s: mean rate of one query's source of requests.
        interarrival: spacing of requests around its mean; exponential for a Poisson source.
        answer_bytes: size of the answer that returns to the device.
        window_s: length of an evaluation window, long enough to expect 20 requests.
        latency_per: what a latency bound speaks of: ``"request"``, or ``"output_length"``, where a
            request may take longer in proportion to the length of its output, so that the bound
            is that of a request of mean length.

    Raises:
        ValueError: a figure is out of range, or the data sets do not fit the pipeline.
    """

    pipeline: Pipeline
    datasets: Mapping[str, Dataset]
    models: Mapping[tuple[str, tuple[KnobValue, ...]], Model] = field(default_factory=dict)
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    requests_per_s: float = 0.5
    interarrival: Variability = Exponential()
    answer_bytes: float = 1000.0
    window_s: float = 60.0
    latency_per: Literal["request", "output_length"] = "request"

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_fit()

    def _check_numbers(self) -> None:
        if self.requests_per_s <= 0:
            raise ValueError(
                f"application.requests_per_s={self.requests_per_s}: must be above 0 requests/s"
            )
        if not self.requests_per_s <= MOST_REQUESTS_PER_S:
            raise ValueError(
                f"application.requests_per_s={self.requests_per_s}: must be "
                f"{MOST_REQUESTS_PER_S:_} requests/s or less"
            )
        if self.window_s * self.requests_per_s < 20:
            raise ValueError(
                f"application.window_s={self.window_s}: too short to judge a query by; at "
                f"{self.requests_per_s} requests/s, 20 requests need "
                f"{20 / self.requests_per_s:g} s or more"
            )
        if not self.window_s <= MOST_LATENCY_S:
            raise ValueError(
                f"application.window_s={self.window_s}: must be {MOST_LATENCY_S:g} s or less"
            )
        if self.answer_bytes < 0:
            raise ValueError(f"application.answer_bytes={self.answer_bytes}: must be 0 or more")
        if not self.answer_bytes <= MOST_ANSWER_BYTES:
            raise ValueError(
                f"application.answer_bytes={self.answer_bytes}: must be {MOST_ANSWER_BYTES:g} or "
                "less"
            )
        if self.latency_per not in ("request", "output_length"):
            raise ValueError(
                f"application.latency_per={self.latency_per!r}: choose request or output_length"
            )

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
        """Return what an operator runs, or None for classical code."""
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
            times: Floats = mean_s * size * variability
            return times
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

    The first token comes with the prompt's prefill, each other one from a decoding iteration.
    """
    times = iteration_times(model.name, model.precision, REFERENCE, REFERENCE_PROFILE)
    prefill_s = times.prefill_fixed_s + prompt_tokens * (
        times.prefill_s_per_token + prompt_tokens * times.prefill_s_per_token2
    )
    context = prompt_tokens + sequences * output_tokens / 2
    decode_s = times.decode_s(sequences) + context * times.decode_s_per_context_token
    generation: Floats = prefill_s + (output_tokens - 1) * decode_s
    return generation
