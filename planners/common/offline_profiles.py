"""Offline profiling of listed configurations, or of configurations that hill climbing visits."""

from collections.abc import Iterable, Iterator, Sequence

from scenarios.applications.pipeline import Configuration, Pipeline
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Estimate, PlanningContext


def by_deviation(pipeline: Pipeline) -> list[Configuration]:
    """Return all configurations, sorted by the number of knobs that differ from the richest one.

    If profiling in this order ends early, most results show the effects of single knobs.
    """
    richest = pipeline.configurations[0]
    return sorted(
        pipeline.configurations, key=lambda each: len(deviations(each, richest))
    )  # stable sort: the richest first among equals


def deviations(configuration: Configuration, other: Configuration) -> tuple[int, ...]:
    """Return the indices of the knobs in which two configurations differ."""
    pairs = zip(configuration.values, other.values, strict=True)
    return tuple(knob for knob, (value, against) in enumerate(pairs) if value != against)


def own_knobs(pipeline: Pipeline, operator: int) -> slice:
    """Return the slice of knob indices that belong to an operator."""
    own = pipeline.own_knobs[operator]
    return slice(own.start, own.stop)


def profile_ahead(
    context: PlanningContext, dataset: str, configurations: Iterable[Configuration], samples: int
) -> tuple[Estimate, ...]:
    """Profile configurations of a data set in turn until its budget is spent; return estimates.

    Only the first call for a data set profiles; later calls return its results. Estimates from
    fewer than half of ``samples`` items are left out.
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


def half_profiled(context: PlanningContext, source: Query | str, count: int, samples: int) -> bool:
    """Return whether ``count`` is at least half of ``samples`` or of all items of ``source``."""
    return 2 * count >= samples or 2 * count >= len(context.bulk.features(source))


def demand_s(estimate: Estimate) -> float:
    """Return a configuration's demand: seconds of compute per request, on profiling hardware."""
    return float(estimate.measurement.operator_mean_s.sum())


def climb(
    context: PlanningContext, dataset: str, samples: int, beta: float, starts: int, seed: int
) -> list[Estimate]:
    """Profile configurations of a data set by greedy hill climbing until its budget is spent.

    A climb begins at the best of ``starts`` random configurations. Neighbours that differ in one
    knob are tried in random order. The climb moves to the first neighbour with a higher value of
    accuracy - ``beta`` x demand, and ends when no neighbour has a higher value. Then another climb
    begins. No configuration is profiled twice. Each estimate comes from at least half of
    ``samples`` items.
    """
    rng = stream(seed, "hill climbing", context.world.pipeline.name, dataset)
    configurations = context.world.pipeline.configurations
    visited: dict[Configuration, Estimate] = {}

    def height(configuration: Configuration) -> float:
        """Return accuracy - beta x demand, after profiling if needed."""
        if configuration not in visited:
            estimate = context.profile(dataset, configuration, samples)
            if not half_profiled(context, dataset, estimate.count, samples):
                raise _SpentError
            visited[configuration] = estimate
        estimate = visited[configuration]
        return estimate.accuracy_mean - beta * demand_s(estimate)

    order = [configurations[index] for index in rng.permutation(len(configurations)).tolist()]
    try:
        for first in range(0, len(order), starts):
            here: Configuration | None = max(order[first : first + starts], key=height)
            while here is not None:
                below = height(here)
                around = list(neighbours(context.world.pipeline, here))
                shuffled = (around[i] for i in rng.permutation(len(around)).tolist())
                here = next((each for each in shuffled if height(each) > below), None)
    except _SpentError:
        pass
    return list(visited.values())


class _SpentError(Exception):
    """Raised when the budget of offline profiling is spent."""


def neighbours(pipeline: Pipeline, configuration: Configuration) -> Iterator[Configuration]:
    """Yield the configurations that differ from ``configuration`` in exactly one knob."""
    stride = len(pipeline.configurations)
    for knob, value in zip(pipeline.knobs, configuration.values, strict=True):
        stride //= len(knob.choices)
        here = knob.choices.index(value)
        for other in range(len(knob.choices)):
            if other != here:
                yield pipeline.configurations[configuration.index + (other - here) * stride]


def pareto_set(estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """Return the Pareto-optimal estimates in accuracy and demand, by rising demand."""
    kept: list[Estimate] = []
    for estimate in sorted(estimates, key=lambda each: (demand_s(each), -each.accuracy_mean)):
        if not kept or estimate.accuracy_mean > kept[-1].accuracy_mean:
            kept.append(estimate)
    return tuple(kept)
