"""Audits of a query: whether its floor is missed, and whether its content has changed."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from planners.common.weak_cache import KEPT
from planners.compass.profiling.estimates import LEAST_VARIANCE, decided
from planners.compass.state.records import ProfiledConfig, dataset_state, update_dataset
from scenarios.compiled import compiled
from scenarios.numerics import Floats
from scenarios.numerics.sums import total
from scenarios.queries import Query
from sim import PlanningContext

RUNNING = "compass running"
"""Key in `KEPT`: how many queries of each data set run."""

NOTHING: Floats = np.zeros((0, 3))
"""The sums of no audits."""

TESTED = (1, 2, 4, 8, 16)
"""Numbers of last audits that are tested together. The last one alone shows a large step, many show
a small one, but only if all of them are later than the step."""

COMMON_WITHIN_S, COMMON_SHARE, COMMON_LEAST = 120.0, 0.05, 2
"""Drift affects a whole data set if it was found within this time, in this share of its queries and
in this number."""


class Audits(NamedTuple):
    """The audit results of a query."""

    configuration: int  # that was audited
    next_s: float  # when the next audit is due
    sums: Floats = NOTHING  # items, sum and sum of squares of accuracy of the last audits, (A, 3)

    def missed(self, floor: float, alpha: float) -> bool:
        """Return whether some of the last audits are below the floor, by a two-sided t-test."""
        tested = means_of_last(self.sums).tolist()
        return any(
            decided(mean, variance, freedom, floor, alpha) is False
            for mean, variance, freedom in tested
        )

    def changed(self, seen: ProfiledConfig, alpha: float) -> bool:
        """Return whether some of the last audits differ from earlier ones and from profiling."""
        tested = _set_against(self.sums, seen.accuracy, seen.variance, seen.count - 1.0).tolist()
        return any(
            decided(mean, variance, freedom, reference, alpha) is not None
            for mean, variance, freedom, reference in tested
        )


@compiled
def with_more(sums: Floats, accuracy: Floats) -> Floats:
    """Return ``Audits.sums`` with another audit of accuracies, shape (n,), unless that is empty."""
    if not len(accuracy):
        return sums.copy()
    kept = sums[max(0, len(sums) - (TESTED[-1] - 1)) :]
    every = np.empty((len(kept) + 1, 3))
    every[:-1] = kept
    every[-1] = float(len(accuracy)), total(accuracy), total(accuracy * accuracy)
    return every


@compiled
def means_of_last(sums: Floats) -> Floats:
    """Return mean, variance and degrees of freedom for each `TESTED` number of audits, (t, 3)."""
    means, count = np.empty((len(TESTED), 3)), 0
    for many in TESTED:
        if many <= len(sums):
            means[count] = _mean(sums[::-1][:many])
            count += 1
    return means[:count]


@compiled
def _set_against(sums: Floats, accuracy: float, variance: float, freedom: float) -> Floats:
    """Return the last audits, compared with earlier ones and profiling, shape (t, 4).

    Columns are the mean of the last audits, the variance of its difference from the reference,
    degrees of freedom, and the reference mean: that of earlier audits and of profiling, each
    weighted by the inverse of its variance. Arguments after ``sums`` are of profiling.
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
    """Return mean, its variance and degrees of freedom of all items of some audits, (A, 3)."""
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
    """Return whether enough queries of the data set have drifted to suspect this one."""
    alarms = dataset_state(context, query.dataset).drifted_s
    recent = sum(at_s > context.now_s - COMMON_WITHIN_S for at_s in alarms)
    if recent < COMMON_LEAST:
        return False
    return recent >= COMMON_SHARE * _running(context)[query.dataset]


def _running(context: PlanningContext) -> Counter[str]:
    """Return the number of running queries of each data set, counted once a call."""
    return KEPT.of(context, RUNNING, lambda: Counter(query.dataset for query in context.running))


def note_drift(context: PlanningContext, query: Query) -> None:
    """Record that a query's content has changed."""
    alarms = dataset_state(context, query.dataset).drifted_s
    kept = [at_s for at_s in alarms if at_s > context.now_s - COMMON_WITHIN_S]
    update_dataset(context, query.dataset, drifted_s=(*kept, context.now_s))
