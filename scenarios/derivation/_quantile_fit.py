"""Fits inverse CDFs to measured quantiles, a measured mean and a measured standard deviation.

Straight lines between quantiles do not keep the spread: the ends of the distribution are unknown,
and a few items there decide its variance. Here a first guess of the inverse CDF is multiplied by a
number b, a number a is added, and the result is limited to the range that the neighbouring
quantiles allow. a and b are such that mean and standard deviation are the measured ones.
"""

from collections.abc import Callable

import numpy as np

from scenarios.numerics import Bools, Floats

EXPONENTIAL, TAIL = 0.05, 0.5
"""Weights of an exponential shape in the first guess, and of its part above the highest quantile.

Both are in standard deviations of the items. Without them, the first guess would be flat above the
highest quantile, or where quantiles are equal, and no factor b could widen it there. With these,
the fits to word error rates stay nearest to straight lines between the quantiles.
"""

TAIL_END = 0.002
"""Distance from 1 of the probability at which the exponential shape ends."""

HALVINGS = 60
"""Number of bisections for each of a and b; more do not change the result."""


def fitted_quantiles(
    probabilities: Floats,
    quantiles: Floats,
    zero: Floats,
    mean: Floats,
    sd: Floats,
    grid: Floats,
) -> Floats:
    """Return values of non-negative items at given probabilities, for n distributions.

    The inverse CDF is 0 up to the share ``zero`` and linear between the points of ``grid``.

    Args:
        probabilities: increasing probabilities of the measured quantiles, shape (k,).
        quantiles: measured quantiles, shape (n, k).
        zero: shares of items with the value 0, shape (n,).
        mean: measured means, shape (n,).
        sd: measured standard deviations, shape (n,).
        grid: increasing probabilities from 0 to 1 with all ``probabilities``, shape (m,).

    Returns:
        Values at the points of ``grid``, shape (n, m). Points below the share of zeros have the
        value just above this share.
    """
    at = np.maximum(grid, zero[:, None])
    low, high = np.zeros_like(at), np.full_like(at, np.inf)
    for point, column in zip(probabilities, quantiles.T, strict=True):
        known = (zero < point)[:, None]
        low = np.where(known & (at >= point), column[:, None], low)
        high = np.where(known & (at <= point), np.minimum(high, column[:, None]), high)
    guess = _first_guess(probabilities, quantiles, sd, at)

    def curve(log_factor: Floats) -> Floats:
        factor = np.exp(log_factor)[:, None]

        def shifted(shift: Floats) -> Floats:
            return np.clip(shift[:, None] + factor * guess, low, high)

        reach = (factor * guess).max(axis=1) + quantiles.max(axis=1)
        return shifted(_root(lambda a: _moments(at, shifted(a))[0] < mean, -reach, reach + mean))

    def too_narrow(log_factor: Floats) -> Bools:
        first, second = _moments(at, curve(log_factor))
        return np.asarray(second - first**2 < sd**2)

    ends = np.full_like(mean, np.log(1e5))
    return curve(_root(too_narrow, -ends, ends))


def _first_guess(probabilities: Floats, quantiles: Floats, sd: Floats, at: Floats) -> Floats:
    """Return straight lines through the quantiles, plus an exponential tail, shape (n, m)."""
    least = np.maximum(0, 2 * quantiles[:, 0] - quantiles[:, 1])
    points = np.concatenate(([0.0], probabilities))
    lines = [
        np.interp(row, points, values)
        for row, values in zip(at, np.column_stack([least, quantiles]), strict=True)
    ]
    above = 1 - at + TAIL_END
    tail = np.maximum(0, np.log((1 - probabilities[-1]) / above))
    shape = TAIL * tail - EXPONENTIAL * np.log(above)
    return np.asarray(np.stack(lines) + sd[:, None] * shape)


def _moments(at: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the first and second moment of piecewise-linear inverse CDFs, each of shape (n,).

    They are 0 from probability 0 to the first point.
    """
    width, left, right = np.diff(at, axis=1), values[:, :-1], values[:, 1:]
    first = width * (left + right) / 2
    second = width * (left**2 + left * right + right**2) / 3
    return first.sum(axis=1), second.sum(axis=1)


def _root(below: Callable[[Floats], Bools], low: Floats, high: Floats) -> Floats:
    """Return where ``below`` turns from true to false, by bisection, shape (n,)."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        less = below(middle)
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return (low + high) / 2
