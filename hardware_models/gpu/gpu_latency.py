"""Latency of a batch on an A100-80GB or a MIG slice of it, with or without sharing by MPS.

The latency is the measured value if table ``gpu_latency`` has one. Otherwise, a formula fitted to
all rows of the table predicts it; its coefficients are in table ``fit_gpu_latency``. Source:
ParvaGPU (SC 2024), PyTorch, 11 models. Rows that a user adds are treated like the shipped rows; for
a model without coefficients, the formula is fitted on first use. Table ``fit_gpu_latency_errors``
gives the errors on rows that were left out of the fit.

For a batch of b requests on g of 7 compute slices with p processes of the model, the formula is
``(a^m + (w b^q p^r (7/g)^k)^m)^(1/m)``. Here a is the minimum latency, which is the time to launch
the work, and the second term is the time that the work itself takes. The exponent m is the
sharpness of the transition between the two (m = 1 adds them). The residual of the logarithms is a
Gaussian process over the logarithms of batch size, slices and processes. A part of the process is
common to all models, and each model has a part of its own; see `hardware_models.gaussian_process`.
"""

from collections.abc import Callable

import numpy as np
import polars as pl
from scipy.optimize import least_squares
from scipy.spatial import Delaunay

from hardware_models.basis import Latency
from hardware_models.errors import pick
from hardware_models.gaussian_process import Array, Coordinates, Kernel
from hardware_models.reference import REFERENCE, REFERENCE_SLICES
from hardware_models.surfaces import (
    Coefficients,
    Form,
    Surface,
    coefficients,
    features,
    learn,
    lookup,
    numbers,
    smooth_max,
    starts,
    stored_kernel,
)
from hardware_models.tables import load_table, table_cache

FORM = (
    "log_floor_ms",
    "log_work_ms",
    "slice_exponent",
    "process_exponent",
    "batch_exponent",
    "log_sharpness",
)
"""The coefficients of a formula: ln a, ln w (both in ms), k, r, q and ln m."""

_PRIOR = {  # Means and standard deviations, which matter where rows are few.
    "log_work_per_floor": (-3.0, 3.0),
    "slice_exponent": (0.7, 0.3),
    "process_exponent": (1.0, 0.2),
    "batch_exponent": (1.0, 0.2),
    "log_sharpness": (float(np.log(3.0)), 0.7),
}
_SPREAD = 0.05  # rows whose logarithm is farther than this from the formula get less weight
_MS_PER_S = 1e3


@table_cache
def _table() -> pl.DataFrame:
    return LATENCY.measured()


@table_cache
def models() -> tuple[str, ...]:
    """Return the names of the models that were measured, in alphabetical order."""
    return tuple(_table()["model"].unique().sort())


@table_cache
def _measured() -> dict[tuple[str, str, int, int, int], float]:
    """Return the measured seconds by board, model, compute slices, batch and processes."""
    columns = ("gpu", "model", "mig_gpcs", "batch", "mps_procs", "batch_latency_ms")
    rows = load_table("gpu_latency").select(columns).iter_rows()
    return {tuple(key): ms / _MS_PER_S for *key, ms in rows}


def measured_elsewhere(
    board: str, model: str, compute_slices: int, batch: int, processes: int
) -> float | None:
    """Return the measured time of a batch on another board in seconds, or None without a row.

    ``compute_slices`` is the number of slices of the instance; a whole card has all slices.
    """
    if board == REFERENCE:
        return None
    return _measured().get((board, model, compute_slices, batch, processes))


@table_cache
def largest_batch() -> int:
    """Return the largest batch size that was measured for any model."""
    return int(_table()["batch"].to_numpy().max())


@table_cache
def largest_processes() -> int:
    """Return the largest number of processes that were measured on one instance, for any model."""
    return int(_table()["mps_procs"].to_numpy().max())


def _points(frame: pl.DataFrame) -> Array:
    """Return the logarithms of batch size, 7 / compute slices, and processes, for each row."""
    slices, batch, processes = numbers(frame, "mig_gpcs", "batch", "mps_procs")
    return np.log(np.stack([batch, REFERENCE_SLICES / slices, processes], axis=1))


def _form(frame: pl.DataFrame) -> Form:
    models, (batch, slowdown, processes) = frame["model"].to_list(), _points(frame).T

    def form(values: Coefficients) -> Array:
        floor, work, k, r, q, sharpness = (lookup(values, models, name) for name in FORM)
        work = work + q * batch + k * slowdown + r * processes
        return smooth_max(floor, work, np.exp(sharpness))

    return form


def _start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    log_ms, (batch, slowdown, processes) = _log_ms(frame), _points(frame).T
    work = log_ms - batch - processes - _PRIOR["slice_exponent"][0] * slowdown
    return starts(
        frame["model"].to_list(),
        log_floor_ms=lambda of: log_ms[of].min(),
        log_work_ms=lambda of: np.median(work[of]),
        **{name: mean for name, (mean, _) in _PRIOR.items() if name in FORM},
    )


