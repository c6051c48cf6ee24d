"""Gaussian processes over a finite set of points, the surrogates of every search that learns.

A planner can only ever ask about the configurations (or plans) that there are, so all points are
known from the start. That makes updates cheap; see ``planners.bayesopt.cholesky``.

The covariance is that of ``planners.bayesopt.cholesky``, where each block b of features has a
length scale,

    |x - x'|^2 = sum over blocks b of |x_b - x'_b|^2 / l_b^2

Its constant stands for an unknown mean. Hyper-parameters are fitted on a schedule only; see
``planners.bayesopt.hyperparameters``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planners.bayesopt.cholesky import Factor
from planners.bayesopt.hyperparameters import Hyperparameters, fitted
from scenarios.compiled import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

REFIT_AT = (4, 8, 16, 32, 64, 128, 256, 512)


class Grid:
    """Points of a process, and what follows from them alone; processes may share it.

    Args:
        points: features of all points that can ever be asked, shape (C, D).
        blocks: widths of the blocks of features that get a length scale each, such as the knobs;
            they add up to D. By default all features share one.

    Attributes:
        relative: the points, each block over the typical (root mean square) distance in it.
        initial: hyper-parameters before anything is observed.

    Raises:
        ValueError: the blocks do not add up.
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
        # A block in which all points agree says nothing; any distance will do.
        self.typical: Floats = np.sqrt(np.where(variance > 0, 2 * variance, 1.0))
        self.relative: Floats = points / self.typical[self.block_of]
        self.initial = Hyperparameters((2.0,) * len(widths))
        self._initially_scaled = self._scaled(self.initial)

    def __len__(self) -> int:
        """Return how many points there are."""
        return len(self.points)

    def scaled(self, hyperparameters: Hyperparameters) -> Floats:
        """Return the points over the length scales of their blocks, shape (C, D)."""
        # Before the first fit all processes have the same.
        if hyperparameters is self.initial:
            return self._initially_scaled
        return self._scaled(hyperparameters)

    def _scaled(self, hyperparameters: Hyperparameters) -> Floats:
        lengths = np.array(hyperparameters.lengths) * self.typical
        return np.ascontiguousarray(self.points / lengths[self.block_of])


