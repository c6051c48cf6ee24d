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

    def negative_posterior(logs: Floats) -> tuple[float, Floats]:
        off = (logs - medians) / spread
        gradient = off / spread
        value = _surprise(squared, residual, noise, prior.constant_variance, logs, gradient)
        return 0.5 * float(off @ off) + value, gradient

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
def _surprise(
    squared: Floats,
    residual: Floats,
    noise: Floats,
    constant: float,
    logs: Floats,
    gradient: Floats,
) -> float:
    """Return the negative log marginal likelihood, up to a constant, and add its gradient.

    This computes eq. 2.30 and 5.9 of Rasmussen and Williams 2006 from a Cholesky factor, as in
    their algorithm 2.1, in O(n^3). ``logs`` has the logarithms of each block's length, of the
    signal variance, and of the ratio of noise floor to signal variance.

    ``squared`` has squared distances by block, of shape (blocks, n, n). ``residual`` has the
    standardised values, of shape (n,), and ``noise`` has their noise variances, of shape (n,).
    ``constant`` is the variance of the unknown mean.
    """
    signal, floor = np.exp(logs[-2]), np.exp(logs[-1])
    over = np.exp(-2 * logs[:-2])
    total = np.zeros(squared.shape[1:])
    for block in range(len(over)):
        total += squared[block] * over[block]
    distance = np.sqrt(5 * total)
    decay = signal * np.exp(-distance)
    kernel = (1 + distance + distance * distance / 3) * decay
    slope = (1 + distance) * decay
    lower = np.linalg.cholesky(kernel + constant + np.diag(signal * floor + noise))
    root = np.linalg.inv(lower)
    inverse = root.T @ root
    weights = inverse @ residual
    # Each derivative is the sum of this times that of the covariance, element by element (eq. 5.9).
    outer = 0.5 * (inverse - np.outer(weights, weights))
    trace = signal * floor * np.trace(outer)
    for block in range(len(over)):
        gradient[block] += 5 / 3 * over[block] * (squared[block] * outer * slope).sum()
    gradient[-2] += (outer * kernel).sum() + trace
    gradient[-1] += trace
    return float(np.log(np.diag(lower)).sum() + 0.5 * (residual @ weights))
