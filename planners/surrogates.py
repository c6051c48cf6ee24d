"""Gaussian processes over a finite set of points, the surrogates of every search that learns.

A planner can only ever ask about the configurations (or plans) that there are, so all points are
known from the start. That makes updates cheap: with L the Cholesky factor of the n observations'
covariance, the process keeps V = inv(L) K(observed, all C points), and the column of V that belongs
to a new observation is the new row of L. One more observation costs O(n C), with no solve.

The covariance is a constant plus a Matern 5/2 kernel (Rasmussen and Williams 2006, eq. 4.17),

    c + s^2 (1 + r + r^2 / 3) exp(-r),    r^2 = 5 * sum over blocks b of |x_b - x'_b|^2 / l_b^2

The constant stands for an unknown mean. Hyper-parameters are fitted on a schedule only, and are the
ones of the largest posterior density (their eq. 5.8 and a weak log-normal prior, without which a
handful of observations would be taken for noise, or for certainty).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
import scipy  # Its parts are loaded when they are first used.
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

REFIT_AT = (4, 8, 16, 32, 64, 128, 256, 512)

MOST_STEPS = 15
"""L-BFGS steps of one refit; it starts where the last one ended."""

BOUNDS = {"length": (0.05, 20.0), "signal": (1e-3, 1e2), "floor": (1e-7, 1.0)}
"""Hyper-parameters stay within: lengths over the typical distance, the others as they are."""

PRIOR_SPREAD = {"length": 1.0, "signal": 1.5, "floor": 3.0}
"""Standard deviations of their logarithms around the defaults."""


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


class GaussianProcess:
    """A Gaussian process over C points that takes one observation after the other.

    Args:
        points: features of all points that can ever be asked, shape (C, D).
        outputs: values per observation. They share the hyper-parameters, and all the work as long
            as their noise, in units of their scales, is equal; otherwise each has a factor of its
            own.
        blocks: widths of the blocks of features that get a length scale each, such as the knobs;
            they add up to D. By default all features share one.
        refit_at: how many observations trigger a fit of the hyper-parameters. Doubling keeps the
            mean cost per observation small; () never fits, and wants ``centre`` and ``scale``.
        prior: hyper-parameters to start with, and the medians of their prior.
        centre: value, or value per output, that is believed before any observation. By default
            the mean of the values, as of the last fit.
        scale: standard deviation of values around the centre, likewise; by default that of the
            values, as of the last fit.

    Raises:
        ValueError: shapes do not match, or a scale is not above 0.
    """

    def __init__(
        self,
        points: Floats,
        outputs: int = 1,
        *,
        blocks: Sequence[int] | None = None,
        refit_at: Sequence[int] = REFIT_AT,
        prior: Hyperparameters | None = None,
        centre: ArrayLike | None = None,
        scale: ArrayLike | None = None,
    ) -> None:
        points = np.ascontiguousarray(points, dtype=np.float64)
        if points.ndim != 2:
            raise ValueError(f"points: shape {points.shape}, must be (C, D)")
        widths = (points.shape[1],) if blocks is None else tuple(blocks)
        if points.shape[1] == 0:
            widths = ()
        if sum(widths) != points.shape[1] or min(widths, default=1) < 1:
            raise ValueError(f"blocks={widths}: must be above 0 and add up to {points.shape[1]}")
        self.hyperparameters = prior or Hyperparameters((2.0,) * len(widths))
        if len(self.hyperparameters.lengths) != len(widths):
            raise ValueError(f"prior: {len(widths)} length scales are needed, one per block")
        self._prior = self.hyperparameters
        self._points = points
        self._block_of = np.repeat(np.arange(len(widths)), widths)
        variance = np.bincount(self._block_of, points.var(axis=0), len(widths))
        # A block in which all points agree says nothing; any distance will do.
        self._typical = np.sqrt(np.where(variance > 0, 2 * variance, 1.0))
        self._refit_at = frozenset(refit_at)
        self._first_fit = min(self._refit_at, default=0)
        self._standard = _Standard(outputs, centre, scale)
        self._rows: dict[int, int] = {}
        self._values: Floats = np.empty((0, outputs))
        self._noise: Floats = np.empty((0, outputs))
        self._factors: list[_Factor] = []
        self._predicted: tuple[Floats, Floats] | None = None
        self._scaled: Floats = points
        self._rebuild()

    def __len__(self) -> int:
        """Return how many points were observed."""
        return len(self._rows)

    @property
    def observed(self) -> tuple[int, ...]:
        """Indices of the points that were observed, in order."""
        return tuple(self._rows)

    def observe(self, index: int, values: ArrayLike, noise_variance: ArrayLike = 0.0) -> None:
        """Take the value of a point, in place of an earlier one.

        Args:
            index: which point.
            values: its values, shape (outputs,), or a number if there is one output.
            noise_variance: of the values, such as the variance of a sample mean; likewise, or one
                number for all.

        Raises:
            ValueError: a value is not finite, or a variance is negative or not finite.
            IndexError: there is no such point.
        """
        if not 0 <= index < len(self._points):
            raise IndexError(f"point {index}: there are {len(self._points)}")
        outputs = self._values.shape[1]
        value = np.broadcast_to(np.asarray(values, dtype=np.float64), (outputs,))
        noise = np.broadcast_to(np.asarray(noise_variance, dtype=np.float64), (outputs,))
        if not np.isfinite(value).all() or not (np.isfinite(noise) & (noise >= 0)).all():
            raise ValueError(f"point {index}: value {value}, noise variance {noise}")
        row = self._rows.setdefault(index, len(self._rows))
        if new := row == len(self._values):
            self._values = np.vstack([self._values, value])
            self._noise = np.vstack([self._noise, noise])
        same_noise = bool((self._noise[row] == noise).all())
        self._values[row], self._noise[row] = value, noise
        self._predicted = None
        if len(self) < self._first_fit or (new and len(self) in self._refit_at):
            self._standard.update(self._values)
            if len(self) in self._refit_at:
                self.hyperparameters = self._fitted()
            self._rebuild()
        elif new or not same_noise:
            self._extend(row)

    def predict(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the values at all points, each (C, outputs).

        The standard deviation is that of the value itself, without an observation's noise.
        """
        if self._predicted is None:
            standard = self._standard
            residual = (self._values - standard.centre) / standard.scale
            moments = [
                factor.predict(residual[:, columns], self._variance)
                for factor, columns in self._columns()
            ]
            mean = np.column_stack([mean for mean, _ in moments])
            sd = np.column_stack([np.broadcast_to(sd[:, None], m.shape) for m, sd in moments])
            self._predicted = standard.centre + standard.scale * mean, standard.scale * sd
        return self._predicted

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Return what the others say of each observation: mean and sd, each (n, outputs).

        Of the observation, noise included, under the present hyper-parameters (Rasmussen and
        Williams 2006, eq. 5.12), in the order of `observed`.
        """
        standard = self._standard
        residual = (self._values - standard.centre) / standard.scale
        moments = [
            factor.leave_one_out(residual[:, columns]) for factor, columns in self._columns()
        ]
        mean = np.column_stack([mean for mean, _ in moments])
        sd = np.column_stack([np.broadcast_to(sd[:, None], m.shape) for m, sd in moments])
        return standard.centre + standard.scale * mean, standard.scale * sd

    @property
    def _variance(self) -> float:
        """Variance before any observation, over the squared scale."""
        return self.hyperparameters.signal_variance + self.hyperparameters.constant_variance

    def _columns(self) -> list[tuple["_Factor", list[int]]]:
        """Pair each factor with the outputs that it serves."""
        outputs = range(self._values.shape[1])
        if len(self._factors) == 1:
            return [(self._factors[0], list(outputs))]
        return [(factor, [output]) for factor, output in zip(self._factors, outputs, strict=True)]

    def _kernel(self, rows: Sequence[int]) -> Floats:
        """Return the covariance of some points with all points, shape (len(rows), C)."""
        chosen = self._scaled[list(rows)]
        squared = scipy.spatial.distance.cdist(chosen, self._scaled, "sqeuclidean")
        parameters = self.hyperparameters
        kernel = matern(squared)
        kernel *= parameters.signal_variance
        kernel += parameters.constant_variance
        return kernel

    def _rebuild(self) -> None:
        """Factorise anew, after hyper-parameters or units have changed."""
        lengths = np.array(self.hyperparameters.lengths) * self._typical
        self._scaled = np.ascontiguousarray(self._points / lengths[self._block_of])
        self._factors = [_Factor(len(self._points))]
        self._predicted = None
        self._extend(0)

    def _extend(self, start: int) -> None:
        """Bring the factors up to date with the observations from number ``start`` on."""
        noise = self._noise[start:] / self._standard.scale**2
        if len(self._factors) == 1 and (noise != noise[:, :1]).any():
            first = self._factors[0]
            others = range(1, self._values.shape[1])
            self._factors = [first, *(first.copy() for _ in others)]
        indices = self.observed
        kernel = self._kernel(indices[start:])
        floor = self.hyperparameters.signal_variance * self.hyperparameters.noise_floor
        for factor, columns in self._columns():
            factor.extend(start, indices, kernel, noise[:, columns[0]] + floor)

    def _fitted(self) -> Hyperparameters:
        """Return the hyper-parameters of the largest posterior density."""
        standard = self._standard
        rows = list(self.observed)
        likelihood = _Posterior(
            self._points[rows] / self._typical[self._block_of],
            self._block_of,
            (self._values - standard.centre) / standard.scale,
            self._noise / standard.scale**2,
            self._prior,
        )
        found = scipy.optimize.minimize(
            likelihood.negative,
            np.log(_flat(self.hyperparameters)),
            jac=True,
            method="L-BFGS-B",
            bounds=likelihood.bounds,
            options={"maxiter": MOST_STEPS},
        )
        # Rounded, so that the last bits of a linear algebra library do not reach a plan.
        *lengths, signal, floor = np.exp(np.round(found.x, 2)).tolist()
        return Hyperparameters(tuple(lengths), signal, floor, self._prior.constant_variance)


class _Standard:
    """Units in which values are handled, so that one prior suits all.

    Args:
        outputs: how many values an observation has.
        centre: what is 0, if it is given.
        scale: what is 1, if it is given.
    """

    def __init__(self, outputs: int, centre: ArrayLike | None, scale: ArrayLike | None) -> None:
        self._given = centre is not None, scale is not None
        self.centre = np.zeros(outputs) + (0.0 if centre is None else np.asarray(centre))
        self.scale = np.ones(outputs) * (1.0 if scale is None else np.asarray(scale))
        if self.centre.shape != (outputs,) or self.scale.shape != (outputs,):
            raise ValueError(f"centre={centre!r}, scale={scale!r}: one number or {outputs} of them")
        if not (self.scale > 0).all():
            raise ValueError(f"scale={scale!r}: must be above 0")

    def update(self, values: Floats) -> None:
        """Take the units that were not given from the values, shape (n, outputs)."""
        if not self._given[0]:
            self.centre = values.mean(axis=0)
        if not self._given[1]:
            spread = values.std(axis=0)
            # One value, or many alike, show no scale of their own.
            self.scale = np.where(spread > 1e-12 * np.abs(values).max(axis=0), spread, 1.0)


class _Factor:
    """The Cholesky factor L of n observations, and V = inv(L) K(observed, all).

    Args:
        count: how many points there are, C.
    """

    def __init__(self, count: int) -> None:
        self._size = 0
        self._lower: Floats = np.zeros((8, 8))
        self._solved: Floats = np.zeros((8, count))

    def copy(self) -> "_Factor":
        """Return an equal factor that changes on its own."""
        other = _Factor(self._solved.shape[1])
        other._size = self._size
        other._lower, other._solved = self._lower.copy(), self._solved.copy()
        return other

    def extend(self, start: int, indices: tuple[int, ...], kernel: Floats, noise: Floats) -> None:
        """Replace all rows from number ``start`` on.

        Args:
            start: rows to keep.
            indices: points of all rows.
            kernel: covariance of the new rows' points with all, shape (m, C).
            noise: noise of the new rows, shape (m,).
        """
        self._size = len(indices)
        if self._size > len(self._lower):
            more = 2 * self._size - len(self._lower)
            self._lower = np.pad(self._lower, ((0, more), (0, more)))
            self._solved = np.pad(self._solved, ((0, more), (0, 0)))
        if start == self._size:
            return
        rows, columns = slice(start, self._size), list(indices[start:])
        beside = self._solved[:start, columns].T
        schur = kernel[:, columns] - beside @ beside.T
        schur[np.diag_indices_from(schur)] += noise
        right = kernel - beside @ self._solved[:start]
        if len(columns) == 1:
            # Rounding must not take away the noise that is surely there.
            pivot = sqrt(max(schur[0, 0], noise[0]))
            self._lower[start, start] = pivot
            self._solved[start] = right[0] / pivot
        else:
            corner = np.linalg.cholesky(schur)
            self._lower[rows, rows] = corner
            self._solved[rows] = scipy.linalg.solve_triangular(
                corner, right, lower=True, check_finite=False
            )
        self._lower[rows, :start] = beside

    def predict(self, residual: Floats, variance: float) -> tuple[Floats, Floats]:
        """Return mean (C, k) and standard deviation (C,) for residuals of shape (n, k)."""
        solved = self._solved[: self._size]
        mean = solved.T @ self._solve(residual)
        explained = np.einsum("nc,nc->c", solved, solved)
        return mean, np.sqrt(np.maximum(variance - explained, 0.0))

    def leave_one_out(self, residual: Floats) -> tuple[Floats, Floats]:
        """Return mean (n, k) and standard deviation (n,) of each row given all others."""
        inverse = self._solve(np.eye(self._size))
        precision = np.einsum("mn,mn->n", inverse, inverse)
        mean = residual - (inverse.T @ self._solve(residual)) / precision[:, None]
        return mean, 1 / np.sqrt(precision)

    def _solve(self, right: Floats) -> Floats:
        """Return inv(L) right."""
        if not self._size:
            return right
        lower = self._lower[: self._size, : self._size]
        return np.asarray(
            scipy.linalg.solve_triangular(lower, right, lower=True, check_finite=False)
        )


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
        self._squared = np.stack(
            [
                np.square(points[:, None, mask] - points[None, :, mask]).sum(axis=-1)
                for mask in (block_of == block for block in range(len(prior.lengths)))
            ]
        )
        shared = bool((noise == noise[:, :1]).all())
        self._groups = (
            [(residual, noise[:, 0])]
            if shared
            else [(residual[:, [k]], noise[:, k]) for k in range(residual.shape[1])]
        )
        self._constant = prior.constant_variance
        self._medians = np.log(_flat(prior))
        kinds = ["length"] * len(prior.lengths) + ["signal", "floor"]
        self._spread = np.array([PRIOR_SPREAD[kind] for kind in kinds])
        self.bounds = [(log(BOUNDS[kind][0]), log(BOUNDS[kind][1])) for kind in kinds]

    def negative(self, logs: Floats) -> tuple[float, Floats]:
        """Return minus the log posterior density, up to a constant, and its gradient."""
        signal, floor = exp(logs[-2]), exp(logs[-1])
        by_block = self._squared * np.exp(-2 * logs[:-2])[:, None, None]
        distance = np.sqrt(5 * by_block.sum(axis=0))
        decay = signal * np.exp(-distance)
        kernel = (1 + distance + distance**2 / 3) * decay
        slope = (1 + distance) * decay
        count = len(kernel)
        surprise = (logs - self._medians) / self._spread
        value, gradient = 0.5 * float(surprise @ surprise), surprise / self._spread
        for residual, noise in self._groups:
            covariance = kernel + self._constant
            covariance[np.diag_indices(count)] += signal * floor + noise
            lower = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
            weights = scipy.linalg.cho_solve((lower, True), residual, check_finite=False)
            inverse = scipy.linalg.cho_solve((lower, True), np.eye(count), check_finite=False)
            outputs = residual.shape[1]
            value += 0.5 * float((residual * weights).sum())
            value += outputs * float(np.log(np.diag(lower)).sum())
            outer = 0.5 * (outputs * inverse - weights @ weights.T)
            trace = signal * floor * float(np.trace(outer))
            gradient[:-2] += 5 / 3 * np.einsum("bij,ij->b", by_block, outer * slope)
            gradient[-2] += float((outer * kernel).sum()) + trace
            gradient[-1] += trace
        return value, gradient


def matern(squared: Floats) -> Floats:
    """Return the Matern 5/2 correlation at squared distances over squared length scales."""
    distance = np.sqrt(5 * squared)
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))


def _flat(parameters: Hyperparameters) -> Floats:
    """Return the hyper-parameters that are fitted as one array."""
    return np.array([*parameters.lengths, parameters.signal_variance, parameters.noise_floor])
