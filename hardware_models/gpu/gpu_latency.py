"""Latency of a batch on an A100-80GB or a MIG slice of it, shared or not by MPS.

The measured value where table ``gpu_latency`` has the point; elsewhere the surface of
`hardware_models.gpu.gpu_surface`, fitted to all rows, with coefficients in table
``fit_gpu_latency``. Source: ParvaGPU (SC 2024), PyTorch, 11 models. A user's rows count like the
rest; a model without coefficients is fitted on first use. Table ``fit_gpu_latency_errors`` gives
the errors on unseen rows.
"""

import numpy as np
import polars as pl
from scipy.spatial import Delaunay

from hardware_models.basis import Latency
from hardware_models.errors import pick
from hardware_models.gaussian_process import Array, Kernel
from hardware_models.gpu import gpu_surface
from hardware_models.gpu.gpu_surface import FORM, Points, Surface
from hardware_models.reference import REFERENCE, REFERENCE_SLICES
from hardware_models.tables import load_table, table_cache

KERNEL_GROUP = "kernel"
"""Group of the covariance in table ``fit_gpu_latency``; the others are models."""

_MS_PER_S = 1e3


@table_cache
def _table() -> pl.DataFrame:
    return load_table("gpu_latency").filter(pl.col("gpu") == REFERENCE)


@table_cache
def models() -> tuple[str, ...]:
    """Name the models that were measured, in alphabetical order."""
    return tuple(_table()["model"].unique().sort())


@table_cache
def _measured() -> dict[tuple[str, str, int, int, int], float]:
    """Measured seconds by board, model, compute slices, batch and processes."""
    columns = ("gpu", "model", "mig_gpcs", "batch", "mps_procs", "batch_latency_ms")
    rows = load_table("gpu_latency").select(columns).iter_rows()
    return {tuple(key): ms / _MS_PER_S for *key, ms in rows}


def measured_elsewhere(
    board: str, model: str, compute_slices: int, batch: int, processes: int
) -> float | None:
    """Look up the time of a batch, in seconds, on another board; None if no row has it.

    ``compute_slices`` are those of the instance, all of the board's for a whole card.
    """
    if board == REFERENCE:
        return None
    return _measured().get((board, model, compute_slices, batch, processes))


@table_cache
def _rows(model: str) -> pl.DataFrame:
    pick("model", model, models())
    return _table().filter(pl.col("model") == model)


@table_cache
def largest_batch() -> int:
    """Largest batch that was measured of any model; beyond its own, a model is extrapolated."""
    return int(_table()["batch"].to_numpy().max())


@table_cache
def largest_processes() -> int:
    """Largest number of processes that were measured to share an instance, of any model."""
    return int(_table()["mps_procs"].to_numpy().max())


def points_of(table: pl.DataFrame, names: tuple[str, ...]) -> Points:
    """Read points off the columns of table ``gpu_latency``; names gives models their indexes."""
    index = {name: at for at, name in enumerate(names)}
    return Points(
        np.array([index[name] for name in table["model"]], dtype=np.int64),
        *(table[name].to_numpy().astype(np.float64) for name in ("mig_gpcs", "batch", "mps_procs")),
    )


@table_cache
def _coefficients() -> dict[str, dict[str, float]]:
    groups: dict[str, dict[str, float]] = {}
    for row in load_table("fit_gpu_latency").iter_rows(named=True):
        groups.setdefault(row["group"], {})[row["coefficient"]] = row["value"]
    return groups


@table_cache
def _forms() -> Array:
    fitted = _coefficients()
    return np.array(
        [
            [fitted[name][coefficient] for coefficient in FORM]
            if name in fitted
            else _new_form(name)
            for name in models()
        ]
    )


def _new_form(model: str) -> Array:
    rows = _rows(model)
    return gpu_surface.fit_form(
        points_of(rows, (model,)), np.log(rows["batch_latency_ms"].to_numpy())
    )


@table_cache
def kernel() -> Kernel:
    """Return the covariance of what the forms leave over, as fitted."""
    return Kernel.from_values(_coefficients()[KERNEL_GROUP])


@table_cache
def _surface() -> Surface:
    table = _table()
    log_ms = np.log(table["batch_latency_ms"].to_numpy())
    return gpu_surface.condition(_forms(), kernel(), points_of(table, models()), log_ms)


class _Hull:
    """The convex hull of points, which may all lie in a plane, in a line or in one place."""

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
    return _Hull(points_of(_rows(model), (model,)).coordinates())


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
    """Return the time of a batch in one of some processes that share an instance.

    Args:
        model: A name in `models`.
        compute_slices: Compute slices of the instance, 1 to 7.
        batch: Requests in the batch, 1 to `largest_batch`.
        processes: Processes that share the instance by MPS, 1 to `largest_processes`, all running
            the model at this batch.

    Returns:
        The time. Its basis is ``"measured"`` where the table has the point, ``"interpolated"`` in
        the convex hull of the model's points (in logarithms), else ``"extrapolated"``.

    Raises:
        UnknownNameError: The model is not known.
        ValueError: A number is out of its range.
    """
    pick("model", model, models())
    _check(compute_slices, batch, processes)
    known = _measured().get((REFERENCE, model, compute_slices, batch, processes))
    if known is not None:
        return Latency(known, "measured")
    point = Points(
        np.array([models().index(model)]),
        *(np.array([float(value)]) for value in (compute_slices, batch, processes)),
    )
    seconds = float(np.exp(_surface().predict_log_ms(point).item())) / _MS_PER_S
    inside = _hull(model).contains(point.coordinates()[0])
    return Latency(seconds, "interpolated" if inside else "extrapolated")
