"""Offline profiles of listed configurations, and lists that see every knob early."""

from collections.abc import Iterable

from scenarios.applications.pipeline import Configuration, Pipeline
from sim import Estimate, PlanningContext


def by_deviation(pipeline: Pipeline) -> list[Configuration]:
    """Return all configurations: the richest, those that differ from it in one knob, in two, ...

    However early a budget ends, what was profiled by then tells most about each knob alone.
    """
    richest = pipeline.configurations[0]
    return sorted(
        pipeline.configurations, key=lambda each: len(deviations(each, richest))
    )  # A stable sort: the richest first among equals.


def deviations(configuration: Configuration, other: Configuration) -> tuple[int, ...]:
    """Return the numbers of the knobs in which two configurations differ."""
    pairs = zip(configuration.values, other.values, strict=True)
    return tuple(knob for knob, (value, against) in enumerate(pairs) if value != against)


def own_knobs(pipeline: Pipeline, operator: int) -> slice:
    """Return which knobs belong to an operator."""
    own = pipeline.own_knobs[operator]
    return slice(own.start, own.stop)


def profile_ahead(
    context: PlanningContext, dataset: str, configurations: Iterable[Configuration], samples: int
) -> tuple[Estimate, ...]:
    """Profile configurations of a data set, in order, until its offline budget is spent.

    It is done once for a data set, at the first call; later calls return the same.

    Args:
        context: the planning context, for its offline profiling.
        dataset: name of the data set.
        configurations: what to profile, the most telling first.
        samples: items profiled for each configuration.

    Returns:
        All configurations that were profiled on half of the items or more, in order.
    """
    key = "profiled ahead", dataset
    known: tuple[Estimate, ...] | None = context.recall(key)
    if known is None:
        estimates = (context.profile(dataset, each, samples) for each in configurations)
        known = tuple(
            each
            for each in estimates
            if each.count and half_profiled(context, dataset, each.count, samples)
        )
        context.remember(key, known)
    return known


def half_profiled(context: PlanningContext, dataset: str, count: int, samples: int) -> bool:
    """Tell whether so many items of a data set are half of those asked for, or of all there are."""
    return 2 * count >= samples or 2 * count >= len(context.bulk.features(dataset))
