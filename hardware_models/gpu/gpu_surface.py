"""A latency surface over slices, batch and processes: a physical form, and a Gaussian process.

The form of a model is ``(a^m + (w b^q p^r (7/g)^k)^m)^(1/m)`` for a batch of b on g of 7 compute
slices with p processes of the model: a floor a, of launching the work, and the work itself, with m
the sharpness of the bend between them (1 adds the two). What measurements leave over, in
logarithms, is a Gaussian process over the logarithms of batch, slices and processes, with one part
that all models share and one in which they differ, see `hardware_models.gaussian_process`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from hardware_models import gaussian_process
from hardware_models.gaussian_process import Array, Coordinates, Kernel, Process
from hardware_models.reference import REFERENCE_SLICES

Ints = npt.NDArray[np.int64]

FORM = (
    "log_floor_ms",
    "log_work_ms",
    "slice_exponent",
    "process_exponent",
    "batch_exponent",
    "log_sharpness",
)
"""The coefficients of a form: ln a, ln w (both in ms), k, r, q and ln m."""

_PRIOR = {  # Mean and standard deviation, which hold a form where rows are few.
    "log_work_per_floor": (-3.0, 3.0),
    "slice_exponent": (0.7, 0.3),
    "process_exponent": (1.0, 0.2),
    "batch_exponent": (1.0, 0.2),
    "log_sharpness": (float(np.log(3.0)), 0.7),
}
_SPREAD = 0.05  # Rows that lie farther from a form than this, in logarithm, count less and less.


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
    slices: Array
    batch: Array
    processes: Array

    def take(self, rows: npt.NDArray[np.intp]) -> "Points":
        """Give some of the points."""
        return Points(self.model[rows], self.slices[rows], self.batch[rows], self.processes[rows])

    def coordinates(self) -> Array:
        """Give the logarithms of batch, slowdown 7 / slices, and processes, one row a point."""
        return np.log(
            np.stack([self.batch, REFERENCE_SLICES / self.slices, self.processes], axis=1)
        )


def evaluate_form(forms: Array, points: Points) -> Array:
    """Return logarithms of ms, (points,).

    ``forms`` has one row a model, with columns as in `FORM`.
    """
    floor, work, k, r, q, sharpness = forms[points.model].T
    batch, slowdown, processes = points.coordinates().T
    work = work + q * batch + k * slowdown + r * processes
    m = np.exp(sharpness)
    return np.asarray(np.logaddexp(m * floor, m * work) / m)


@dataclass(frozen=True, slots=True)
class Surface:
    """A surface that has seen measurements; build it with `condition`."""

    forms: Array
    left_over: Process

    def predict_log_ms(self, points: Points) -> Array:
        """Predict the logarithm of the latency in ms, one a point."""
        base = evaluate_form(self.forms, points)
        correction = self.left_over.mean(_coordinates(self.forms, points))
        return np.asarray(base + correction, dtype=np.float64)


def _coordinates(forms: Array, points: Points) -> Coordinates:
    groups = np.eye(len(forms)) / 2  # Any two models then differ by 1.
    return Coordinates(points.coordinates(), groups[points.model])


def _left_over(forms: Array, points: Points, log_ms: Array) -> tuple[Coordinates, Array, Array]:
    """Give what forms leave over: where, how much, and the noise that a row has of its own: 0."""
    left_over = log_ms - evaluate_form(forms, points)
    return _coordinates(forms, points), left_over, np.zeros_like(log_ms)


def condition(forms: Array, kernel: Kernel, points: Points, log_ms: Array) -> Surface:
    """Return the surface given measurements, the logarithms of ms at points.

    ``forms`` has one row a model, with columns as in `FORM`; ``kernel`` is the covariance of what
    they leave over.
    """
    return Surface(forms, Process.given(kernel, *_left_over(forms, points, log_ms)))


def fit_kernel(guess: Kernel, forms: Array, points: Points, log_ms: Array) -> Kernel:
    """Choose the covariance of what forms leave over; its cost is the cube of the points."""
    return gaussian_process.fit_kernel(guess, *_left_over(forms, points, log_ms))


def fit_form(points: Points, log_ms: Array) -> Array:
    """Fit a form to the rows of one model, by robust least squares of logarithms.

    Args:
        points: Where it was measured; their model is 0.
        log_ms: The logarithms of what was measured, in ms.

    Returns:
        Coefficients as in `FORM`.
    """
    means, spreads = np.array(list(_PRIOR.values())).T

    def misses(form: Array) -> Array:
        fitted = evaluate_form(form[np.newaxis], points)
        held = np.array([form[1] - form[0], *form[2:]])
        return np.concatenate([(fitted - log_ms) / _SPREAD, (held - means) / spreads])

    batch, slowdown, processes = points.coordinates().T
    work = np.median(log_ms - batch - processes - _PRIOR["slice_exponent"][0] * slowdown)
    start = np.array([log_ms.min(), work, *means[1:]])
    return np.asarray(least_squares(misses, start, loss="soft_l1").x, dtype=np.float64)
