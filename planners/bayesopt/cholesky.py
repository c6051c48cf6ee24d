"""The Cholesky factor of the covariance of a few observations, and predictions from it.

The covariance is a constant plus a Matern 5/2 kernel (Rasmussen and Williams 2006, eq. 4.17),

    c + s^2 (1 + r + r^2 / 3) exp(-r),    r^2 = 5 |x - x'|^2

Let L be the factor, and V = inv(L) K(observed, all C points). For a new observation, the column of
V at its point gives the new row of L. So one more observation costs O(n C), without solving a
system of equations. For few observations, the overhead of library calls dominates, so compiled
loops are used.
"""

from math import exp, sqrt
from typing import TypeVar

import numpy as np
import scipy  # submodules load at first use
from numpy.typing import NDArray

from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints

Number = TypeVar("Number", np.float64, np.int64)

FEW = 100_000
"""Largest n m C for which m > 1 new rows are added to n rows by compiled loops; for larger
products, a library is used. A single row is always added by a compiled loop.
"""


class Factor:
    """The Cholesky factor L of n observations, and V = inv(L) K(observed, all).

    Args:
        points: all points, divided by their length scales, of shape (C, D).
        signal: variance of the Matern part, s^2.
        constant: variance of the unknown mean, c.
    """

    def __init__(self, points: Floats, signal: float, constant: float) -> None:
        self._points = points
        self._signal, self._constant = signal, constant
        self._size = 0
        self._chosen: Ints = np.zeros(8, dtype=np.int64)
        self._lower: Floats = np.zeros((8, 8))
        self._solved: Floats = np.zeros((8, len(points)))

    def extend(
        self, start: int, chosen: Ints, noise: Floats, unit: float = 1.0, floor: float = 0.0
    ) -> None:
        """Replace the rows at index ``start`` and above with m new rows.

        Args:
            start: number of rows to keep.
            chosen: indices of the points of the new rows, of shape (m,).
            noise: noise variance of each new row, of shape (m,); its unit is the square of
                ``unit``.
            unit: scale of the values; noise variances are divided by its square.
            floor: noise variance added to every row, in the unit of the covariance.
        """
        self._size = start + len(chosen)
        if self._size > len(self._lower):
            rows = 2 * self._size
            self._chosen = _enlarged(self._chosen, rows)
            self._lower = _enlarged(self._lower, rows, rows)
            self._solved = _enlarged(self._solved, rows, len(self._points))
        self._chosen[start : self._size] = chosen
        if len(chosen) == 1 or self._size * len(chosen) * len(self._points) <= FEW:
            _add_rows(
                *(start, self._chosen[: self._size], noise, unit, floor),
                *(self._points, self._signal, self._constant, self._lower, self._solved),
            )
        elif len(chosen):
            self._add_block(start, noise / unit**2 + floor)

    def _add_block(self, start: int, noise: Floats) -> None:
        rows = slice(start, self._size)
        columns = self._chosen[rows]
        kernel = _covariance(self._points, columns, self._signal, self._constant)
        beside = self._solved[:start, columns].T
        schur = kernel[:, columns] - beside @ beside.T
        np.einsum("nn->n", schur)[:] += noise
        right = kernel - beside @ self._solved[:start]
        corner = np.asarray(np.linalg.cholesky(schur), dtype=np.float64)
        self._lower[rows, rows] = corner
        self._solved[rows] = _solve_lower(corner, right)
        self._lower[rows, :start] = beside

    def predict(self, values: Floats, centre: float, scale: float) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation at all points, each of shape (C,).

        ``values`` are the observations, of shape (n,). ``centre`` is their prior mean, and
        ``scale`` is the unit of the covariance.
        """
        variance = self._signal + self._constant
        lower, solved = self._lower[: self._size], self._solved[: self._size]
        return _moments(lower, solved, values, centre, scale, variance)

    def leave_one_out(self, residual: Floats) -> tuple[Floats, Floats]:
        """Return each observation's mean (n, k) and deviation (n,), given all the others."""
        inverse = self._solve(np.eye(self._size))
        precision = np.einsum("mn,mn->n", inverse, inverse)
        mean = residual - (inverse.T @ self._solve(residual)) / precision[:, None]
        return mean, 1 / np.sqrt(precision)

    def _solve(self, right: Floats) -> Floats:
        """Return inv(L) right."""
        if not self._size:
            return right
        return _solve_lower(self._lower[: self._size, : self._size], right)


