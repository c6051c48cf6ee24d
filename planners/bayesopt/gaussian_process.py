"""Gaussian processes over a finite set of points.

All points are known from the start, which makes updates cheap. ``planners.bayesopt.cholesky``
defines the covariance. Each block b of features has its own length scale l_b:

    |x - x'|^2 = sum over blocks b of |x_b - x'_b|^2 / l_b^2

The constant in the covariance represents an unknown mean. Hyper-parameters are fitted at given
numbers of observations (``planners.bayesopt.hyperparameters``).
"""

from collections.abc import Sequence

import numpy as np

from planners.bayesopt.cholesky import Factor
from planners.bayesopt.hyperparameters import Hyperparameters, fitted
from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints

REFIT_AT = (4, 8, 16, 32, 64, 128, 256, 512)


class Grid:
    """The points of a process and values derived from them; several processes can share a grid.

    Args:
        points: features of all points, of shape (C, D).
        blocks: number of features in each block, D in total; by default, all are one block.

    Attributes:
        relative: the points, with each block divided by the root mean square distance in it.
        initial: hyper-parameters before anything is observed.

    Raises:
        ValueError: the sum of ``blocks`` is not D.
    """

    def __init__(self, points: Floats, blocks: Sequence[int] | None = None) -> None:
        points = np.ascontiguousarray(points, dtype=np.float64)
        if points.ndim != 2:
            raise ValueError(f"points: shape {points.shape}, must be (C, D)")
        widths = (points.shape[1],) if blocks is None else tuple(blocks)
        if points.shape[1] == 0:
            widths = ()
        if sum(widths) != points.shape[1] or min(widths, default=1) < 1:
            raise ValueError(f"blocks={widths}: must be above 0 and add up to {points.shape[1]}")
        self.points = points
        self.widths = widths
        self.block_of = np.repeat(np.arange(len(widths)), widths)
        variance = np.bincount(self.block_of, points.var(axis=0), len(widths))
        # In a block in which all points are equal, any distance can be used.
        self.typical: Floats = np.sqrt(np.where(variance > 0, 2 * variance, 1.0))
        self.relative: Floats = points / self.typical[self.block_of]
        self.initial = Hyperparameters((2.0,) * len(widths))
        self._initially: Floats = self._scaled(self.initial)

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    def scaled(self, hyperparameters: Hyperparameters) -> Floats:
        """Return the points with each block divided by its length scale, of shape (C, D)."""
        return self._initially if hyperparameters is self.initial else self._scaled(hyperparameters)

    def _scaled(self, hyperparameters: Hyperparameters) -> Floats:
        lengths = np.array(hyperparameters.lengths) * self.typical
        return np.ascontiguousarray(self.points / lengths[self.block_of])


