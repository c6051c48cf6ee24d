"""Operators of a declared application: their knobs, models and work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hardware_models import llm
from hardware_models.gpu import boards, gpu_latency
from hardware_models.reference import REFERENCE
from scenarios.applications.application import (
    LanguageModel,
    Model,
    NeuralNetwork,
    reference_generation_s,
)
from scenarios.applications.nodes import keyed, mapping, number, pick_key, refusal
from scenarios.applications.pipeline import BATCH_TIMES, LONGEST, Knob, Operator, Pipeline
from scenarios.applications.quantities import RESERVED, Point, Quantities, Texts
from scenarios.numerics import Floats
from scenarios.numerics.distributions import MOST_CV, Constant, LogNormal, Variability

KEYS_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "cpu": ("service_time_s",),
    "gpu": ("service_time_s", "network"),
    "llm": ("language_model", "prompt_tokens", "output_tokens"),
}
"""Required keys of an operator of each kind, in addition to those that all kinds require."""

ABOVE_0 = ("like_items", "device_ratio")
"""Quantities of a network that must be above 0, because its time would otherwise be 0."""

WHOLE = "profiled_whole"


class Figures(NamedTuple):
    """The work of an operator for an average request of a data set.

    Arrays have shape (configurations,) unless another one is given.

    Args:
        service_time_s: time on the reference hardware.
        message_bytes: sizes of the operator's input messages, shape (configurations, messages).
        prompt_tokens: number of tokens that a language model reads; this and the next two numbers
            are 0 for operators without a language model.
        output_tokens: number of tokens in each sequence that the model generates.
        sequences: number of sequences that the model generates at the same time.
    """

    service_time_s: Floats
    message_bytes: Floats
    prompt_tokens: Floats
    output_tokens: Floats
    sequences: Floats


@dataclass(frozen=True)
class DeclaredOperator:
    """An operator and its declaration.

    Args:
        operator: the operator.
        node: its declaration, already checked for unknown keys.
        path: key of the declaration, for error messages.
        knobs: names of its own and all upstream knobs, which determine its model.
        after: names of the operators that send messages to it; empty only for the first operator.
        figure_knobs: names of the knobs on which its work can depend. These are all knobs if the
            operator was profiled in whole configurations, or else ``knobs``.
    """

    operator: Operator
    node: Mapping[str, Any]
    path: str
    knobs: tuple[str, ...]
    after: tuple[str, ...]
    figure_knobs: tuple[str, ...]

    def models(self, quantities: Quantities) -> Sequence[Model | None]:
        """Return the operator's model in every configuration."""
        if self.operator.kind == "gpu":
            return self._networks(quantities)
        if self.operator.kind == "llm":
            return self._language_models(quantities)
        return [None] * quantities.count

    def batch_factors(self, quantities: Quantities) -> Sequence[tuple[float, ...] | None]:
        """Return each configuration's times of batches of 1, 2, ..., in those of one request.

        Sizes between two measured ones are interpolated linearly. It is None without measurements.
        """
        given, path = self.node.get("batch_factor"), f"{self.path}.batch_factor"
        if given is None:
            return [None] * quantities.count
        sizes, times = quantities.by_batch(given, path, self.knobs)
        if 1 not in sizes:
            raise refusal(path, given, "must have a time for a batch of 1")
        if not (times > 0).all():
            raise refusal(path, given, f"is {times.min():g}; must be above 0")
        every = np.arange(1, sizes[-1] + 1)
        return [tuple(np.interp(every, sizes, row / row[0]).tolist()) for row in times]

    def figures(
        self, quantities: Quantities, dataset: str, models: Sequence[Model | None]
    ) -> Figures:
        """Return the operator's work on a data set, given its models."""
        point = Point(dataset)

        def numbers(key: str, low: float) -> Floats:
            given, path = self.node[key], f"{self.path}.{key}"
            return quantities.numbers(given, path, point, self.figure_knobs, low)[:, 0]

        message_bytes = self._message_bytes(quantities, point)
        if self.operator.kind != "llm":
            none = np.zeros(quantities.count)
            return Figures(numbers("service_time_s", 0), message_bytes, none, none, none)
        prompts, outputs = numbers("prompt_tokens", 1), numbers("output_tokens", 1)
        sequences = np.ones(quantities.count)
        if self.node.get("sequences") is not None:
            sequences = numbers("sequences", 1)
            odd = sequences[sequences % 1 != 0]
            if odd.size:
                given = self.node["sequences"]
                reason = f"is {odd[0]:g}; must be a whole number"
                raise refusal(f"{self.path}.sequences", given, reason)
        times = _generation_s(models, prompts, outputs, sequences)
        return Figures(times, message_bytes, prompts, outputs, sequences)

    def _message_bytes(self, quantities: Quantities, point: Point) -> Floats:
        given, path = self.node["message_bytes"], f"{self.path}.message_bytes"
        if len(self.after) < 2:
            return quantities.numbers(given, path, point, self.figure_knobs, 0)
        if not isinstance(given, Mapping):
            raise refusal(path, given, f"must map each of {', '.join(self.after)} to a quantity")
        sizes = keyed(given, path, self.after)
        return np.column_stack(
            [
                quantities.numbers(sizes[one], f"{path}.{one}", point, self.figure_knobs, 0)
                for one in self.after
            ]
        )

    def _texts(self, group: str, key: str, quantities: Quantities) -> Texts:
        return quantities.texts(self.node[group][key], f"{self.path}.{group}.{key}", self.knobs)

    def _networks(self, quantities: Quantities) -> Sequence[NeuralNetwork]:
        path = f"{self.path}.network"
        needed = ("name", "weight_bytes", "like", "benchmark")
        node = keyed(self.node["network"], path, needed, ("like_items", "device_ratio"))
        names, likes, benchmarks = (
            self._texts("network", key, quantities) for key in ("name", "like", "benchmark")
        )
        timed = f"model of table gpu_latency with rows of an {REFERENCE}"
        for one in np.unique(likes):
            pick_key(f"{path}.like", one, gpu_latency.models(), timed)
        for one in np.unique(benchmarks):
            pick_key(f"{path}.benchmark", one, _benchmarks(), "benchmark")

        def numbers(key: str, default: float | None = None) -> list[Any]:
            if node.get(key) is None:
                return [default] * quantities.count
            column = quantities.numbers(node[key], f"{path}.{key}", None, self.knobs)[:, 0]
            if key in ABOVE_0 and not (column > 0).all():
                raise refusal(f"{path}.{key}", node[key], f"is {column.min():g}; must be above 0")
            values: list[Any] = column.tolist()
            return values

        return [
            NeuralNetwork(name, round(size), like, benchmark, items, ratio)
            for name, size, like, benchmark, items, ratio in zip(
                names,
                numbers("weight_bytes"),
                likes,
                benchmarks,
                numbers("like_items", 1.0),
                numbers("device_ratio"),
                strict=True,
            )
        ]

    def _language_models(self, quantities: Quantities) -> Sequence[LanguageModel]:
        path = f"{self.path}.language_model"
        keyed(self.node["language_model"], path, ("name", "precision"))
        names = self._texts("language_model", "name", quantities)
        precisions = self._texts("language_model", "precision", quantities)
        for name, precision in sorted(set(zip(names, precisions, strict=True))):
            pick_key(f"{path}.name", name, llm.models(), "language model")
            pick_key(f"{path}.precision", precision, llm.precisions(name), f"precision of {name}")
        return [LanguageModel(*one) for one in zip(names, precisions, strict=True)]


