"""A first history of a data set, profiled ahead of its queries on its own mixture of content."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.bayesopt.encodings import blocks
from planners.bayesopt.gaussian_process import GaussianProcess
from planners.compass.search.cmbo import LOG_TIME_SCALE, SHORTEST_S, Domain
from scenarios.applications.pipeline import Pipeline
from sim import PlanningContext

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

KEY = "compass ahead"


@dataclass(frozen=True, slots=True)
class History:
    """What the surrogates of one query believed in the end; C configurations, N operators.

    Args:
        dataset: its data set.
        content: mean of the features of its items, shape (F,).
        accuracy: believed mean accuracy, shape (C,).
        log_time: believed logarithm of each operator's time on profiling hardware in seconds,
            shape (C, N).
        measured: configurations that were profiled.
    """

    dataset: str
    content: Floats
    accuracy: Singles
    log_time: Singles
    measured: int


def profiled_ahead(
    context: PlanningContext, dataset: str, samples: int, features: Callable[[Pipeline], Floats]
) -> History | None:
    """Return the history of a data set; it is made at the first call, and then remembered.

    Configurations are profiled offline, the richest first and then always the one whose accuracy is
    least certain, until the budget of the data set is spent. This is planning cost, and no response
    time, as VideoStorm's profile is.

    Args:
        context: the planning context, for its offline profiling and its memory.
        dataset: name of the data set.
        samples: items profiled for each configuration; 0 for no history.
        features: features of the configurations.
    """
    if samples == 0:
        return None
    key = KEY, dataset, samples
    known: History | None = context.recall(key)
    if known is None:
        known = _profile(context, dataset, samples, features)
        context.remember(key, known)
    return known if known.measured else None


def _profile(
    context: PlanningContext, dataset: str, samples: int, features: Callable[[Pipeline], Floats]
) -> History:
    pipeline = context.world.pipeline
    points, configurations = features(pipeline), pipeline.configurations
    domain = Domain(points, blocks(pipeline, points), pipeline.upstream_knobs)
    accuracy = GaussianProcess(domain.accuracy)
    log_times = [GaussianProcess(grid, scale=LOG_TIME_SCALE) for grid, _ in domain.times]
    index = 0
    while len(accuracy) < len(configurations):
        estimate = context.profile(dataset, configurations[index], samples)
        if estimate.count < max(2, samples / 2):  # A single item tells of no variance.
            break
        noise = max(estimate.accuracy_variance, 1e-6) / estimate.count
        accuracy.observe(index, estimate.accuracy_mean, noise)
        took_s = np.maximum(estimate.measurement.operator_mean_s, SHORTEST_S)
        for process, (_, point_of), its_s in zip(log_times, domain.times, took_s, strict=True):
            process.observe(int(point_of[index]), np.log(its_s))
        uncertain = accuracy.predict()[1][:, 0].copy()
        uncertain[list(accuracy.observed)] = -1.0
        index = int(uncertain.argmax())
    log_time = [
        process.predict()[0][point_of, 0]
        for process, (_, point_of) in zip(log_times, domain.times, strict=True)
    ]
    return History(
        dataset,
        context.bulk.features(dataset).mean(axis=0),
        accuracy.predict()[0][:, 0].astype(np.float32),
        np.column_stack(log_time).astype(np.float32),
        len(accuracy),
    )
