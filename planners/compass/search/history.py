"""Warm starts: what earlier queries have shown, as a prior for the surrogates of a new one.

What profiling shows (accuracy by configuration, times on the profiling hardware) depends on the
data set and the content; device and link enter latency by known factors. So histories are of the
same data set, the most alike in content first: by the distance between the mean features of their
items. Each is weighted by how well it ranks what was measured so far (RGPE; Feurer, Letham and
Bakshy 2018),

    w_h ~ exp(-loss_h / temperature),

with loss_h the share of pairs of measured configurations that history h puts in the wrong order, of
those that were measured to differ.
Confirmed of Compass: similarity-based warm starts with about ten histories, of which a hundred cost
more than they bring, and a switch to the own model when it matures. The rest is reconstruction; the
notes' similarity (device speed, bandwidth, SLO) is left out, since nothing that is learned here
depends on those.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from planners.common.ranges import above, whole
from planners.compass.search.known_histories import known_histories
from planners.compass.search.offline_history import History, profiled_ahead
from scenarios.applications.pipeline import Pipeline
from scenarios.compiled import compiled
from scenarios.queries import Query
from sim import PlanningContext

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Prior:
    """The weighted mean of some histories.

    Args:
        accuracy: shape (C,).
        log_time: shape (C, N).
    """

    accuracy: Floats
    log_time: Floats


@dataclass(frozen=True)
class WarmStart:
    """How histories are chosen and weighed.

    Args:
        histories: how many are used; 0 for none but what ``ahead`` profiles, and with that at 0
            too every search starts cold. Each costs planning time, so that many delay the first
            steps; about ten is what Compass uses.
        ahead: items of each configuration that is profiled ahead of a data set's first query, for a
            first history; 0 for none. A departure: where VideoStorm may profile ahead, so may we.
        least_measured: configurations that a query must have profiled to serve as one.
        temperature: loss at which a history's weight falls to 1/e. Smaller trusts the best alone.

    Raises:
        ValueError: a number is out of range.
    """

    histories: int = 10
    ahead: int = 16
    least_measured: int = 3
    temperature: float = 0.1

    def __post_init__(self) -> None:
        whole(0, histories=self.histories, ahead=self.ahead, least_measured=self.least_measured)
        if self.ahead == 1:
            raise ValueError("ahead=1: must be 0, or 2 or more")
        above(0, temperature=self.temperature)

    def choose(
        self,
        context: PlanningContext,
        query: Query,
        content: Floats,
        features: Callable[[Pipeline], Floats],
    ) -> list[History]:
        """Return the histories that are most like a query, and charge for looking at them.

        Args:
            context: the planning context.
            query: the query.
            content: mean of the features of its items, shape (F,).
            features: features of the configurations.
        """
        first = profiled_ahead(context, query.dataset, self.ahead, features)
        start = [] if first is None else [first]
        if self.histories == 0:
            context.charge(query, "history", len(start))
            return start
        known = known_histories(context, query.dataset, self.least_measured)
        chosen = known.nearest(query.id, content, self.histories)
        context.charge(query, "history", len(chosen) + len(start))
        return [*start, *chosen]

    def prior(
        self, histories: Sequence[History], measured: Integers, accuracy: Floats, total_s: Floats
    ) -> Prior | None:
        """Return the mean of histories, weighted by how they rank what was measured.

        Args:
            histories: the histories.
            measured: indices of the configurations that were measured, shape (m,).
            accuracy: measured mean accuracy, shape (m,).
            total_s: measured total time on profiling hardware in seconds, shape (m,).

        Returns:
            The mean, or None without histories.
        """
        if not histories:
            return None
        mean, log_time = _weighted(
            np.array([each.accuracy for each in histories]),
            np.array([each.log_time for each in histories]),
            measured,
            accuracy,
            total_s,
            self.temperature,
        )
        return Prior(mean, log_time)


@compiled
def _weighted(
    means: Singles,
    log_times: Singles,
    measured: Integers,
    accuracy: Floats,
    total_s: Floats,
    temperature: float,
) -> tuple[Floats, Floats]:
    """Return the weighted means of H histories, of shapes (C,) and (C, N); see this module.

    Args:
        means: mean accuracy of each configuration in each history, shape (H, C).
        log_times: mean logarithm of operators' times in seconds, likewise, shape (H, C, N).
        measured: see `WarmStart.prior`, as are the next two.
        accuracy: see there.
        total_s: see there.
        temperature: see `WarmStart`.
    """
    many, count, operators = log_times.shape
    believed, losses = np.empty(len(measured)), np.empty(many)
    for history in range(many):
        losses[history] = misranked(means[history][measured], accuracy) / 2
        believed[:] = 0.0
        for at, configuration in enumerate(measured):
            for operator in range(operators):
                believed[at] += exp(log_times[history, configuration, operator])
        losses[history] += misranked(believed, total_s) / 2
    weights = np.exp(-(losses - losses.min()) / temperature)
    weights /= weights.sum()
    mean, log_time = np.zeros(count), np.zeros((count, operators))
    for history in range(many):
        for configuration in range(count):
            mean[configuration] += weights[history] * means[history, configuration]
            for operator in range(operators):
                log_time[configuration, operator] += (
                    weights[history] * log_times[history, configuration, operator]
                )
    return mean, log_time


@compiled
def misranked(believed: Floats | Singles, measured: Floats) -> float:
    """Return the share of pairs that a history puts in the wrong order; 0 without pairs.

    Pairs that were measured equal have no order, and do not count.

    Args:
        believed: what it believes, shape (m,).
        measured: what was measured, shape (m,).
    """
    wrong, pairs = 0, 0
    for first in range(len(measured)):
        for second in range(first + 1, len(measured)):
            if measured[first] == measured[second]:
                continue
            wrong += (believed[first] < believed[second]) != (measured[first] < measured[second])
            pairs += 1
    return wrong / pairs if pairs else 0.0
