"""Fit the model of GPU latency, and test it on rows that were left out of the fit."""

import numpy as np
import numpy.typing as npt
import polars as pl

from hardware_models.fits.registry import Fit, error_rows
from hardware_models.fits.surface import coefficient_rows, fit_correction
from hardware_models.gaussian_process import Kernel
from hardware_models.gpu.gpu_latency import LATENCY, fit_forms
from hardware_models.surfaces import learn

_KERNEL_MODELS = 3  # every third model is fitted, because the cost is cubic in the rows

FOLDS = 5
RANDOM = f"random {FOLDS}-fold"
"""The scheme that holds out rows at random."""


def _numbers(table: pl.DataFrame, *columns: str) -> npt.NDArray[np.int64]:
    """Number the distinct values of some columns in ascending order; return each row's number."""
    return table.select(pl.struct(columns).rank("dense") - 1).to_series().cast(pl.Int64).to_numpy()


def _curve_folds(table: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Assign each curve over batch sizes to a fold; a fold has at most one curve of each model."""
    curve, model = _numbers(table, "mig_gpcs", "mps_procs"), _numbers(table, "model")
    return np.asarray((curve + 7 * model) % (curve.max() + 1))


def _random_folds(table: pl.DataFrame) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).permutation(table.height) % FOLDS


def _batch_folds(table: pl.DataFrame) -> npt.NDArray[np.int64]:
    size, model = _numbers(table, "batch"), _numbers(table, "model")
    return np.asarray((size + 3 * model) % (size.max() + 1))


SCHEMES = {RANDOM: _random_folds, "curve out": _curve_folds, "batch out": _batch_folds}
"""Cross-validation schemes: each is a function that returns the fold number of every row.

Scheme ``curve out`` removes one pair of slices and processes of a model, at every batch size.
Scheme ``batch out`` removes one batch size of a model, which can be its smallest or largest.
"""


def cross_validate(scheme: str, kernel: Kernel) -> pl.DataFrame:
    """Predict each row of table ``gpu_latency`` by a model that is fitted without the row's fold.

    The formulas are fitted anew for each fold, but the kernel's few hyper-parameters are not.

    Args:
        scheme: A name in `SCHEMES`.
        kernel: The covariance of the residuals of the formulas.

    Returns:
        The rows, with a column ``predicted`` in ms.
    """
    table = _sorted_table()
    folds = SCHEMES[scheme](table)
    predicted = np.empty(table.height)
    for fold in np.unique(folds):
        seen = table.filter(pl.Series(folds != fold))
        surface = learn(LATENCY, seen, fit_forms(seen), kernel)
        predicted[folds == fold] = surface(table.filter(pl.Series(folds == fold)))
    return table.with_columns(predicted=predicted)


def _sorted_table() -> pl.DataFrame:
    return LATENCY.measured().sort("model", "mig_gpcs", "mps_procs", "batch")


def fit() -> Fit:
    """Fit the formulas and the kernel to table ``gpu_latency``, and cross-validate them."""
    table = _sorted_table()
    values = fit_forms(table)
    # All rows of some models are used, because close rows determine the kernel's lengths.
    some = pl.Series(_numbers(table, "model") % _KERNEL_MODELS == 0)
    kernel = fit_correction(LATENCY, table.filter(some), values)
    cell = pl.format("{} {}g batch {} x{}", "model", "mig_gpcs", "batch", "mps_procs")
    errors = [
        error_rows(
            cross_validate(scheme, kernel).with_columns(cell=cell),
            scheme=scheme,
            group_by="model",
            target="batch_latency_ms",
        )
        for scheme in SCHEMES
    ]
    return Fit(coefficient_rows(LATENCY, values, kernel), pl.concat(errors))