def declared_pipeline(
    name: str, node: object, path: str
) -> tuple[Pipeline, Sequence[DeclaredOperator]]:
    """Return the pipeline of a declaration, and the declaration of each of its operators."""
    operators, nodes = [], []
    owners: dict[str, str] = {}
    for own, declared in mapping(node, path, "operators").items():
        here = f"{path}.{own}"
        kind = declared.get("kind") if isinstance(declared, Mapping) else None
        if isinstance(declared, Mapping):
            pick_key(f"{here}.kind", kind, KEYS_OF_KIND, "kind of operator")
        optional = ["after", "knobs", "service_cv"]
        optional += ["batch_factor"] if kind == "cpu" else []
        optional += ["sequences"] if kind == "llm" else ["batch_time", WHOLE]
        needed = ("kind", "message_bytes", *KEYS_OF_KIND.get(str(kind), ()))
        checked = keyed(declared, here, needed, optional)
        knobs = _knobs(checked.get("knobs"), f"{here}.knobs")
        for knob in knobs:
            if knob.name in owners:
                raise refusal(
                    f"{here}.knobs.{knob.name}",
                    list(knob.choices),
                    f"operator {owners[knob.name]} has a knob of that name; names must differ",
                )
            owners[knob.name] = own
        if not isinstance(checked.get(WHOLE, False), bool):
            raise refusal(f"{here}.{WHOLE}", checked[WHOLE], "must be true or false")
        cv = number(checked.get("service_cv") or 0.0, f"{here}.service_cv", high=MOST_CV)
        after = _after(checked.get("after"), f"{here}.after")
        batch_time = checked.get("batch_time") or LONGEST
        pick_key(f"{here}.batch_time", batch_time, BATCH_TIMES, "batch time")
        operators.append(Operator(own, kind, knobs, variability(cv), after, batch_time))  # type: ignore[arg-type]
        nodes.append(checked)
    pipeline, every = Pipeline(name, tuple(operators)), tuple(owners)
    stages = []
    for at, (operator, checked) in enumerate(zip(pipeline.operators, nodes, strict=True)):
        upstream = tuple(pipeline.knobs[knob].name for knob in pipeline.upstream_knobs[at])
        after = tuple(pipeline.operators[one].name for one in pipeline.after[at])
        figures = every if checked.get(WHOLE) else upstream
        where = f"{path}.{operator.name}"
        stages.append(DeclaredOperator(operator, checked, where, upstream, after, figures))
    return pipeline, stages


