"""Declared applications, each given by one file of operators and knobs and a directory of tables.

``docs/how_to/adding_an_application.md`` explains step by step how to add an application.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal, TypeVar

import numpy as np

from scenarios.applications.application import Application, Model, SizeScales
from scenarios.applications.dataset import CONCENTRATION, Dataset
from scenarios.applications.declared_accuracy import declared_accuracy
from scenarios.applications.declared_operators import (
    DeclaredOperator,
    declared_pipeline,
    variability,
)
from scenarios.applications.nodes import keyed, mapping, number, pick_key
from scenarios.applications.pipeline import KnobValue, Pipeline
from scenarios.applications.quantities import Point, Quantities
from scenarios.numerics.distributions import MOST_CV, Constant, Exponential
from scenarios.slo import Tier

PATH = "application"
SIMILARITY = "content_concentration"
Value = TypeVar("Value")


class DeclaredApplication(Application):
    """An application built from its declaration.

    A *quantity* is a number, a column of a table written as ``table.column``, or a list of these,
    whose product is taken. The key of a table consists of its columns that are named like a knob,
    ``dataset`` or ``stratum``. A quantity of an operator can depend on the operator's own and
    upstream knobs and on the data set. Accuracy can depend on all knobs, the data set and the
    stratum.

    Args:
        name: name of the application.
        operators: the operators by name; each comes after its predecessors. Every operator has a
            ``kind`` (cpu, gpu or llm), ``knobs`` (choices by name, the richest first) and
            ``message_bytes`` (a quantity: size of the message that enters it). Three keys are
            optional. ``after`` names its predecessors, by default the operator before it. With
            several predecessors, ``message_bytes`` maps their names to quantities. ``service_cv``
            is a number: the coefficient of variation of its service times or, for an llm, of its
            numbers of generated tokens. ``profiled_whole`` is true if its quantities were measured
            in whole configurations; they then also depend on downstream knobs, perhaps only by
            measurement noise. Kinds cpu and gpu have ``service_time_s``, a quantity: seconds for an
            average request on the reference hardware, which is a server core or a whole A100-80GB.
            They may have ``batch_time``: whether a batch takes a multiple of the time of its
            ``longest`` member, the default, or of its ``average`` member. Kind cpu may have
            ``batch_factor``: times of batches, of which the ratios to that of a batch of one are
            used. It is a mapping from sizes to quantities, or a column of a table with a column
            ``batch``. Without it, a core takes n times as long for n requests as for one.
            Kind gpu has ``network``, with the fields of ``NeuralNetwork``. Kind llm has
            ``language_model``, with the fields of ``LanguageModel``. Its service time follows from
            the quantities ``prompt_tokens``, ``output_tokens`` and ``sequences`` (1 unless given).
        accuracy: a mapping. ``rule`` is a name in ``scenarios.applications.accuracy_rules``, and
            each parameter of that rule is a quantity. ``spread`` is the distribution over single
            items. It is ``success`` if each item is right or wrong. A quantity is the standard
            deviation of a Beta distribution. A mapping with two lists of quantities,
            ``probabilities`` and ``quantiles``, states the distribution's quantiles. ``spreads``
            can give several of these a name; then ``spread`` can be one of the names.
            ``rank_correlation`` is a quantity from 0 to 1, and 1 unless given:
            ``Dataset.rank_correlation``.
        datasets: the data sets by name; all of their keys are optional. ``request_size_cv`` and
            ``output_length_cv`` are quantities: coefficients of variation, 0 unless given.
            ``strata`` is the column with the weights of strata, in a table keyed by data set and
            stratum. Unless it is given, there is one stratum, ``all``. ``content_concentration`` is
            a quantity above 0, and 20 unless given: ``Dataset.content_concentration``.
        tables: a directory of CSV or Parquet tables: a shipped one by name, or a path.
        tiers: the classes of service by name, each with the fields of ``Tier``.
        requests_per_s: mean rate of one query's requests.
        interarrival: ``poisson``, or ``periodic`` for constant gaps.
        answer_bytes: size of the answer that is sent to the device.
        window_s: length of an evaluation window; at least 20 requests must be expected in one.
        latency_per: whether the latency bound depends on output length; see ``Application``.
        size_scales: whether all of a network's time scales with size; see ``Application``.

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
        size_scales: SizeScales = "work",
    ) -> None:
        pick_key(f"{PATH}.interarrival", interarrival, ("poisson", "periodic"), "spacing")
        pipeline, stages = declared_pipeline(name, operators, f"{PATH}.operators")
        quantities = Quantities(tables, pipeline.knobs, f"{PATH}.tables")
        models = [stage.models(quantities) for stage in stages]
        super().__init__(
            pipeline,
            datasets={
                one: _dataset(one, node, accuracy, stages, models, quantities)
                for one, node in mapping(datasets, f"{PATH}.datasets", "data sets").items()
            },
            models=_by_key(pipeline, models),
            batch_factors=_by_key(pipeline, [stage.batch_factors(quantities) for stage in stages]),
            tiers=_tiers(tiers),
            requests_per_s=requests_per_s,
            interarrival=Exponential() if interarrival == "poisson" else Constant(),
            answer_bytes=answer_bytes,
            window_s=window_s,
            latency_per=latency_per,
            size_scales=size_scales,
        )


