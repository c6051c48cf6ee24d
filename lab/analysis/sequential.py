"""Decisions from more and more seeds, with a stated probability of error over all looks.

A *look* is a judgement after some number of seeds. Each look may err with its own part of the
allowed error, and the parts add up to the whole (union bound), so the probability that any look
errs is at most the whole. After n of at most N seeds, the share n / N of the error has been spent:
the spending function with exponent 1 of Kim and DeMets (1987, "Design and analysis of group
sequential tests based on the type I error spending rate function"). The bounds of a look are
Student's t-bounds, so they assume that means over seeds are nearly normal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from lab.analysis.statistics import Floats, student_t


@dataclass(frozen=True)
class Looks:
    """The looks of a decision: after how many seeds, and with which probability of error.

    Args:
        seeds: numbers of seeds, ascending; the last one is the most.
        error: probability with which any of the looks may err in one direction, above 0.
    """

    seeds: tuple[int, ...]
    error: float

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 2 or list(self.seeds) != sorted({*self.seeds}):
            raise ValueError(f"seeds={self.seeds}: must be ascending whole numbers, at least 2")
        if not 0 < self.error < 0.5:
            raise ValueError(f"error={self.error}: must be above 0 and below 0.5")

    @property
    def most(self) -> int:
        """The number of seeds at the last look."""
        return self.seeds[-1]

    def error_at(self, seeds: int) -> float:
        """Return the part of the error that belongs to the look after a number of seeds."""
        at = self.seeds.index(seeds)
        before = self.seeds[at - 1] if at else 0
        return self.error * (seeds - before) / self.most


def forecast(values: Floats, error: float, seeds: int) -> float:
    """Return the `lower_bound` after some more seeds if mean and deviation stay as they are."""
    spread = float(np.std(values, ddof=1))
    return float(np.mean(values)) - student_t(seeds, 1 - error) * spread / sqrt(seeds)


def lower_bound(values: Floats, error: float) -> float:
    """Return a lower bound of the mean of values, of shape (n,), wrong with probability `error`.

    With fewer than three values, the bound is minus infinity. Equal values give no estimate of the
    variance: the bound is then that value if the sign test would be wrong with probability `error`
    at most, which is 2^-n for n values, and otherwise minus infinity.
    """
    many = len(values)
    if many < 3 or (float(np.ptp(values)) == 0.0 and 2.0**-many > error):
        return -inf
    spread = float(np.std(values, ddof=1))
    return float(np.mean(values)) - student_t(many, 1 - error) * spread / sqrt(many)


def surely_positive(values: Sequence[float] | Floats, error: float) -> bool:
    """Return whether the mean of values is above 0, with a probability of error at most `error`."""
    return lower_bound(np.asarray(values, dtype=float), error) > 0
