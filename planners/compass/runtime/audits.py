"""Audits measure a running query's accuracy, to detect a missed floor or changed content."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from planners.common.weak_cache import KEPT
from planners.compass.profiling.estimates import LEAST_VARIANCE, decided
from planners.compass.state.records import ProfiledConfig
from scenarios.compiled import compiled
from scenarios.numerics import Floats
from scenarios.numerics.sums import total
from scenarios.queries import Query
from sim import PlanningContext

AUDITS, DRIFTED_S = "compass audits", "compass drifted"
"""Keys of the records of a query's audits, and of recent times of drift in a data set."""

RUNNING = "compass running"
"""Key of the number of running queries of each data set in `KEPT`."""

NOTHING: Floats = np.zeros((0, 3))
"""The value of ``Audits.sums`` before the first audit."""

TESTED = (1, 2, 4, 8, 16)
"""The last 1, 2, 4, ... audits are tested together. A single audit shows a large change of
accuracy. Many audits also show a small change, if all of them took place after it.
"""

COMMON_WITHIN_S, COMMON_SHARE, COMMON_LEAST = 120.0, 0.05, 2
"""Drift is common to a data set if, within this time, it was found in at least this share of the
data set's queries, and in at least this number of them.
"""


class Audits(NamedTuple):
    """The audit results of a query."""

    configuration: int  # the configuration that was audited
    next_s: float  # time at which the next audit is due
    sums: Floats = NOTHING  # count, sum and sum of squares of accuracies in each audit, (A, 3)

    def missed(self, floor: float, alpha: float) -> bool:
        """Return whether a two-sided t-test finds the mean of some last audits below the floor."""
        tested = means_of_last(self.sums).tolist()
        return any(
            decided(mean, variance, freedom, floor, alpha) is False
            for mean, variance, freedom in tested
        )

    def changed(self, seen: ProfiledConfig, alpha: float) -> bool:
        """Return whether the mean of some last audits differs from earlier audits and profiling."""
        tested = _set_against(self.sums, seen.accuracy, seen.variance, seen.count - 1.0).tolist()
        return any(
            decided(mean, variance, freedom, reference, alpha) is not None
            for mean, variance, freedom, reference in tested
        )


@compiled
def with_more(sums: Floats, accuracy: Floats) -> Floats:
    """Return ``Audits.sums`` with an audit of n accuracies added; an n of 0 changes nothing."""
    if not len(accuracy):
        return sums.copy()
    kept = sums[max(0, len(sums) - (TESTED[-1] - 1)) :]
    every = np.empty((len(kept) + 1, 3))
    every[:-1] = kept
    every[-1] = float(len(accuracy)), total(accuracy), total(accuracy * accuracy)
    return every


@compiled
def means_of_last(sums: Floats) -> Floats:
    """Return the last n audits' mean, its variance and freedom, for each n in `TESTED`."""
    means, count = np.empty((len(TESTED), 3)), 0
    for many in TESTED:
        if many <= len(sums):
            means[count] = _mean(sums[::-1][:many])
            count += 1
    return means[:count]


@compiled
def _set_against(sums: Floats, accuracy: float, variance: float, freedom: float) -> Floats:
    """Return inputs, of shape (t, 4), of tests of the last audits against earlier knowledge.

    Columns are the mean of the last audits, the variance of its difference from the reference, the
    degrees of freedom, and the reference. The reference combines the means of earlier audits and of
    profiling, each weighted by the inverse of its variance. The arguments after ``sums`` describe
    the mean found by profiling.
    """
    means = means_of_last(sums)
    compared = np.empty((len(means), 4))
    for row in range(len(means)):
        mean, its_variance, its_freedom = means[row]
        reference, more, known = accuracy, variance, freedom
        earlier = sums[: len(sums) - TESTED[row]]
        if len(earlier):
            before, spread, added = _mean(earlier)
            weight = variance / (variance + spread)
            reference += weight * (before - reference)
            more, known = (1 - weight) * variance, freedom + added
        # the smaller sample's degrees of freedom are a lower bound for the test
        compared[row] = mean, its_variance + more, min(its_freedom, known), reference
    return compared


@compiled
def _mean(sums: Floats) -> tuple[float, float, float]:
    """Return the mean of all items of some audits, the mean's variance and degrees of freedom."""
    items, whole, squares = 0.0, 0.0, 0.0
    for row in range(len(sums)):
        items += sums[row, 0]
        whole += sums[row, 1]
        squares += sums[row, 2]
    mean, freedom = whole / items, items - 1.0
    if not freedom:
        return mean, np.inf, 0.0
    within = max(0.0, squares - items * mean * mean) / freedom
    return mean, within / items + LEAST_VARIANCE, freedom


def others_drifted(context: PlanningContext, query: Query) -> bool:
    """Return whether many queries of the data set drifted, so that this one probably did too."""
    alarms: Sequence[float] = context.recall((DRIFTED_S, query.dataset)) or ()
    recent = sum(at_s > context.now_s - COMMON_WITHIN_S for at_s in alarms)
    if recent < COMMON_LEAST:
        return False
    return recent >= COMMON_SHARE * _running(context)[query.dataset]


def _running(context: PlanningContext) -> Counter[str]:
    """Return the number of running queries of each data set; they are counted once per call."""
    return KEPT.of(context, RUNNING, lambda: Counter(query.dataset for query in context.running))


def note_drift(context: PlanningContext, query: Query) -> None:
    """Record that a query's content has changed."""
    alarms: Sequence[float] = context.recall((DRIFTED_S, query.dataset)) or ()
    kept = [at_s for at_s in alarms if at_s > context.now_s - COMMON_WITHIN_S]
    context.remember((DRIFTED_S, query.dataset), (*kept, context.now_s))
