"""Applications that are declared: one file of operators and knobs, and a directory of tables.

``docs/tutorial_application.md`` adds one step by step.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hardware_models import boards, llm
from hardware_models.tables import load_table
from scenarios import item_accuracy
from scenarios.accuracy_rules import RULES
from scenarios.application import (
    Application,
    Dataset,
    Knob,
    KnobValue,
    LanguageModel,
    Model,
    NeuralNetwork,
    Operator,
    Pipeline,
    reference_generation_s,
)
from scenarios.distributions import Constant, Exponential, LogNormal, Variability
from scenarios.item_accuracy import Curve
from scenarios.nodes import REFERENCE, keyed, mapping, number, pick_key, refusal
from scenarios.quantities import RESERVED, Floats, Point, Quantities, Texts
from scenarios.slo import Tier

PATH = "application"

KEYS_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "cpu": ("service_time_s",),
    "gpu": ("service_time_s", "network"),
    "llm": ("language_model", "prompt_tokens", "output_tokens"),
}
"""What an operator of each kind must say, beside what all must."""

WHOLE = "profiled_whole"

MEAN_TOLERANCE = 1e-6
"""How far the mean under given quantiles may be from the given mean accuracy."""


class DeclaredApplication(Application):
    """An application built from its declaration.

    A *quantity* is a number, a column of a table as ``table.column``, or a list of those, which
    stands for their product. A table is keyed by those of its columns that are named like a knob,
    ``dataset`` or ``stratum``. A quantity of an operator may depend on its own and upstream knobs
    and on the data set; accuracy on everything.

    Args:
        name: name of the application.
        operators: by name, in the order in which data flow. Each has ``kind`` (cpu, gpu or llm),
            ``knobs`` (choices by name, the richest first), ``message_bytes`` (a quantity: size of
            the message that enters it), and optionally ``service_cv`` (a number: coefficient of
            variation of its service times, of an llm of its numbers of generated tokens) and
            ``profiled_whole`` (true where its quantities were measured in whole configurations, so
            that they also depend on downstream knobs, if only by the noise of the measurement).
            Kinds cpu and gpu have ``service_time_s``, a quantity: seconds for the mean request on
            the reference hardware, a server core or a whole A100-80GB. Kind gpu has ``network``,
            the fields of ``NeuralNetwork``; kind llm has ``language_model``, those of
            ``LanguageModel``, and the quantities ``prompt_tokens``, ``output_tokens`` and
            ``sequences`` (1 unless given), from which its service time follows.
        accuracy: ``rule``, a name in ``scenarios.accuracy_rules``, and that rule's parameters,
            each a quantity; ``spread`` says how single items differ: ``success`` (right or wrong),
            a quantity (standard deviation of a Beta distribution), or a mapping with
            ``probabilities`` and ``quantiles``, two lists of quantities.
        datasets: by name; each may have ``request_size_cv`` and ``output_length_cv`` (quantities:
            coefficients of variation, 0 unless given) and ``strata`` (column of a table keyed by
            data set and stratum that holds their weights; one stratum, ``all``, unless given).
        tables: a directory of CSV or Parquet tables: the name of one of ours, or a path from the
            current directory.
        tiers: classes of service, fields of ``Tier``.
        requests_per_s: mean rate of one query's source of requests.
        interarrival: ``poisson``, or ``periodic`` for constant gaps.
        answer_bytes: size of the answer that returns to the device.
        window_s: length of an evaluation window, long enough to expect 20 requests.
        latency_per: what a latency bound speaks of, see ``Application``.

    Raises:
        ValueError: something in the declaration is wrong; the message names key and value.
    """

    def __init__(
        self,
        name: str,
        operators: dict[str, Any],
        accuracy: dict[str, Any],
        datasets: dict[str, Any],
        tables: str,
        tiers: dict[str, Any] | None = None,
        requests_per_s: float = 0.5,
        interarrival: Literal["poisson", "periodic"] = "poisson",
        answer_bytes: float = 1000.0,
        window_s: float = 60.0,
        latency_per: Literal["request", "output_length"] = "request",
    ) -> None:
        pick_key(f"{PATH}.interarrival", interarrival, ("poisson", "periodic"), "spacing")
        stages = _stages(operators)
        pipeline = Pipeline(name, tuple(stage.operator for stage in stages))
        quantities = Quantities(tables, pipeline.knobs, f"{PATH}.tables")
        models = [_models(stage, quantities) for stage in stages]
        super().__init__(
            pipeline,
            datasets={
                one: _dataset(one, node, accuracy, stages, models, quantities)
                for one, node in mapping(datasets, f"{PATH}.datasets", "data sets").items()
            },
            models=_by_key(pipeline, models),
            tiers=_tiers(tiers),
            requests_per_s=requests_per_s,
            interarrival=Exponential() if interarrival == "poisson" else Constant(),
            answer_bytes=answer_bytes,
            window_s=window_s,
            latency_per=latency_per,
        )


@dataclass(frozen=True)
class _Stage:
    """An operator, what was declared of it, and the knobs that its work may depend on."""

    operator: Operator
    node: Mapping[str, Any]
    path: str
    knobs: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether its quantities were profiled in whole configurations."""
        said = self.node.get(WHOLE, False)
        if not isinstance(said, bool):
            raise refusal(f"{self.path}.{WHOLE}", said, "must be true or false")
        return said

    def numbers(
        self, key: str, quantities: Quantities, dataset: str | None = None, low: float = 0.0
    ) -> Floats:
        """Return a quantity of this operator, shape (configurations,)."""
        point = None if dataset is None else Point(dataset)
        return quantities.numbers(self.node[key], f"{self.path}.{key}", point, self.knobs, low)[
            :, 0
        ]

    def texts(self, group: str, key: str, quantities: Quantities) -> Texts:
        """Return a text of what this operator runs, shape (configurations,)."""
        return quantities.texts(self.node[group][key], f"{self.path}.{group}.{key}", self.knobs)


