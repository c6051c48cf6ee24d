"""Hyper-parameters of a Gaussian process, and their fit to observations.

The fit maximises the posterior density: the likelihood (Rasmussen and Williams 2006, eq. 5.8) times
a weak log-normal prior, which keeps hyper-parameters plausible when there are few observations.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from planners.common.lbfgsb import minimum
from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints

MOST_STEPS = 15
"""Largest number of L-BFGS steps in a fit; each fit starts at the result of the last one."""

BOUNDS = {"length": (0.05, 20.0), "signal": (1e-3, 1e2), "floor": (1e-7, 1.0)}
"""Bounds of hyper-parameters; only those of lengths are relative to the typical distance."""

PRIOR_SPREAD = {"length": 1.0, "signal": 1.5, "floor": 3.0}
"""Prior standard deviations of the logarithms of hyper-parameters."""

FITTED_KEPT = 10_000
"""Largest number of cached fits, enough for a few fits for each of some thousand queries."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Hyper-parameters of the covariance, for values in units of the process's ``scale``."""

    # Length scale of each block, in root mean square distances of its points.
    lengths: tuple[float, ...]
    signal_variance: float = 1.0  # variance of the Matern part
    # Variance of the noise added to each observation, relative to that of the signal; above 0, so
    # that points can be equal.
    noise_floor: float = 1e-4
    constant_variance: float = 1.0  # variance of the unknown mean; it is not fitted


_FITTED: OrderedDict[tuple[Any, ...], Hyperparameters] = OrderedDict()
"""Cached fits; deleting them changes no result, because fitting again gives the same."""


def fitted(
    points: Floats,
    widths: tuple[int, ...],
    residual: Floats,
    noise: Floats,
    start: Hyperparameters,
    prior: Hyperparameters,
) -> Hyperparameters:
    """Return the hyper-parameters that maximise the posterior density.

    Args:
        points: the n observed points, in units of typical distances, of shape (n, D).
        widths: number of features in each block.
        residual: standardised values, of shape (n,).
        noise: noise variances of the standardised values, of shape (n,).
        start: hyper-parameters at which the maximisation begins.
        prior: medians of the prior.
    """
    # A resumed search adds the same observations again.
    key = *(each.tobytes() for each in (points, residual, noise)), widths, start, prior
    if key in _FITTED:
        _FITTED.move_to_end(key)
        return _FITTED[key]
    squared = _squared_by_block(points, np.repeat(np.arange(len(widths)), widths), len(widths))
    medians, (spread, low, high) = np.log(_flat(prior)), _limits(len(widths))
    residual, noise = np.ascontiguousarray(residual), np.ascontiguousarray(noise)
    given = squared, residual, noise, prior.constant_variance, medians, spread

    def negative_posterior(logs: Floats) -> tuple[float, Floats]:
        gradient = np.empty(len(logs))
        return _negative_posterior(*given, logs, gradient), gradient

    found = minimum(negative_posterior, np.log(_flat(start)), low, high, MOST_STEPS)
    # The result is rounded, so that the last bits of linear algebra do not affect plans.
    *lengths, signal, floor = np.exp(np.round(found, 2)).tolist()
    best = Hyperparameters(tuple(lengths), signal, floor, prior.constant_variance)
    _FITTED[key] = best
    if len(_FITTED) > FITTED_KEPT:
        _FITTED.popitem(last=False)
    return best


def _flat(parameters: Hyperparameters) -> Floats:
    """Return the hyper-parameters that the fit changes, as one array."""
    return np.array([*parameters.lengths, parameters.signal_variance, parameters.noise_floor])


@cache
def _limits(blocks: int) -> tuple[Floats, Floats, Floats]:
    """Return the prior deviations, lower bounds and upper bounds of the log hyper-parameters."""
    kinds = ["length"] * blocks + ["signal", "floor"]
    low, high = np.log([BOUNDS[kind] for kind in kinds]).T.copy()
    return np.array([PRIOR_SPREAD[kind] for kind in kinds]), low, high