class GaussianProcess:
    """A Gaussian process over C points; new observations are processed at the next prediction.

    Args:
        points: features of all points, of shape (C, D), or a `Grid`.
        blocks: as in `Grid`; None if ``points`` is a `Grid`.
        refit_at: numbers of observations at which hyper-parameters are fitted. If this is empty,
            they are never fitted, and ``centre`` and ``scale`` are required.
        prior: initial hyper-parameters, which are also the medians of their prior distribution.
        centre: prior mean; by default the mean of the values at the last fit.
        scale: standard deviation around the centre; by default that of the values at the last fit.

    Raises:
        ValueError: shapes do not match, or the scale is not above 0.
    """

    def __init__(
        self,
        points: Floats | Grid,
        *,
        blocks: Sequence[int] | None = None,
        refit_at: Sequence[int] = REFIT_AT,
        prior: Hyperparameters | None = None,
        centre: float | None = None,
        scale: float | None = None,
    ) -> None:
        self._grid = points if isinstance(points, Grid) else Grid(points, blocks)
        self._prior = self.hyperparameters = prior or self._grid.initial
        if len(self._prior.lengths) != len(self._grid.widths):
            widths = len(self._grid.widths)
            raise ValueError(f"prior: {widths} length scales are needed, one per block")
        if scale is not None and not scale > 0:
            raise ValueError(f"scale={scale!r}: must be above 0")
        self._refit_at = frozenset(refit_at)
        self._first_fit = min(self._refit_at, default=0)
        self._units_given = centre is not None, scale is not None
        self._centre = 0.0 if centre is None else float(centre)
        self._scale = 1.0 if scale is None else float(scale)
        self._rows: dict[int, int] = {}
        # The columns are values and the variances of their noise.
        self._taken: Floats = np.empty((8, 2))
        self._stale_units = False
        self._factor: Factor | None = None
        # the factor is outdated from this row on
        self._changed = 0
        self._predicted: tuple[Floats, Floats] | None = None

    def __len__(self) -> int:
        """Return the number of observed points."""
        return len(self._rows)

    @property
    def observed(self) -> tuple[int, ...]:
        """Indices of the observed points, in order of observation."""
        return tuple(self._rows)

    @property
    def _values(self) -> Floats:
        """Values of the observations, of shape (n,)."""
        return self._taken[: len(self._rows), 0]

    @property
    def _noise(self) -> Floats:
        """Noise variances of the observations, of shape (n,)."""
        return self._taken[: len(self._rows), 1]

    def observe(self, index: int, value: float, noise_variance: float = 0.0) -> None:
        """Observe a point in place of any earlier observation; errors are as in `observe_all`."""
        self._observe((index,), np.array([[value, noise_variance]]))

    def observe_all(
        self, indices: Sequence[int], values: Floats, noise_variance: Floats | float = 0.0
    ) -> None:
        """Observe m points as if one after the other; each point's last observation counts.

        Args:
            indices: indices of the points.
            values: observed values of the points, of shape (m, 1).
            noise_variance: noise variances of the values, such as those of sample means, as an
                array of shape (m, 1) or as one number.

        Raises:
            ValueError: a value is not finite, or a variance is negative or not finite.
            IndexError: an index is out of range.
        """
        taken = np.empty((len(indices), 2))
        taken[:, :1] = values
        taken[:, 1:] = noise_variance
        if len(indices) == 1:  # as in most steps of a search
            self._observe(tuple(indices), taken)
            return
        last = dict(zip(indices, range(len(indices)), strict=True))
        if len(last) < len(indices):
            taken = taken[list(last.values())]
        # Hyper-parameters are fitted as often as by single observations.
        start, count, points = 0, len(self), tuple(last)
        for at, index in enumerate(points, start=1):
            new = index not in self._rows
            count += new
            if at == len(points) or (new and count in self._refit_at):
                self._observe(points[start:at], taken[start:at])
                start = at

    def _observe(self, indices: Sequence[int], taken: Floats) -> None:
        """Add m observations, with values and noise variances in ``taken``; refit if required."""
        known, many = self._rows, len(self._grid)
        for index in indices:
            if not 0 <= index < many:
                raise IndexError(f"point {index}: there are {many}")
        at = _first_bad(taken)
        if at >= 0:
            value, noise = taken[at].tolist()
            raise ValueError(f"point {indices[at]}: value {value}, noise variance {noise}")
        before = len(known)
        rows = np.array([known.setdefault(index, len(known)) for index in indices])
        now = len(known)
        while now > len(self._taken):
            self._taken = np.concatenate([self._taken, np.empty_like(self._taken)])
        changed = _write(taken, rows, before, self._taken)
        self._predicted = None
        if now < self._first_fit and not self._units_given[1]:
            self._stale_units = True
            self._start_anew()
        elif now > before and now in self._refit_at:
            self._update_units()
            self.hyperparameters = fitted(
                self._grid.relative[list(known)],
                self._grid.widths,
                (self._values - self._centre) / self._scale,
                self._noise / self._scale**2,
                self.hyperparameters,
                self._prior,
            )
            self._start_anew()
        else:
            # A given scale stays, and so does the factor, which does not depend on the centre.
            self._stale_units |= now < self._first_fit
            self._changed = min(self._changed, changed)

    def predict(self) -> tuple[Floats, Floats]:
        """Return means and noise-free standard deviations at all points, each of shape (C, 1)."""
        if self._predicted is None:
            mean, sd = self._caught_up().predict(self._values, self._centre, self._scale)
            self._predicted = mean[:, None], sd[:, None]
        return self._predicted

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Return each observation's mean and deviation given all others, each of shape (n, 1).

        Deviations are standard deviations that include noise. Rows are in the order of `observed`
        (Rasmussen and Williams 2006, eq. 5.12).
        """
        factor = self._caught_up()
        residual = (self._values - self._centre) / self._scale
        mean, sd = factor.leave_one_out(residual[:, None])
        return self._centre + self._scale * mean, self._scale * sd[:, None]

    def _start_anew(self) -> None:
        """Discard the factor after a change of hyper-parameters or units."""
        self._factor = None
        self._changed = 0

    def _caught_up(self) -> Factor:
        """Return the Cholesky factor, extended to all observations."""
        if self._stale_units:
            self._update_units()
        its = self.hyperparameters
        if self._factor is None:
            scaled = self._grid.scaled(its)
            self._factor = Factor(scaled, its.signal_variance, its.constant_variance)
        if self._changed < len(self):
            new = np.array(list(self._rows)[self._changed :], dtype=np.int64)
            floor = its.signal_variance * its.noise_floor
            noise = self._noise[self._changed :]
            self._factor.extend(self._changed, new, noise, self._scale, floor)
            self._changed = len(self)
        return self._factor

    def _update_units(self) -> None:
        """Set centre and scale from the observed values, unless the caller gave them."""
        self._stale_units = False
        if not self._units_given[0]:
            self._centre = float(self._values.mean())
        if not self._units_given[1]:
            spread = float(self._values.std())
            # equal values have no scale
            self._scale = spread if spread > 1e-12 * np.abs(self._values).max() else 1.0


@compiled
def _first_bad(taken: Floats) -> int:
    """Return the first of m observations that `GaussianProcess.observe_all` refuses, or -1."""
    for at in range(len(taken)):
        value, noise = taken[at]
        if not (np.isfinite(value) and np.isfinite(noise) and noise >= 0):
            return at
    return -1


@compiled
def _write(taken: Floats, rows: Ints, before: int, kept: Floats) -> int:
    """Write observations to their rows of ``kept``; return the first row that the factor lacks.

    The factor holds the noise of the ``before`` earlier observations, but not their values. If no
    row is lacking, the result is the number of rows of ``kept``.
    """
    changed = len(kept)
    for at, row in enumerate(rows):
        if row >= before or kept[row, 1] != taken[at, 1]:
            changed = min(changed, row)
        kept[row, 0], kept[row, 1] = taken[at, 0], taken[at, 1]
    return changed
