"""The Cholesky factor of a few observations' covariance, and what it says of all points.

With L the factor and V = inv(L) K(observed, all C points), the column of V that belongs to a new
observation is the new row of L. One more observation costs O(n C), with no solve.

A search of a few steps has so few observations that calling a library for each operation takes many
times as long as what it computes, so small ones are worked out in compiled loops.
"""

from math import sqrt

import numpy as np
import scipy  # Its parts are loaded when they are first used.
from numpy.typing import NDArray

from scenarios.compiled import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FEW = 100_000
"""Multiplications, of n rows by m new ones at C points, up to which several rows are added in
compiled loops, as one always is; beyond it, a library does so."""


class Factor:
    """The Cholesky factor L of n observations, and V = inv(L) K(observed, all).

    Args:
        count: how many points there are, C.
    """

    def __init__(self, count: int) -> None:
        self._size = 0
        self._points: Integers = np.zeros(8, dtype=np.int64)
        self._lower: Floats = np.zeros((8, 8))
        self._solved: Floats = np.zeros((8, count))

    def copy(self) -> "Factor":
        """Return an equal factor that changes on its own."""
        other = Factor(self._solved.shape[1])
        other._size = self._size
        other._points = self._points.copy()
        other._lower, other._solved = self._lower.copy(), self._solved.copy()
        return other

    def extend(self, start: int, points: Integers, kernel: Floats, noise: Floats) -> None:
        """Replace all rows from number ``start`` on by m others.

        Args:
            start: rows to keep.
            points: points of the new rows, shape (m,).
            kernel: their covariance with all points, shape (m, C).
            noise: noise of the new rows, shape (m,).
        """
        self._size = start + len(points)
        if self._size > len(self._lower):
            more = 2 * self._size - len(self._lower)
            self._points = np.pad(self._points, (0, more))
            self._lower = np.pad(self._lower, ((0, more), (0, more)))
            self._solved = np.pad(self._solved, ((0, more), (0, 0)))
        self._points[start : self._size] = points
        if len(points) == 1 or self._size * kernel.size <= FEW:
            _add_rows(start, self._points, kernel, noise, self._lower, self._solved)
        elif len(points):
            self._add_block(start, kernel, noise)

    def _add_block(self, start: int, kernel: Floats, noise: Floats) -> None:
        rows = slice(start, self._size)
        columns = self._points[rows]
        beside = self._solved[:start, columns].T
        schur = kernel[:, columns] - beside @ beside.T
        np.einsum("nn->n", schur)[:] += noise
        right = kernel - beside @ self._solved[:start]
        corner = np.asarray(np.linalg.cholesky(schur), dtype=np.float64)
        self._lower[rows, rows] = corner
        self._solved[rows] = _solve_lower(corner, right)
        self._lower[rows, :start] = beside

    def predict(
        self, values: Floats, centre: Floats, scale: Floats, variance: float
    ) -> tuple[Floats, Floats]:
        """Return mean and standard deviation at all points, each of shape (C, k).

        Args:
            values: what was observed, k values each, shape (n, k).
            centre: what they vary about, shape (k,).
            scale: the unit of their covariance, shape (k,).
            variance: variance before any observation, in squares of that unit.
        """
        lower, solved = self._lower[: self._size], self._solved[: self._size]
        return _moments(lower, solved, values, centre, scale, variance)

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
        return _solve_lower(self._lower[: self._size, : self._size], right)


@compiled
def _add_rows(
    start: int, points: Integers, kernel: Floats, noise: Floats, lower: Floats, solved: Floats
) -> None:
    """Write m rows of a factor, one after the other.

    Args:
        start: number of the first.
        points: points of all rows.
        kernel: see ``Factor.extend``.
        noise: see there.
        lower: L, which is written to.
        solved: V, likewise.
    """
    for new in range(len(kernel)):
        row, point = start + new, points[start + new]
        explained = 0.0
        for other in range(row):
            explained += solved[other, point] * solved[other, point]
            lower[row, other] = solved[other, point]
        # Rounding must not take away the noise that is surely there.
        pivot = sqrt(max(kernel[new, point] - explained + noise[new], noise[new]))
        lower[row, row] = pivot
        beyond = solved[row]
        beyond[:] = kernel[new]
        for other in range(row):
            beside, its = lower[row, other], solved[other]
            for column in range(len(beyond)):
                beyond[column] -= beside * its[column]
        for column in range(len(beyond)):
            beyond[column] /= pivot


@compiled
def _moments(
    lower: Floats, solved: Floats, values: Floats, centre: Floats, scale: Floats, variance: float
) -> tuple[Floats, Floats]:
    """Return what ``Factor.predict`` does, from the first n rows of L and of V."""
    rows, count, outputs = len(solved), solved.shape[1], values.shape[1]
    explained, mean, sd = np.zeros(count), np.zeros((outputs, count)), np.empty((count, outputs))
    white = np.empty((rows, outputs))
    for row in range(rows):
        its = solved[row]
        for column in range(count):
            explained[column] += its[column] * its[column]
        for output in range(outputs):
            left = (values[row, output] - centre[output]) / scale[output]
            for other in range(row):
                left -= lower[row, other] * white[other, output]
            left /= lower[row, row]
            white[row, output] = left
            for column in range(count):
                mean[output, column] += left * its[column]
    for column in range(count):
        deviation = sqrt(max(variance - explained[column], 0.0))
        for output in range(outputs):
            sd[column, output] = scale[output] * deviation
    for output in range(outputs):
        for column in range(count):
            mean[output, column] = centre[output] + scale[output] * mean[output, column]
    return mean.T, sd


def _solve_lower(lower: Floats, right: Floats) -> Floats:
    """Return inv(L) right for a lower triangular matrix of shape (n, n), n above 0.

    As ``scipy.linalg.solve_triangular`` does it, which spends most of its time on checks.
    """
    # LAPACK wants columns after one another, which the transpose of an array in C order has.
    found, info = scipy.linalg.lapack.dtrtrs(lower.T, right, lower=0, trans=1)
    if info:
        raise np.linalg.LinAlgError(f"singular matrix: row {info - 1}")
    return np.asarray(found)
