"""Distributions of the accuracy of single items, as piecewise-linear inverse CDFs.

A curve consists of probabilities and of the accuracies at these probabilities. Both have the shape
(C, S, Q), for C configurations and S strata, and increase along the last axis.
"""

from functools import lru_cache

import numpy as np

from scenarios.numerics import Floats

Curve = tuple[Floats, Floats]

BETA_POINTS = 65
"""Number of points of the inverse CDF of a Beta distribution; they are denser in its tails.

The curve is linear from each of its ends, 0 and 1, to the next point. So small standard deviations
become too large. At a mean of 0.8, the error is below 1 % for standard deviations of 0.1 and more,
3 % at 0.05, 8 % at 0.03, 17 % at 0.02 and 56 % at 0.01. Standard deviations near the largest
possible one become a few % too small.
"""

LEAST_SD = 1e-4
"""With a smaller standard deviation, all items get the mean accuracy."""


class SpreadError(ValueError):
    """Raised if accuracies of items cannot have the declared spread around the mean."""


def success(mean: Floats) -> Curve:
    """Return the curve of items that are either right (accuracy 1) or wrong (accuracy 0).

    ``mean`` is the share of items that are right, shape (C, S).

    Raises:
        SpreadError: a share is not between 0 and 1.
    """
    _check_share(mean)
    none, one = np.zeros_like(mean), np.ones_like(mean)
    grid = np.stack([none, 1 - mean, 1 - mean, one], axis=-1)
    return grid, np.stack([none, none, one, one], axis=-1)


def beta(mean: Floats, sd: Floats) -> Curve:
    """Return the curve of a Beta distribution, scaled so that its mean is exact.

    `BETA_POINTS` states the error of the standard deviation. The mean and the standard deviation
    over items have shape (C, S).

    Raises:
        SpreadError: a mean is not between 0 and 1, or a deviation is larger than the mean allows.
    """
    _check_share(mean)
    variance, most = sd**2, mean * (1 - mean)
    beyond = (variance >= most) & (sd >= LEAST_SD)
    if beyond.any():
        at = tuple(np.argwhere(beyond)[0])
        raise SpreadError(
            f"a standard deviation of {sd[at]:g} is more than items of mean accuracy "
            f"{mean[at]:g} can have, below {np.sqrt(most[at]):g}"
        )
    spread = sd >= LEAST_SD
    concentration = np.where(spread, most / np.where(spread, variance, 1) - 1, 1)
    a, b = mean * concentration, (1 - mean) * concentration
    ranks = (1 - np.cos(np.linspace(0, np.pi, BETA_POINTS))) / 2
    grid = np.broadcast_to(ranks, (*mean.shape, BETA_POINTS)).copy()
    safe = np.where(spread, a, 1.0), np.where(spread, b, 1.0)
    quantiles = _quantiles(*(one.tobytes() for one in (*safe, ranks))).reshape(grid.shape)
    values = np.where(spread[..., None], quantiles, mean[..., None])
    return grid, _with_mean(grid, values, mean)


@lru_cache(maxsize=32)
def _quantiles(a: bytes, b: bytes, ranks: bytes) -> Floats:
    """Return quantiles of Beta distributions, shape (n, Q); parameters are given as float64 bytes.

    A process that makes many runs builds the same application again and again, and these take most
    of the time that this needs.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 -- only what uses it waits for SciPy

    parameters = (np.frombuffer(one)[:, None] for one in (a, b))
    found: Floats = betaincinv(*parameters, np.frombuffer(ranks))
    return found


def through(probabilities: Floats, accuracies: Floats) -> Curve:
    """Return the curve through given points of shape (C, S, Q), sorted by probability.

    Raises:
        SpreadError: probabilities do not range from 0 to 1, or accuracy falls as probability rises.
    """
    order = np.argsort(probabilities, axis=-1, kind="stable")
    grid = np.take_along_axis(probabilities, order, axis=-1)
    values = np.take_along_axis(accuracies, order, axis=-1)
    if (grid[..., 0] != 0).any() or (grid[..., -1] != 1).any():
        raise SpreadError("probabilities must start at 0 and end at 1")
    if (np.diff(values, axis=-1) < 0).any():
        raise SpreadError("accuracies must not fall as probabilities grow")
    return grid, values


def mean_of(curve: Curve) -> Floats:
    """Return the mean accuracy of a curve's distribution, shape (C, S)."""
    grid, values = curve
    return np.asarray(np.trapezoid(values, grid, axis=-1))


def _with_mean(grid: Floats, values: Floats, mean: Floats) -> Floats:
    """Scale accuracies towards 0 or 1 so that the curve has the given mean."""
    now = mean_of((grid, values))
    down = np.divide(mean, now, out=np.ones_like(mean), where=now > mean)[..., None]
    up = np.divide(1 - mean, 1 - now, out=np.ones_like(mean), where=now < mean)[..., None]
    return np.asarray(1 - (1 - values * down) * up)


def _check_share(mean: Floats) -> None:
    if not ((mean >= 0) & (mean <= 1)).all():
        worst = mean[~((mean >= 0) & (mean <= 1))].flat[0]
        raise SpreadError(f"a mean accuracy is {worst:g}; it must lie between 0 and 1")
