"""What audits of a query tell: whether its floor is missed, and whether its content has changed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from planners.compass.estimates import LEAST_VARIANCE, decided
from planners.compass.known import Shown
from scenarios.queries import Query
from sim import Desk

DRIFTED = "compass drifted"
"""When the content of queries was last found to have changed, by data set."""

RUNNING = "compass running"
"""On the desk's scratch: how many queries of each data set run."""

TESTED = (1, 2, 4, 8, 16)
"""Numbers of last audits that are tested together: a large step shows in the last one alone, a
small one in many, but only if none of them is from before the step."""

COMMON_WITHIN_S, COMMON_SHARE, COMMON_LEAST = 120.0, 0.05, 2
"""Drift is taken to befall a data set if so recently it was found in this share of its queries, and
in so many."""


class Sums(NamedTuple):
    """Sums over the accuracies of some items.

    Args:
        items: how many items.
        total: their sum.
        squares: the sum of their squares.
    """

    items: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, accuracy: NDArray[np.float64]) -> "Sums":
        """Return those of some items, shape (items,)."""
        return cls(len(accuracy), float(accuracy.sum()), float((accuracy * accuracy).sum()))

    def and_also(self, others: "Sums") -> "Sums":
        """Return those of these and of other items."""
        return Sums(
            self.items + others.items, self.total + others.total, self.squares + others.squares
        )

    def mean(self) -> tuple[float, float, float]:
        """Return their mean, its variance, and the degrees of freedom; see ``simple_mean``."""
        mean, freedom = self.total / self.items, self.items - 1.0
        if not freedom:
            return mean, inf, 0.0
        within = max(0.0, self.squares - self.items * mean * mean) / freedom
        return mean, within / self.items + LEAST_VARIANCE, freedom


@dataclass(frozen=True)
class Audits:
    """What audits of a query have shown.

    Args:
        configuration: index of the configuration that was audited.
        next_s: when the next is due.
        parts: of each of the last audits, the last one last.
    """

    configuration: int
    next_s: float
    parts: tuple[Sums, ...] = ()

    @cached_property
    def _parted(self) -> list[tuple[Sums, Sums]]:
        """Sums over the last audits, in each number that is tested, and over the others."""
        ahead = list(accumulate(self.parts, Sums.and_also, initial=Sums()))
        back = list(accumulate(reversed(self.parts), Sums.and_also, initial=Sums()))
        return [(back[count], ahead[-1 - count]) for count in TESTED if count <= len(self.parts)]

    def missed(self, floor: float, alpha: float) -> bool:
        """Tell whether some of the last audits are below the floor, by a two-sided t-test."""
        return any(decided(*last.mean(), floor, alpha) is False for last, _ in self._parted)

    def changed(self, seen: Shown, alpha: float) -> bool:
        """Tell whether some of the last audits differ from those before and from profiling.

        Args:
            seen: what profiling has shown of the configuration.
            alpha: level of each test, which is two-sided.
        """
        for last, before in self._parted:
            mean, variance, freedom = last.mean()
            reference, its_variance, its_freedom = seen.accuracy, seen.variance, seen.count - 1.0
            if before.items:
                earlier, more, added = before.mean()
                weight = its_variance / (its_variance + more)
                reference += weight * (earlier - reference)
                its_variance, its_freedom = (1 - weight) * its_variance, its_freedom + added
            # The degrees of freedom of the smaller sample are the least that the test could have.
            variance, freedom = variance + its_variance, min(freedom, its_freedom)
            if decided(mean, variance, freedom, reference, alpha) is not None:
                return True
        return False


def others_drifted(desk: Desk, query: Query) -> bool:
    """Tell whether the content of so many queries of its data set has changed that its own may."""
    alarms: Sequence[float] = desk.recall((DRIFTED, query.dataset)) or ()
    recent = sum(at_s > desk.now_s - COMMON_WITHIN_S for at_s in alarms)
    if recent < COMMON_LEAST:
        return False
    return recent >= COMMON_SHARE * _running(desk)[query.dataset]


def _running(desk: Desk) -> Counter[str]:
    """Return how many queries of each data set run, counted once a call."""
    if RUNNING not in desk.scratch:
        desk.scratch[RUNNING] = Counter(query.dataset for query in desk.running)
    running: Counter[str] = desk.scratch[RUNNING]
    return running


def note_drift(desk: Desk, query: Query) -> None:
    """Put on record that a query's content has changed."""
    alarms: Sequence[float] = desk.recall((DRIFTED, query.dataset)) or ()
    kept = [at_s for at_s in alarms if at_s > desk.now_s - COMMON_WITHIN_S]
    desk.remember((DRIFTED, query.dataset), (*kept, desk.now_s))