def _after(node: object, path: str) -> tuple[str, ...] | None:
    if node is None:
        return None
    if not isinstance(node, list | tuple) or not all(isinstance(one, str) for one in node):
        raise refusal(path, node, "must be a list of names of operators")
    return tuple(node)


def variability(cv: float) -> Variability:
    """Return a log-normal distribution with a coefficient of variation; 0 means no variation."""
    return LogNormal(cv) if cv > 0 else Constant()


def _knobs(node: object, path: str) -> tuple[Knob, ...]:
    if not node:
        return ()
    knobs = []
    for name, choices in mapping(node, path, "lists of choices").items():
        here = f"{path}.{name}"
        if name in RESERVED:
            reason = f"no knob may be named {', '.join(RESERVED)}: tables use these names"
            raise refusal(here, choices, reason)
        if not isinstance(choices, list | tuple) or not _plain(choices):
            raise refusal(here, choices, "must be a list of whole numbers or texts, one at least")
        if len({str(one) for one in choices}) < len(choices):
            raise refusal(here, choices, "must not name a choice twice")
        knobs.append(Knob(name, tuple(choices)))
    return tuple(knobs)


def _plain(choices: Sequence[object]) -> bool:
    return bool(choices) and all(type(one) in (int, str) for one in choices)


def _benchmarks() -> list[str]:
    return sorted({name for board in boards.boards() for name in boards.benchmarks(board)})


def _generation_s(
    models: Sequence[Model | None], prompt_tokens: Floats, output_tokens: Floats, sequences: Floats
) -> Floats:
    """Return a language model's time for an average request in each configuration.

    Configurations with equal arguments are computed only once.
    """
    asked = list(zip(models, prompt_tokens, output_tokens, sequences, strict=True))
    seconds = {}
    for one in set(asked):
        model, prompt, output, count = one
        assert isinstance(model, LanguageModel)
        whole = np.rint([prompt]), np.rint([output])
        seconds[one] = float(reference_generation_s(model, *whole, int(count))[0])
    return np.array([seconds[one] for one in asked])
