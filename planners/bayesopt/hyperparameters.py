"""Hyper-parameters of a Gaussian process, and their fit to observations.

They are the ones of the largest posterior density: of the likelihood (Rasmussen and Williams 2006,
eq. 5.8) and a weak log-normal prior, without which a handful of observations would be taken for
noise, or for certainty.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planners.common.lbfgsb import minimum
from scenarios.compiled import compiled

Floats = NDArray[np.float64]

MOST_STEPS = 15
"""L-BFGS steps of one refit; it starts where the last one ended."""

BOUNDS = {"length": (0.05, 20.0), "signal": (1e-3, 1e2), "floor": (1e-7, 1.0)}
"""Hyper-parameters stay within: lengths over the typical distance, the others as they are."""

PRIOR_SPREAD = {"length": 1.0, "signal": 1.5, "floor": 3.0}
"""Standard deviations of their logarithms around the defaults."""

FITTED_KEPT = 10_000
"""Fits that are kept: a few of each of some thousand queries."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Hyper-parameters of the covariance, for values in units of the process's ``scale``.

    Args:
        lengths: length scale of each block, over the typical (root mean square) distance of two
            points in that block.
        signal_variance: variance of the Matern part.
        noise_floor: variance of the noise that every observation has beside its own, over the
            signal's; above 0, so that equal points without noise are safe.
        constant_variance: variance of the unknown mean; it is not fitted.
    """

    lengths: tuple[float, ...]
    signal_variance: float = 1.0
    noise_floor: float = 1e-4
    constant_variance: float = 1.0


_FITTED: OrderedDict[tuple[Any, ...], Hyperparameters] = OrderedDict()
"""What was fitted to what; no state, as it would be the same if it were fitted anew."""


def fitted(
    points: Floats,
    widths: tuple[int, ...],
    residual: Floats,
    noise: Floats,
    start: Hyperparameters,
    prior: Hyperparameters,
) -> Hyperparameters:
    """Return the hyper-parameters of the largest posterior density.

    Args:
        points: the n observed points, in units of typical distances, shape (n, D).
        widths: widths of the blocks of features that have a length scale each.
        residual: standardised values, shape (n, outputs).
        noise: their noise variances, shape (n, outputs).
        start: where the search begins.
        prior: medians of the prior.
    """
    # A search that is taken up again takes the same observations in once more.
    key = *(each.tobytes() for each in (points, residual, noise)), widths, start, prior
    if key in _FITTED:
        _FITTED.move_to_end(key)
        return _FITTED[key]
    block_of = np.repeat(np.arange(len(widths)), widths)
    likelihood = _Posterior(points, block_of, residual, noise, prior)
    logs = np.log(_flat(start))
    found = minimum(likelihood.negative, logs, likelihood.low, likelihood.high, MOST_STEPS)
    # Rounded, so that the last bits of a linear algebra library do not reach a plan.
    *lengths, signal, floor = np.exp(np.round(found, 2)).tolist()
    best = Hyperparameters(tuple(lengths), signal, floor, prior.constant_variance)
    _FITTED[key] = best
    if len(_FITTED) > FITTED_KEPT:
        _FITTED.popitem(last=False)
    return best


def _flat(parameters: Hyperparameters) -> Floats:
    """Return the hyper-parameters that are fitted as one array."""
    return np.array([*parameters.lengths, parameters.signal_variance, parameters.noise_floor])


class _Posterior:
    """Posterior density of hyper-parameters, as a function of their logarithms.

    Args:
        points: the n observed points, in units of typical distances, shape (n, D).
        block_of: block of each feature, shape (D,).
        residual: standardised values, shape (n, outputs).
        noise: their noise variances, shape (n, outputs).
        prior: medians of the prior.
    """

    def __init__(
        self,
        points: Floats,
        block_of: NDArray[np.int64],
        residual: Floats,
        noise: Floats,
        prior: Hyperparameters,
    ) -> None:
        self._squared = _squared_by_block(points, block_of, len(prior.lengths))
        self._residual = np.ascontiguousarray(residual)
        shared = bool((noise == noise[:, :1]).all())
        self._noise = np.ascontiguousarray(noise[:, :1] if shared else noise)
        self._constant = prior.constant_variance
        self._medians = np.log(_flat(prior))
        self._spread, self.low, self.high = _limits(len(prior.lengths))

    def negative(self, logs: Floats) -> tuple[float, Floats]:
        """Return minus the log posterior density, up to a constant, and its gradient."""
        gradient = np.empty(len(logs))
        value = _negative(
            *(self._squared, self._residual, self._noise, self._constant),
            *(self._medians, self._spread, logs, gradient),
        )
        return value, gradient


@cache
def _limits(blocks: int) -> tuple[Floats, Floats, Floats]:
    """Return the spread, and lower and upper bounds, of the logarithms of hyper-parameters."""
    kinds = ["length"] * blocks + ["signal", "floor"]
    low, high = np.log([BOUNDS[kind] for kind in kinds]).T.copy()
    return np.array([PRIOR_SPREAD[kind] for kind in kinds]), low, high


@compiled
def _negative(
    squared: Floats,
    residual: Floats,
    noise: Floats,
    constant: float,
    medians: Floats,
    spread: Floats,
    logs: Floats,
    gradient: Floats,
) -> float:
    """Return minus the log posterior density, up to a constant, and write its gradient.

    Args:
        squared: see `_surprise`, as are the next three.
        residual: see there.
        noise: see there.
        constant: see there.
        medians: logarithms of the prior's medians.
        spread: standard deviations of the logarithms about them.
        logs: logarithms of the hyper-parameters.
        gradient: what is written to.
    """
    value = 0.0
    for at in range(len(logs)):
        off = (logs[at] - medians[at]) / spread[at]
        gradient[at] = off / spread[at]
        value += off * off
    return 0.5 * value + _surprise(squared, residual, noise, constant, logs, gradient)


@compiled
def _squared_by_block(points: Floats, block_of: NDArray[np.int64], blocks: int) -> Floats:
    """Return the squared distances of n points within each block, shape (blocks, n, n)."""
    count = len(points)
    squared = np.zeros((blocks, count, count))
    for feature, block in enumerate(block_of):
        for row in range(count):
            for column in range(row):
                squared[block, row, column] += (points[row, feature] - points[column, feature]) ** 2
                squared[block, column, row] = squared[block, row, column]
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
    """Return minus the log likelihood, up to a constant, and add its gradient.

    Rasmussen and Williams 2006, eq. 2.30 and 5.9. For a few observations, calling a library for
    each operation takes ten times as long as what it computes.

    Args:
        squared: squared distances by block, shape (blocks, n, n).
        residual: standardised values, shape (n, outputs).
        noise: their noise variances, shape (n, outputs), or (n, 1) if all outputs have the same.
        constant: variance of the unknown mean.
        logs: logarithms of the hyper-parameters.
        gradient: what the gradient is added to.
    """
    signal, floor = np.exp(logs[-2]), np.exp(logs[-1])
    over = np.exp(-2 * logs[:-2])
    kernel, slope = _kernel_and_slope(squared, over, signal)
    groups = noise.shape[1]
    outputs = residual.shape[1] // groups
    value = 0.0
    for group in range(groups):
        values = residual[:, group * outputs : (group + 1) * outputs]
        inverse, log_root = _inverted(kernel + constant, signal * floor + noise[:, group])
        weights = inverse @ np.ascontiguousarray(values)
        value += outputs * log_root + 0.5 * (values * weights).sum()
        outer = 0.5 * (outputs * inverse - weights @ weights.T)
        trace = signal * floor * np.trace(outer)
        for row in range(len(outer)):
            for column in range(len(outer)):
                gradient[-2] += outer[row, column] * kernel[row, column]
                for block in range(len(over)):
                    by_block = squared[block, row, column] * over[block]
                    gradient[block] += 5 / 3 * by_block * outer[row, column] * slope[row, column]
        gradient[-2] += trace
        gradient[-1] += trace
    return value


@compiled
def _kernel_and_slope(squared: Floats, over: Floats, signal: float) -> tuple[Floats, Floats]:
    """Return the Matern part, and what its gradient is in proportion to, each of shape (n, n)."""
    count = squared.shape[1]
    kernel, slope = np.empty((count, count)), np.empty((count, count))
    for row in range(count):
        for column in range(row + 1):
            total = 0.0
            for block in range(len(over)):
                total += squared[block, row, column] * over[block]
            distance = np.sqrt(5 * total)
            decay = signal * np.exp(-distance)
            kernel[row, column] = (1 + distance + distance * distance / 3) * decay
            slope[row, column] = (1 + distance) * decay
            kernel[column, row], slope[column, row] = kernel[row, column], slope[row, column]
    return kernel, slope


@compiled
def _inverted(kernel: Floats, noise: Floats) -> tuple[Floats, float]:
    """Return the inverse of a covariance, (n, n), and the logarithm of its determinant's root."""
    count = len(kernel)
    lower, solved = np.zeros((count, count)), np.zeros((count, count))
    log_root = 0.0
    for column in range(count):
        pivot = kernel[column, column] + noise[column]
        for k in range(column):
            pivot -= lower[column, k] * lower[column, k]
        if not pivot > 0:
            raise ValueError("the covariance is not positive definite")
        lower[column, column] = np.sqrt(pivot)
        log_root += np.log(lower[column, column])
        for row in range(column + 1, count):
            total = kernel[row, column]
            for k in range(column):
                total -= lower[row, k] * lower[column, k]
            lower[row, column] = total / lower[column, column]
    for column in range(count):
        for row in range(column, count):
            total = 1.0 if row == column else 0.0
            for k in range(column, row):
                total -= lower[row, k] * solved[k, column]
            solved[row, column] = total / lower[row, row]
    return solved.T @ solved, log_root