def _stages(operators: object) -> list[_Stage]:
    path = f"{PATH}.operators"
    stages: list[_Stage] = []
    owners: dict[str, str] = {}
    for name, node in mapping(operators, path, "operators").items():
        here = f"{path}.{name}"
        kind = node.get("kind") if isinstance(node, Mapping) else None
        if isinstance(node, Mapping):
            pick_key(f"{here}.kind", kind, KEYS_OF_KIND, "kind of operator")
        optional = ["knobs", "service_cv", WHOLE, *(["sequences"] if kind == "llm" else [])]
        needed = ("kind", "message_bytes", *KEYS_OF_KIND.get(str(kind), ()))
        checked = keyed(node, here, needed, optional)
        knobs = _knobs(checked.get("knobs"), f"{here}.knobs")
        for knob in knobs:
            if knob.name in owners:
                raise refusal(
                    f"{here}.knobs.{knob.name}",
                    list(knob.choices),
                    f"operator {owners[knob.name]} has a knob of that name; names must differ",
                )
            owners[knob.name] = name
        spread = _variability(checked.get("service_cv") or 0.0, f"{here}.service_cv")
        operator = Operator(name, kind, knobs, spread)  # type: ignore[arg-type]
        stages.append(_Stage(operator, checked, here, tuple(owners)))
    return [replace(one, knobs=tuple(owners)) if one.whole else one for one in stages]


def _knobs(node: object, path: str) -> tuple[Knob, ...]:
    if not node:
        return ()
    knobs = []
    for name, choices in mapping(node, path, "lists of choices").items():
        here = f"{path}.{name}"
        if name in RESERVED:
            raise refusal(
                here, choices, f"no knob may be named {', '.join(RESERVED)}: tables use these names"
            )
        if not isinstance(choices, list | tuple) or not _plain(choices):
            raise refusal(here, choices, "must be a list of whole numbers or texts, one at least")
        if len({str(one) for one in choices}) < len(choices):
            raise refusal(here, choices, "must not name a choice twice")
        knobs.append(Knob(name, tuple(choices)))
    return tuple(knobs)


def _plain(choices: Sequence[object]) -> bool:
    return bool(choices) and all(type(one) in (int, str) for one in choices)


def _variability(cv: object, path: str) -> Variability:
    value = number(cv, path)
    return LogNormal(value) if value > 0 else Constant()


def _models(stage: _Stage, quantities: Quantities) -> list[Model | None]:
    """Return what an operator runs in every configuration."""
    if stage.operator.kind == "gpu":
        return [*_networks(stage, quantities)]
    if stage.operator.kind == "llm":
        return [*_language_models(stage, quantities)]
    return [None] * quantities.count


