"""A latency surface over slices, batch and processes: a physical form, and a Gaussian process.

The form of a model is ``(a^m + (w b^q p^r (7/g)^k)^m)^(1/m)`` for a batch of b on g of 7 compute
slices with p processes of the model: a floor a, of launching the work, and the work itself, with m
the sharpness of the bend between them (1 adds the two). What measurements leave over, in
logarithms, is a Gaussian process (Rasmussen and Williams 2006, chapter 2) with one part that all
models share and one of each model's own, both Matern 5/2 (ibid., eq. 4.17).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

FORM = (
    "log_floor_ms",
    "log_work_ms",
    "slice_exponent",
    "process_exponent",
    "batch_exponent",
    "log_sharpness",
)
"""The coefficients of a form: ln a, ln w (both in ms), k, r, q and ln m."""

FEATURES = ("batch", "slices", "processes", "load")
"""What likeness of two points is measured by: logarithms, of the load as work over floor."""

KERNEL = (
    "log_noise",
    *(f"log_{part}_{name}" for part in ("shared", "own") for name in ("scale", *FEATURES)),
)
"""Hyper-parameters: logarithms of the noise, and of each part's scale and length scales."""

_WHOLE = 7  # Compute slices of an A100.


@dataclass(frozen=True, slots=True)
class Points:
    """Where a surface is measured or asked for: equally long arrays.

    Attributes:
        model: Index of the model.
        slices: Compute slices, of 7.
        batch: Requests in the batch.
        processes: MPS processes of the model.
    """

    model: Ints
    slices: Floats
    batch: Floats
    processes: Floats

    def take(self, rows: npt.NDArray[np.intp]) -> "Points":
        """Give some of the points."""
        return Points(self.model[rows], self.slices[rows], self.batch[rows], self.processes[rows])

    def coordinates(self) -> Floats:
        """Give the logarithms of batch, slowdown 7 / slices, and processes, one row a point."""
        return np.log(np.stack([self.batch, _WHOLE / self.slices, self.processes], axis=1))


def evaluate_form(forms: Floats, points: Points) -> tuple[Floats, Floats]:
    """Evaluate the forms, and say how far each point is past the bend.

    Args:
        forms: One row a model, columns as in `FORM`.
        points: n points.

    Returns:
        n logarithms of ms, and n logarithms of work over floor.
    """
    floor, work, k, r, q, sharpness = forms[points.model].T
    batch, slowdown, processes = points.coordinates().T
    work = work + q * batch + k * slowdown + r * processes
    m = np.exp(sharpness)
    return np.logaddexp(m * floor, m * work) / m, work - floor


def _features(forms: Floats, points: Points) -> Floats:
    return np.column_stack([points.coordinates(), evaluate_form(forms, points)[1]])


def _matern(one: Floats, other: Floats, lengths: Floats) -> Floats:
    distance = np.sqrt(5) * cdist(one / lengths, other / lengths)
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Covariance of what the forms leave over.

    Attributes:
        logs: As in `KERNEL`.
    """

    logs: Floats

    @property
    def noise_variance(self) -> float:
        """Variance of a measurement about the surface."""
        return float(np.exp(2 * self.logs[0]))

    def __call__(self, one: Floats, its_model: Ints, other: Floats, their_model: Ints) -> Floats:
        """Give the covariance of points, from their features and the indexes of their models."""
        (shared, *shared_lengths), (own, *own_lengths) = np.exp(self.logs[1:]).reshape(2, -1)
        result: Floats = shared**2 * _matern(one, other, np.array(shared_lengths))
        for model in np.unique(its_model):
            rows, columns = np.flatnonzero(its_model == model), np.flatnonzero(their_model == model)
            result[np.ix_(rows, columns)] += own**2 * _matern(
                one[rows], other[columns], np.array(own_lengths)
            )
        return result


@dataclass(frozen=True, slots=True)
class Surface:
    """A surface that has seen measurements; build it with `condition`."""

    forms: Floats
    kernel: Kernel
    _features: Floats
    _model: Ints
    _weights: Floats

    def predict_log_ms(self, points: Points) -> Floats:
        """Predict the logarithm of the latency in ms, one a point."""
        base, _ = evaluate_form(self.forms, points)
        covariance = self.kernel(
            _features(self.forms, points), points.model, self._features, self._model
        )
        return np.asarray(base + covariance @ self._weights, dtype=np.float64)


def condition(forms: Floats, kernel: Kernel, points: Points, log_ms: Floats) -> Surface:
    """Let a surface see measurements.

    Args:
        forms: One row a model, columns as in `FORM`.
        kernel: The covariance of what they leave over.
        points: Where it was measured.
        log_ms: The logarithm of what was measured, in ms.
    """
    features = _features(forms, points)
    left_over = log_ms - evaluate_form(forms, points)[0]
    factor = _factorise(kernel, features, points.model)
    weights = np.asarray(cho_solve(factor, left_over), dtype=np.float64)
    return Surface(forms, kernel, features, points.model, weights)


def _factorise(kernel: Kernel, features: Floats, model: Ints) -> tuple[Floats, bool]:
    covariance = kernel(features, model, features, model)
    covariance[np.diag_indices_from(covariance)] += kernel.noise_variance
    factor: tuple[Floats, bool] = cho_factor(covariance, lower=True)
    return factor


def negative_log_likelihood(forms: Floats, kernel: Kernel, points: Points, log_ms: Floats) -> float:
    """Say how unlikely measurements are, but for a constant (Rasmussen and Williams, eq. 2.30)."""
    features = _features(forms, points)
    left_over = log_ms - evaluate_form(forms, points)[0]
    factor = _factorise(kernel, features, points.model)
    fit = left_over @ cho_solve(factor, left_over) / 2
    return float(fit + np.log(np.diag(factor[0])).sum())


def as_rows(coefficients: Mapping[str, float], names: tuple[str, ...]) -> Floats:
    """Put named coefficients in order."""
    return np.array([coefficients[name] for name in names])