def _enlarged(array: NDArray[Number], *shape: int) -> NDArray[Number]:
    """Return a copy with more rows and columns, filled with 0; ``numpy.pad`` takes far longer."""
    larger = np.zeros(shape, array.dtype)
    larger[tuple(map(slice, array.shape))] = array
    return larger


@compiled
def _add_rows(
    start: int,
    chosen: Ints,
    noise: Floats,
    unit: float,
    floor: float,
    points: Floats,
    signal: float,
    constant: float,
    lower: Floats,
    solved: Floats,
) -> None:
    """Write the rows of L and V at index ``start`` and above.

    The method is Cholesky factorisation row by row (Golub and Van Loan, Matrix Computations,
    section 4.2), which takes O(n C) for each row. ``chosen`` has the points of all n rows.
    ``noise`` has the variances of the written rows; their unit is the square of ``unit``. `Factor`
    and `Factor.extend` describe the other arguments.
    """
    for row in range(start, len(chosen)):
        point, beyond = chosen[row], solved[row]
        _covary(points, point, signal, constant, beyond)
        its_noise = noise[row - start] / unit**2 + floor
        explained = 0.0
        for other in range(row):
            explained += solved[other, point] * solved[other, point]
            lower[row, other] = solved[other, point]
        # Rounding must not remove the noise.
        pivot = sqrt(max(beyond[point] - explained + its_noise, its_noise))
        lower[row, row] = pivot
        # Forward substitution for all points at once turns the covariance into the new row of V.
        for other in range(row):
            beside, its = lower[row, other], solved[other]
            for column in range(len(beyond)):
                beyond[column] -= beside * its[column]
        for column in range(len(beyond)):
            beyond[column] /= pivot


@compiled
def _covariance(points: Floats, chosen: Ints, signal: float, constant: float) -> Floats:
    """Return the covariance of m chosen points with all C points, of shape (m, C)."""
    covariance = np.empty((len(chosen), len(points)))
    for row, point in enumerate(chosen):
        _covary(points, point, signal, constant, covariance[row])
    return covariance


@compiled
def _covary(points: Floats, point: int, signal: float, constant: float, row: Floats) -> None:
    """Write the covariance of a point with all points into ``row``, of shape (C,)."""
    for column in range(len(points)):
        squared = 0.0
        for feature in range(points.shape[1]):
            squared += (points[point, feature] - points[column, feature]) ** 2
        distance = sqrt(5 * squared)
        matern = (1 + distance + distance * distance / 3) * exp(-distance)
        row[column] = constant + signal * matern


@compiled
def _moments(
    lower: Floats, solved: Floats, values: Floats, centre: float, scale: float, variance: float
) -> tuple[Floats, Floats]:
    """Predict like ``Factor.predict``, from the first n rows of L and of V, in O(n C + n^2).

    Algorithm 2.1 of Rasmussen and Williams 2006: with w = inv(L) residual, by forward substitution,
    the mean is V^T w, and the sum of the squares of V over its rows is the explained variance.
    """
    rows, count = solved.shape
    explained, mean, sd = np.zeros(count), np.zeros(count), np.empty(count)
    white = np.empty(rows)
    for row in range(rows):
        its = solved[row]
        for column in range(count):
            explained[column] += its[column] * its[column]
        left = (values[row] - centre) / scale
        for other in range(row):
            left -= lower[row, other] * white[other]
        left /= lower[row, row]
        white[row] = left
        for column in range(count):
            mean[column] += left * its[column]
    for column in range(count):
        sd[column] = scale * sqrt(max(variance - explained[column], 0.0))
        mean[column] = centre + scale * mean[column]
    return mean, sd


def _solve_lower(lower: Floats, right: Floats) -> Floats:
    """Return inv(L) right for a lower triangular matrix of shape (n, n), with n above 0.

    This does the work of ``scipy.linalg.solve_triangular`` without its costly checks.
    """
    # LAPACK needs column-major order, as in the transpose of an array in C order.
    found, info = scipy.linalg.lapack.dtrtrs(lower.T, right, lower=0, trans=1)
    if info:
        raise np.linalg.LinAlgError(f"singular matrix: row {info - 1}")
    return np.asarray(found)