def _log_ms(frame: pl.DataFrame) -> Array:
    return np.asarray(np.log(frame["batch_latency_ms"].to_numpy()))


LATENCY = Surface(
    fit="gpu_latency",
    name="",
    table="gpu_latency",
    target="batch_latency_ms",
    start=_start,
    form=_form,
    coordinates=lambda frame: Coordinates(_points(frame), features(models())(frame["model"])),
    kernel=Kernel((1.0, 1.0, 1.0), 0.1, 0.1, 0.3, 0.03),
    rows=lambda frame: frame["gpu"] == REFERENCE,
)
"""Milliseconds of a batch on the reference board."""


def fit_form(rows: pl.DataFrame) -> dict[tuple[str, str], float]:
    """Fit the formula of one model by robust least squares of logarithms, with a prior."""
    start, form, log_ms = _start(rows), _form(rows), _log_ms(rows)
    means, spreads = np.array(list(_PRIOR.values())).T

    def misses(vector: Array) -> Array:
        fitted = form(dict(zip(start, vector.tolist(), strict=True)))
        held = np.array([vector[1] - vector[0], *vector[2:]])
        return np.concatenate([(fitted - log_ms) / _SPREAD, (held - means) / spreads])

    best = least_squares(misses, np.array(list(start.values())), loss="soft_l1")
    return dict(zip(start, best.x.tolist(), strict=True))


def fit_forms(rows: pl.DataFrame) -> Coefficients:
    """Fit the formula of each model that occurs in the rows."""
    models = rows.partition_by("model", maintain_order=True)
    return {name: value for own in models for name, value in fit_form(own).items()}


@table_cache
def _surface() -> Callable[[pl.DataFrame], Array]:
    """Return a function that predicts ms at rows; models without coefficients are fitted first."""
    stored = coefficients(LATENCY.fit)
    known = {model for model, _ in stored}
    new = fit_forms(_table().filter(~pl.col("model").is_in(known)))
    return learn(LATENCY, _table(), {**stored, **new}, stored_kernel(LATENCY))


class _Hull:
    """The convex hull of points, which can all be in one plane, on one line or at one place."""

    def __init__(self, points: Array):
        self._origin = points.mean(axis=0)
        _, sizes, axes = np.linalg.svd(points - self._origin, full_matrices=False)
        self._axes = axes[sizes > 1e-9 * max(1.0, sizes[0])]
        flat = self._flatten(points)
        self._low, self._high = flat.min(axis=0), flat.max(axis=0)
        self._simplices = Delaunay(flat) if flat.shape[1] > 1 else None

    def _flatten(self, points: Array) -> Array:
        return np.asarray((points - self._origin) @ self._axes.T)

    def contains(self, point: Array) -> bool:
        flat, tolerance = self._flatten(point), 1e-9
        if not np.allclose(self._origin + flat @ self._axes, point, atol=tolerance):
            return False
        if self._simplices is not None:
            return bool(self._simplices.find_simplex(flat, tol=tolerance) >= 0)
        return bool(np.all((self._low - tolerance <= flat) & (flat <= self._high + tolerance)))


@table_cache
def _hull(model: str) -> _Hull:
    return _Hull(_points(_table().filter(pl.col("model") == model)))


def _check(compute_slices: int, batch: int, processes: int) -> None:
    for name, value, high in (
        ("compute_slices", compute_slices, REFERENCE_SLICES),
        ("batch", batch, largest_batch()),
        ("processes", processes, largest_processes()),
    ):
        if not 1 <= value <= high:
            why = f"an {REFERENCE} has" if name == "compute_slices" else "it was measured from"
            raise ValueError(f"{name} is {value!r}: {why} 1 to {high}")


@table_cache
def batch_latency(model: str, compute_slices: int, batch: int = 1, processes: int = 1) -> Latency:
    """Return the time of a batch in one of ``processes`` processes that share an instance.

    Args:
        model: A name in `models`.
        compute_slices: Compute slices of the instance, 1 to 7.
        batch: Number of requests in the batch, 1 to `largest_batch`.
        processes: Number of processes that share the instance by MPS, 1 to `largest_processes`. All
            run the model with batches of this size.

    Returns:
        The time. Its basis is ``"measured"`` if the table has a row for the arguments,
        ``"interpolated"`` if the logarithms of the arguments are in the convex hull of the model's
        rows, else ``"extrapolated"``.

    Raises:
        UnknownNameError: The model is not known.
        ValueError: A number is out of its range.
    """
    pick("model", model, models())
    _check(compute_slices, batch, processes)
    known = _measured().get((REFERENCE, model, compute_slices, batch, processes))
    if known is not None:
        return Latency(known, "measured")
    columns = ("model", "mig_gpcs", "batch", "mps_procs")
    asked = (model, compute_slices, batch, processes)
    point = pl.DataFrame([asked], schema=columns, orient="row")
    seconds = float(_surface()(point).item()) / _MS_PER_S
    inside = _hull(model).contains(_points(point)[0])
    return Latency(seconds, "interpolated" if inside else "extrapolated")