@compiled
def _squared_by_block(points: Floats, block_of: Ints, blocks: int) -> Floats:
    """Return squared distances between n points, computed per block, of shape (blocks, n, n)."""
    count = len(points)
    squared = np.zeros((blocks, count, count))
    for feature, block in enumerate(block_of):
        for row in range(count):
            squared[block, row] += (points[row, feature] - points[:, feature]) ** 2
    return squared


@compiled
def _negative_posterior(  # noqa: PLR0912 -- one pass over each triangle
    squared: Floats,
    residual: Floats,
    noise: Floats,
    constant: float,
    medians: Floats,
    spread: Floats,
    logs: Floats,
    gradient: Floats,
) -> float:
    """Return the negative log posterior density, up to a constant, and write its gradient.

    This computes eq. 2.30 and 5.9 of Rasmussen and Williams 2006 from a Cholesky factor, as in
    their algorithm 2.1, in O(n^3). Plain loops over one triangle take a third of the time of
    library calls for a few observations. ``logs`` has the logarithms of each block's length, of the
    signal variance, and of the ratio of noise floor to signal variance; the prior is normal, with
    ``medians`` and deviations ``spread``.

    ``squared`` has squared distances by block, of shape (blocks, n, n). ``residual`` has the
    standardised values, of shape (n,), and ``noise`` has their noise variances, of shape (n,).
    ``constant`` is the variance of the unknown mean.
    """
    blocks, count, value = len(squared), len(residual), 0.0
    signal, floor, over = np.exp(logs[-2]), np.exp(logs[-1]), np.exp(-2 * logs[:-2])
    for at in range(len(logs)):
        off = (logs[at] - medians[at]) / spread[at]
        gradient[at] = off / spread[at]
        value += off * off / 2
    kernel, slope = np.empty((count, count)), np.empty((count, count))
    lower, root = np.empty((count, count)), np.empty((count, count))  # L and its inverse
    white, weights = np.zeros(count), np.zeros(count)  # root and inverse times the residual
    for row in range(count):
        for column in range(row + 1):
            total = 0.0
            for block in range(blocks):
                total += squared[block, row, column] * over[block]
            distance = np.sqrt(5 * total)
            decay = signal * np.exp(-distance)
            kernel[row, column] = (1 + distance + distance * distance / 3) * decay
            slope[row, column] = (1 + distance) * decay
            left = kernel[row, column] + constant
            for at in range(column):
                left -= lower[row, at] * lower[column, at]
            if column < row:
                lower[row, column] = left / lower[column, column]
            else:  # rounding must not remove the noise
                its_noise = signal * floor + noise[row]
                lower[row, row] = np.sqrt(max(left, 0.0) + its_noise)
        for column in range(row + 1):
            total = 1.0 if column == row else 0.0
            for at in range(column, row):
                total -= lower[row, at] * root[at, column]
            root[row, column] = total / lower[row, row]
            white[row] += root[row, column] * residual[column]
        value += np.log(lower[row, row]) + white[row] * white[row] / 2
        for column in range(row + 1):
            weights[column] += root[row, column] * white[row]
    for row in range(count):
        for column in range(row + 1):
            inverse = 0.0
            for at in range(row, count):
                inverse += root[at, row] * root[at, column]
            # Each derivative is the sum of this times that of the covariance, element by element
            # (eq. 5.9); elements off the diagonal occur twice.
            outer = (inverse - weights[row] * weights[column]) / (2 if row == column else 1)
            gradient[-2] += outer * kernel[row, column]
            if row == column:
                gradient[-2] += outer * signal * floor
                gradient[-1] += outer * signal * floor
            for block in range(blocks):
                part = squared[block, row, column] * slope[row, column]
                gradient[block] += 5 / 3 * over[block] * outer * part
    return value