def _by_key(
    pipeline: Pipeline, values: Sequence[Sequence[Value | None]]
) -> dict[tuple[str, tuple[KnobValue, ...]], Value]:
    return {
        (operator.name, pipeline.operator_key(number, configuration)): value
        for number, operator in enumerate(pipeline.operators)
        for configuration, value in zip(pipeline.configurations, values[number], strict=True)
        if value is not None
    }


def _dataset(
    name: str,
    node: object,
    accuracy: object,
    stages: Sequence[DeclaredOperator],
    models: Sequence[Sequence[Model | None]],
    quantities: Quantities,
) -> Dataset:
    path = f"{PATH}.datasets.{name}"
    spreads = ("request_size_cv", "output_length_cv")
    given = keyed({} if node is None else node, path, optional=(*spreads, "strata", SIMILARITY))
    point, weights = Point(name), np.ones(1)
    if given.get("strata") is not None:
        labels, weights = quantities.strata(given["strata"], f"{path}.strata", name)
        point = Point(name, labels)
    size_cv, length_cv = (
        quantities.numbers(
            given.get(key) or 0.0, f"{path}.{key}", Point(name), knobs=(), high=MOST_CV
        )[0, 0]
        for key in spreads
    )
    alike = CONCENTRATION
    if given.get(SIMILARITY) is not None:
        where = f"{path}.{SIMILARITY}"
        alike = float(quantities.numbers(given[SIMILARITY], where, Point(name), knobs=())[0, 0])
        if alike == 0:
            raise ValueError(f"{where}={given[SIMILARITY]}: must be above 0")
    figures = [
        stage.figures(quantities, name, runs) for stage, runs in zip(stages, models, strict=True)
    ]
    times, messages, prompts, outputs, sequences = (
        np.column_stack(columns) for columns in zip(*figures, strict=True)
    )
    declared = declared_accuracy(accuracy, f"{PATH}.accuracy", point, quantities)
    grid, values = declared.curve
    generates = any(stage.operator.kind == "llm" for stage in stages)
    return Dataset(
        name=name,
        service_time_s=times,
        message_bytes=messages,
        stratum_weights=weights,
        accuracy=declared.mean,
        accuracy_quantiles=values,
        quantile_grid=grid,
        rank_correlation=declared.rank_correlation,
        content_concentration=alike,
        request_size=variability(float(size_cv)),
        prompt_tokens=prompts if generates else None,
        output_tokens=outputs if generates else None,
        sequences=sequences.astype(np.int64) if generates else None,
        output_length=variability(float(length_cv)),
    )


def _tiers(node: object) -> dict[str, Tier]:
    if not node:
        return {}
    tiers = {}
    known = [one.name for one in fields(Tier)]
    bounds = [one.name for one in fields(Tier) if one.default is None]
    for name, values in mapping(node, f"{PATH}.tiers", "classes of service").items():
        here = f"{PATH}.tiers.{name}"
        given = keyed(values, here, optional=known)
        for key, value in given.items():
            if value is not None or key not in bounds:
                number(value, f"{here}.{key}")
        try:
            tiers[name] = Tier(**given)
        except ValueError as error:
            raise ValueError(f"{here}.{error}") from None
    return tiers