def _networks(stage: _Stage, quantities: Quantities) -> Sequence[NeuralNetwork]:
    path = f"{stage.path}.network"
    needed = ("name", "weight_bytes", "like", "benchmark")
    node = keyed(stage.node["network"], path, needed, ("like_items", "device_ratio"))
    names, like, benchmarks = (
        stage.texts("network", key, quantities) for key in ("name", "like", "benchmark")
    )
    surfaces = load_table("gpu_latency")["model"].unique(maintain_order=True).to_list()
    for one in np.unique(like):
        pick_key(f"{path}.like", one, surfaces, "model of table gpu_latency")
    for one in np.unique(benchmarks):
        pick_key(f"{path}.benchmark", one, _benchmarks(), "benchmark")
    sizes, items, ratios = (
        None
        if node.get(key) is None
        else quantities.numbers(node[key], f"{path}.{key}", None, stage.knobs)[:, 0]
        for key in ("weight_bytes", "like_items", "device_ratio")
    )
    assert sizes is not None
    return [
        NeuralNetwork(
            names[i],
            round(sizes[i]),
            like[i],
            benchmarks[i],
            1.0 if items is None else float(items[i]),
            None if ratios is None else float(ratios[i]),
        )
        for i in range(quantities.count)
    ]


def _benchmarks() -> list[str]:
    return sorted({name for board in boards.boards() for name in boards.benchmarks(board)})


def _language_models(stage: _Stage, quantities: Quantities) -> Sequence[LanguageModel]:
    path = f"{stage.path}.language_model"
    keyed(stage.node["language_model"], path, ("name", "precision"))
    names = stage.texts("language_model", "name", quantities)
    precisions = stage.texts("language_model", "precision", quantities)
    for name, precision in sorted(set(zip(names, precisions, strict=True))):
        pick_key(f"{path}.name", name, llm.models(), "language model")
        pick_key(f"{path}.precision", precision, llm.precisions(name), f"precision of {name}")
    return [LanguageModel(*one) for one in zip(names, precisions, strict=True)]


def _by_key(
    pipeline: Pipeline, models: Sequence[Sequence[Model | None]]
) -> dict[tuple[str, tuple[KnobValue, ...]], Model]:
    return {
        (operator.name, pipeline.operator_key(number, configuration)): model
        for number, operator in enumerate(pipeline.operators)
        for configuration, model in zip(pipeline.configurations, models[number], strict=True)
        if model is not None
    }


def _dataset(
    name: str,
    node: object,
    accuracy: object,
    stages: Sequence[_Stage],
    models: Sequence[Sequence[Model | None]],
    quantities: Quantities,
) -> Dataset:
    path = f"{PATH}.datasets.{name}"
    known = ("request_size_cv", "output_length_cv", "strata")
    given = keyed({} if node is None else node, path, optional=known)
    point, weights = Point(name), np.ones(1)
    if given.get("strata") is not None:
        labels, weights = quantities.labels(given["strata"], f"{path}.strata", name)
        point = Point(name, labels)
    size, length = (
        quantities.numbers(given.get(key) or 0.0, f"{path}.{key}", Point(name), knobs=())[0, 0]
        for key in known[:2]
    )
    shape = quantities.count, len(stages)
    tokens = {"prompt_tokens": np.zeros(shape), "output_tokens": np.zeros(shape)}
    sequences = np.zeros(shape, np.int64)
    times, messages = np.empty(shape), np.empty(shape)
    for at, stage in enumerate(stages):
        messages[:, at] = stage.numbers("message_bytes", quantities, name)
        if stage.operator.kind != "llm":
            times[:, at] = stage.numbers("service_time_s", quantities, name)
            continue
        for key, values in tokens.items():
            values[:, at] = stage.numbers(key, quantities, name, low=1.0)
        sequences[:, at] = _sequences(stage, quantities, name)
        times[:, at] = _generation_s(
            models[at],
            tokens["prompt_tokens"][:, at],
            tokens["output_tokens"][:, at],
            sequences[:, at],
        )
    mean, curve = _accuracy(accuracy, point, quantities)
    speaks = any(stage.operator.kind == "llm" for stage in stages)
    return Dataset(
        name=name,
        service_time_s=times,
        message_bytes=messages,
        stratum_weights=weights,
        accuracy=mean,
        accuracy_quantiles=curve[1],
        quantile_grid=curve[0],
        request_size=LogNormal(float(size)) if size > 0 else Constant(),
        prompt_tokens=tokens["prompt_tokens"] if speaks else None,
        output_tokens=tokens["output_tokens"] if speaks else None,
        sequences=sequences if speaks else None,
        output_length=LogNormal(float(length)) if length > 0 else Constant(),
    )