class GaussianProcess:
    """A Gaussian process over C points that takes observations as they come.

    What follows from observations is worked out when it is asked for, so that several can be taken
    in a row at the cost of the last.

    Args:
        points: features of all points that can ever be asked, shape (C, D), or a `Grid` of them,
            which processes over the same points may share.
        outputs: values per observation. They share the hyper-parameters, and all the work as long
            as their noise, in units of their scales, is equal; otherwise each has a factor of its
            own.
        blocks: see `Grid`; None where one is given.
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
        points: Floats | Grid,
        outputs: int = 1,
        *,
        blocks: Sequence[int] | None = None,
        refit_at: Sequence[int] = REFIT_AT,
        prior: Hyperparameters | None = None,
        centre: ArrayLike | None = None,
        scale: ArrayLike | None = None,
    ) -> None:
        self._grid = points if isinstance(points, Grid) else Grid(points, blocks)
        self._prior = self.hyperparameters = prior or self._grid.initial
        if len(self._prior.lengths) != len(self._grid.widths):
            widths = len(self._grid.widths)
            raise ValueError(f"prior: {widths} length scales are needed, one per block")
        self._refit_at = frozenset(refit_at)
        self._first_fit = min(self._refit_at, default=0)
        self._standard = _Standard(outputs, centre, scale)
        self._rows: dict[int, int] = {}
        # Values, and the variances of their noise.
        self._taken: Floats = np.empty((8, 2, outputs))
        self._factors: list[Factor] = []
        self._predicted: tuple[Floats, Floats] | None = None
        # Rows from there on are not yet as the factors should have them.
        self._changed = 0
        self._stale_units = False
        self._start_anew()

    def __len__(self) -> int:
        """Return how many points were observed."""
        return len(self._rows)

    @property
    def observed(self) -> tuple[int, ...]:
        """Indices of the points that were observed, in order."""
        return tuple(self._rows)

    @property
    def _values(self) -> Floats:
        """Values of the observations, shape (n, outputs)."""
        return self._taken[: len(self._rows), 0]

    @property
    def _noise(self) -> Floats:
        """Variances of their noise, shape (n, outputs)."""
        return self._taken[: len(self._rows), 1]

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
        taken = np.empty((1, *self._taken.shape[1:]))
        taken[:, 0], taken[:, 1] = values, noise_variance
        self._observe((index,), taken)

    def observe_all(
        self, indices: Sequence[int], values: Floats, noise_variance: Floats | float = 0.0
    ) -> None:
        """Take the values of many points, as if one after the other; only the last of each counts.

        Fits on the way see these last values, too.

        Args:
            indices: which points, m of them.
            values: their values, shape (m, outputs).
            noise_variance: see `observe`; likewise, or one number.

        Raises:
            ValueError: see `observe`.
            IndexError: there is no such point.
        """
        taken = np.empty((len(indices), *self._taken.shape[1:]))
        taken[:, 0], taken[:, 1] = values, noise_variance
        if len(indices) == 1:  # As each step of a search has it: nothing to put in order.
            self._observe(indices, taken)
            return
        last = dict(zip(indices, range(len(indices)), strict=True))
        if len(last) < len(indices):
            taken = taken[list(last.values())]
        # Hyper-parameters are fitted on the way, so often as by single observations.
        start, count, points = 0, len(self), tuple(last)
        for at, index in enumerate(points, start=1):
            new = index not in self._rows
            count += new
            if at == len(points) or (new and count in self._refit_at):
                self._observe(points[start:at], taken[start:at])
                start = at

    def _observe(self, indices: Sequence[int], taken: Floats) -> None:
        """Take values and noise of different points, shape (m, 2, outputs).

        Args:
            indices: the points; after the last of them hyper-parameters may have to be fitted.
            taken: their values and noise.
        """
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
        # The factors hold the noise of earlier observations, but not their values.
        changed = _put(self._taken, before, now, rows, taken)
        self._predicted = None
        if now < self._first_fit:
            self._stale_units = True
            self._start_anew()
        elif now > before and now in self._refit_at:
            self._standard.update(self._values)
            self._stale_units = False
            self.hyperparameters = self._fitted()
            self._start_anew()
        else:
            self._changed = min(self._changed, changed)

    def predict(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the values at all points, each (C, outputs).

        The standard deviation is that of the value itself, without an observation's noise.
        """
        if self._predicted is None:
            self._catch_up()
            values, centre, scale = self._values, self._standard.centre, self._standard.scale
            (mean, sd), *others = [
                factor.predict(values[:, at], centre[at], scale[at])
                for factor, at in self._columns()
            ]
            if others:
                mean = np.hstack([mean, *(its for its, _ in others)])
                sd = np.hstack([sd, *(its for _, its in others)])
            self._predicted = mean, sd
        return self._predicted

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Return what the others say of each observation: mean and sd, each (n, outputs).

        Of the observation, noise included, under the present hyper-parameters (Rasmussen and
        Williams 2006, eq. 5.12), in the order of `observed`.
        """
        self._catch_up()
        standard = self._standard
        residual = (self._values - standard.centre) / standard.scale
        moments = [
            factor.leave_one_out(residual[:, columns]) for factor, columns in self._columns()
        ]
        mean = np.hstack([mean for mean, _ in moments])
        sd = np.hstack([np.broadcast_to(sd[:, None], mean.shape) for mean, sd in moments])
        return standard.centre + standard.scale * mean, standard.scale * sd

    def _columns(self) -> list[tuple[Factor, slice]]:
        """Pair each factor with the outputs that it serves."""
        if len(self._factors) == 1:
            return [(self._factors[0], slice(None))]
        return [(factor, slice(at, at + 1)) for at, factor in enumerate(self._factors)]

    def _start_anew(self) -> None:
        """Have all factorised anew, as hyper-parameters or units have changed."""
        self._factors = []
        self._changed = 0
        self._predicted = None

    def _catch_up(self) -> None:
        """Work what was observed into the factors."""
        if self._stale_units:
            self._standard.update(self._values)
            self._stale_units = False
        if not self._factors:
            its = self.hyperparameters
            scaled = self._grid.scaled(its)
            self._factors = [Factor(scaled, its.signal_variance, its.constant_variance)]
        if self._changed < len(self):
            self._extend(self._changed)
            self._changed = len(self)

    def _extend(self, start: int) -> None:
        """Replace the factors' rows from one observation on."""
        noise, scale = self._noise[start:], self._standard.scale
        if len(self._factors) == 1 and len(scale) > 1:
            relative = noise / scale**2
            if (relative != relative[:, :1]).any():
                first = self._factors[0]
                self._factors = [first, *(first.copy() for _ in scale[1:])]
        new = np.array(list(self._rows)[start:], dtype=np.int64)
        floor = self.hyperparameters.signal_variance * self.hyperparameters.noise_floor
        for at, factor in enumerate(self._factors):
            factor.extend(start, new, noise[:, at], scale[at], floor)

    def _fitted(self) -> Hyperparameters:
        """Return the hyper-parameters of the largest posterior density."""
        standard, rows = self._standard, list(self._rows)
        return fitted(
            self._grid.relative[rows],
            self._grid.widths,
            (self._values - standard.centre) / standard.scale,
            self._noise / standard.scale**2,
            self.hyperparameters,
            self._prior,
        )


