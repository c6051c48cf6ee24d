"""Means with intervals and p-values, by Student's t, the bootstrap and Holm's procedure."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from lab.common.metrics import ANY, ValueRange
from scenarios.random_streams import stream

CONFIDENCE = 0.95
_confidence: ContextVar[float] = ContextVar("confidence", default=CONFIDENCE)
RESAMPLES = 9_999

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class IntervalEstimate:
    """A mean with its interval, and the p-value for the hypothesis that the true mean is 0."""

    n: int  # number of values
    mean: float | None = None  # None without any value
    low: float | None = None  # lower end of the interval; None with fewer than two values
    high: float | None = None  # upper end
    # Two-sided p-value by Student's t, or by the sign test if all values are equal.
    p: float | None = None


def estimate(values: Floats, scale: float = 0.0, within: ValueRange = ANY) -> IntervalEstimate:
    """Return the mean of values, Student's t-interval, and the p-value for a true mean of 0.

    The half-width is t(0.975, n - 1) s / sqrt(n) (Student 1908, "The probable error of a mean"),
    or that of the confidence that `at_confidence` sets.
    For paired differences, this is the paired t-test. Values are finite and of shape (n,).

    If values differ only by rounding errors, the interval has no width. Then p is 1 if all values
    are 0, and otherwise 2^(1 - n), the p-value of the sign test. `scale` is the largest magnitude
    of the numbers that the values were computed from; it determines how large rounding errors can
    be. The interval is cut to the range `within`; the mean and p are not.
    """
    n = len(values)
    if n == 0:
        return IntervalEstimate(0)
    mean = float(np.mean(values))
    if n == 1:
        return IntervalEstimate(1, mean)
    least = float(np.finfo(float).tiny) ** 0.5  # The square of a smaller number underflows.
    rounding = max(least, 8 * np.finfo(float).eps * max(scale, float(np.abs(values).max())))
    if float(np.ptp(values)) <= rounding:
        return IntervalEstimate(
            n, mean, mean, mean, 1.0 if abs(mean) <= rounding else 2.0 ** (1 - n)
        )
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half = student_t(n) * error
    p = 2 * float(stdtr(n - 1, -abs(mean) / error))
    return IntervalEstimate(n, mean, *cut(mean - half, mean + half, within), p)


def as_ratio(log_ratio: IntervalEstimate) -> tuple[float | None, float | None, float | None]:
    """Return a ratio and the ends of its interval, given an estimate of its logarithm."""
    with np.errstate(over="ignore"):
        middle, low, high = (
            None if each is None else float(np.exp(each))
            for each in (log_ratio.mean, log_ratio.low, log_ratio.high)
        )
    return middle, low, high


def cut(low: float, high: float, within: ValueRange) -> ValueRange:
    """Return the part of an interval that lies in a range."""
    return max(low, within[0]), min(high, within[1])


def of_difference(within: ValueRange) -> ValueRange:
    """Return the range of the difference between two values that lie in a range."""
    low, high = within
    return low - high, high - low


@contextmanager
def at_confidence(level: float) -> Iterator[None]:
    """Compute intervals at another confidence than `CONFIDENCE` while the context lasts.

    A sequential design (`studies.common.verdicts`) asks the same question at several levels.
    """
    token = _confidence.set(level)
    try:
        yield
    finally:
        _confidence.reset(token)


def allowed_error() -> float:
    """Return the probability of error at the present confidence, below which p is significant."""
    return 1 - _confidence.get()


def student_t(n: int, probability: float | None = None) -> float:
    """Return a quantile of Student's t for a mean of n values; nan for n < 2.

    The default is the quantile for two-sided intervals at the present confidence.
    """
    return _quantile(n, (1 + _confidence.get()) / 2 if probability is None else probability)


@lru_cache(maxsize=1024)
def _quantile(n: int, probability: float) -> float:
    return float(stdtrit(n - 1, probability))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for multiple tests; None stays None and does not count as a test.

    This is the step-down procedure of Holm (1979), "A simple sequentially rejective multiple test
    procedure".
    """
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    before = 0.0
    for k, (p, i) in enumerate(order):
        before = max(before, min(1.0, p * (len(order) - k)))
        adjusted[i] = before
    return adjusted


def bootstrap_interval(values: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of values.

    It uses 9,999 resamples (Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter
    13). The resamples come from a named random stream and depend only on n, so equal values give
    equal intervals. The interval is too narrow for few values: with 3, 5 and 10 normally
    distributed values, its coverage is 75, 85 and 91 %, respectively. Values are finite and of
    shape (n,), with n of at least 1.
    """
    # Equal values get an interval of no width, because deviations from the first value are used.
    first = values[0]
    means = np.einsum("rn,n->r", _weights(len(values)), values - first)
    at = round((RESAMPLES + 1) * (1 - confidence) / 2)
    low, high = np.partition(means, (at - 1, RESAMPLES - at))[[at - 1, RESAMPLES - at]]
    return float(first + low), float(first + high)


@lru_cache(maxsize=32)
def _weights(n: int) -> Floats:
    """Return the share of each of n values in each resample, of shape (RESAMPLES, n)."""
    return stream(0, "bootstrap", n).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