def _sequences(stage: _Stage, quantities: Quantities, dataset: str) -> NDArray[np.int64]:
    if stage.node.get("sequences") is None:
        return np.ones(quantities.count, np.int64)
    values = stage.numbers("sequences", quantities, dataset, low=1.0)
    if (values % 1 != 0).any():
        odd = values[values % 1 != 0][0]
        given = stage.node["sequences"]
        raise refusal(f"{stage.path}.sequences", given, f"is {odd:g}; must be a whole number")
    return values.astype(np.int64)


def _generation_s(
    models: Sequence[Model | None],
    prompt_tokens: Floats,
    output_tokens: Floats,
    sequences: NDArray[np.int64],
) -> Floats:
    """Return how long each configuration's model takes for the mean request, each kind once."""
    asked = list(zip(models, prompt_tokens, output_tokens, sequences, strict=True))
    seconds = {}
    for one in set(asked):
        model, prompt, output, count = one
        assert isinstance(model, LanguageModel)
        whole = np.rint([prompt]), np.rint([output])
        seconds[one] = float(reference_generation_s(model, *whole, int(count))[0])
    return np.array([seconds[one] for one in asked])


def _accuracy(node: object, point: Point, quantities: Quantities) -> tuple[Floats, Curve]:
    """Return mean accuracy, shape (C, S), and how single items differ around it."""
    path = f"{PATH}.accuracy"
    name = node.get("rule") if isinstance(node, Mapping) else None
    if isinstance(node, Mapping):
        pick_key(f"{path}.rule", name, RULES, "rule")
    rule = RULES.get(str(name), RULES["product"])
    parameters = inspect.signature(rule).parameters
    needed = [key for key, one in parameters.items() if one.default is one.empty]
    given = keyed(node, path, ("rule", "spread", *needed), parameters)
    arrays = {
        key: quantities.numbers(given[key], f"{path}.{key}", point, low=-np.inf)
        for key in parameters
        if given.get(key) is not None
    }
    shape = quantities.count, len(point.strata)
    mean = np.array(np.broadcast_to(rule(**arrays), shape))
    if not (mean <= 1).all():
        raise ValueError(f"{path}: on {point.dataset}, {name} gives {mean.max():g}, above 1")
    try:
        return mean, _curve(given["spread"], f"{path}.spread", mean, point, quantities)
    except ValueError as error:
        message = str(error)
        if message.startswith(f"{path}."):
            raise
        raise refusal(f"{path}.spread", given["spread"], f"on {point.dataset}, {message}") from None


def _curve(node: object, path: str, mean: Floats, point: Point, quantities: Quantities) -> Curve:
    if node == "success":
        return item_accuracy.success(mean)
    if isinstance(node, str) and not REFERENCE.fullmatch(node):
        raise refusal(
            path,
            node,
            "must be success, a quantity (standard deviation over items), or a mapping with "
            "probabilities and quantiles",
        )
    if not isinstance(node, Mapping):
        return item_accuracy.beta(mean, quantities.numbers(node, path, point))
    given = keyed(node, path, ("probabilities", "quantiles"))
    if not all(isinstance(given[key], list | tuple) and given[key] for key in given) or len(
        given["probabilities"]
    ) != len(given["quantiles"]):
        raise refusal(path, list(given), "must be two lists of quantities, of equal length")
    points = [
        np.stack(
            [
                quantities.numbers(one, f"{path}.{key}[{i}]", point, low=low, high=1.0)
                for i, one in enumerate(given[key])
            ],
            axis=-1,
        )
        for key, low in (("probabilities", 0.0), ("quantiles", -np.inf))
    ]
    curve = item_accuracy.through(*points)
    under = item_accuracy.mean_of(curve)
    apart = np.abs(under - mean)
    if apart.max() > MEAN_TOLERANCE:
        at = np.unravel_index(apart.argmax(), apart.shape)
        raise refusal(
            path,
            "...",
            f"on {point.dataset}, the mean under the quantiles is {under[at]:g} where the mean "
            f"accuracy is {mean[at]:g}; they must agree",
        )
    return curve


def _tiers(node: object) -> dict[str, Tier]:
    if not node:
        return {}
    tiers = {}
    known = [one.name for one in fields(Tier)]
    for name, values in mapping(node, f"{PATH}.tiers", "classes of service").items():
        here = f"{PATH}.tiers.{name}"
        given = keyed(values, here, optional=known)
        for key, value in given.items():
            if value is not None:
                number(value, f"{here}.{key}")
        try:
            tiers[name] = Tier(**given)
        except ValueError as error:
            raise ValueError(f"{here}.{error}") from None
    return tiers
