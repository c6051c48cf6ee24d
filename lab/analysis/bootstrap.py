"""Intervals of means by the bootstrap, which asks nothing of how the values are distributed."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scenarios.random_streams import stream

RESAMPLES = 9_999


def bootstrap_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the percentile interval of the mean of values, by the bootstrap.

    Values are drawn anew, with replacement, 9,999 times; the interval holds the middle of the means
    (Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13). Resamples come from
    a named stream and depend on the number of values alone, so that the same values have the same
    interval. It is too narrow for few values: of three, five and ten normal ones, an interval of
    95 % holds the mean 75, 85 and 91 times in 100.

    Args:
        values: finite values, one or more.
        confidence: probability that the interval is to hold the mean, below 1.
    """
    # Deviations from one of them, so that equal values have an interval of no width.
    first = values[0]
    means = np.einsum("rn,n->r", _weights(len(values)), values - first)
    at = round((RESAMPLES + 1) * (1 - confidence) / 2)
    low, high = np.partition(means, (at - 1, RESAMPLES - at))[[at - 1, RESAMPLES - at]]
    return float(first + low), float(first + high)


@lru_cache(maxsize=32)
def _weights(n: int) -> NDArray[np.float64]:
    """Return the share of each of n values in each resample; shape (RESAMPLES, n)."""
    return stream(0, "bootstrap", n).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