class _Standard:
    """Units in which values are handled, so that one prior suits all.

    Args:
        outputs: how many values an observation has.
        centre: what is 0, if it is given.
        scale: what is 1, if it is given.
    """

    def __init__(self, outputs: int, centre: ArrayLike | None, scale: ArrayLike | None) -> None:
        self._given = centre is not None, scale is not None
        self.centre: Floats = np.empty(outputs)
        self.scale: Floats = np.empty(outputs)
        try:
            self.centre[:] = 0.0 if centre is None else centre
            self.scale[:] = 1.0 if scale is None else scale
        except ValueError:
            raise ValueError(
                f"centre={centre!r}, scale={scale!r}: one number or {outputs} of them"
            ) from None
        if not self.scale.min() > 0:
            raise ValueError(f"scale={scale!r}: must be above 0")

    def update(self, values: Floats) -> None:
        """Take the units that were not given from the values, shape (n, outputs)."""
        if not self._given[0]:
            self.centre = values.mean(axis=0)
        if not self._given[1]:
            spread = values.std(axis=0)
            # One value, or many alike, show no scale of their own.
            self.scale = np.where(spread > 1e-12 * np.abs(values).max(axis=0), spread, 1.0)


@compiled
def _first_bad(taken: Floats) -> int:
    """Return the first of m observations that cannot be taken, -1 if all can; see ``_observe``."""
    for row in range(taken.shape[0]):
        for output in range(taken.shape[2]):
            value, noise = taken[row, 0, output], taken[row, 1, output]
            if not (np.isfinite(value) and np.isfinite(noise) and noise >= 0):
                return row
    return -1


@compiled
def _put(kept: Floats, before: int, now: int, rows: Integers, taken: Floats) -> int:
    """Put observations where they are kept; return the first row that is new or of other noise.

    Args:
        kept: values and noise of observations, shape (rows or more, 2, outputs).
        before: how many there were.
        now: how many there are with these.
        rows: where m others are to go, shape (m,).
        taken: their values and noise, shape (m, 2, outputs).

    Returns:
        The row; ``now`` if there is none.
    """
    first = now
    for at, row in enumerate(rows):
        for output in range(kept.shape[2]):
            if row >= before or kept[row, 1, output] != taken[at, 1, output]:
                first = min(first, row)
            kept[row, :, output] = taken[at, :, output]
    return first
