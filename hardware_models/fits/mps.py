"""Fit what thread percentages and neighbours cost under MPS, and test it on unseen rows."""

import math

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import least_squares

from hardware_models import mps
from hardware_models.fits.registry import Fit, error_rows
from hardware_models.tables import load_table

SCHEME = "row-out"
"""Each row is predicted from all others of its group."""


def fit_thread_form(rows: pl.DataFrame) -> tuple[float, ...]:
    """Fit `mps.thread_time_ms` to the rows of one model, by least squares of logarithms.

    Args:
        rows: Rows of table ``mps_interference``, as in `mps.thread_rows`.

    Returns:
        The coefficients, as in `mps.THREAD_FORM`.
    """
    batch, percent = rows["batch"].to_numpy(), rows["mps_active_thread_pct"].to_numpy()
    log_ms = np.log(rows["value"].to_numpy())

    def misses(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        form = np.exp(logs).tolist()
        return np.asarray(np.log(mps.thread_time_ms(form, batch, percent)) - log_ms)

    tenth = log_ms.min() - math.log(10)  # Where to start: the smallest part of the quickest row.
    start = np.array([tenth, tenth, tenth, 0.0])
    tiny = np.array([-12.0, -12.0, -12.0, -2.0])  # Parts that the rows do not show go to none.
    found = least_squares(misses, np.maximum(start, tiny), bounds=(tiny, np.full(4, 8.0)))
    return tuple(float(value) for value in np.exp(found.x))


def cross_validate_threads() -> pl.DataFrame:
    """Predict each row of `mps.thread_rows` from the others; column ``predicted``, in ms."""
    parts = []
    for _, rows in mps.thread_rows().group_by("model", maintain_order=True):
        predicted = [
            mps.thread_time_ms(fit_thread_form(rows[:at].vstack(rows[at + 1 :])), batch, percent)
            for at, (batch, percent) in enumerate(
                rows.select("batch", "mps_active_thread_pct").iter_rows()
            )
        ]
        parts.append(rows.with_columns(predicted=pl.Series(np.array(predicted))))
    return pl.concat(parts)


def colocation_rows() -> pl.DataFrame:
    """Give the slowdowns beside neighbours, with the sum of their memory ``utilisation``.

    A model whose utilisation is not known (alexnet) is left out.
    """
    rows = load_table("mps_interference").filter(
        pl.col("section") == "colocation", pl.col("metric") == "slowdown_ratio"
    )
    known = mps.with_utilisation(rows).drop_nulls("utilisation")
    return known.with_columns(pl.col("utilisation") * (pl.col("n_colocated") - 1))


def _fit_slope(rows: pl.DataFrame) -> float:
    utilisation, slowdown = rows["utilisation"].to_numpy(), rows["value"].to_numpy()
    return float(utilisation @ (slowdown - 1) / (utilisation @ utilisation))


def cross_validate_colocation() -> pl.DataFrame:
    """Predict each row of `colocation_rows` from the others; column ``predicted``, a ratio."""
    rows = colocation_rows()
    predicted = [
        1 + _fit_slope(rows[:at].vstack(rows[at + 1 :])) * utilisation
        for at, utilisation in enumerate(rows["utilisation"])
    ]
    return rows.with_columns(predicted=pl.Series(predicted, dtype=pl.Float64))


def fit() -> Fit:
    """Fit thread percentages and co-location of table ``mps_interference``, and test the fits."""
    rows = [
        (model, name, value)
        for model in mps.thread_models()
        for name, value in zip(
            mps.THREAD_FORM,
            fit_thread_form(mps.thread_rows().filter(pl.col("model") == model)),
            strict=True,
        )
    ]
    rows.append((mps.INTERFERENCE_GROUP, "slope", _fit_slope(colocation_rows())))
    cell = pl.format("{} batch {} at {} %", "model", "batch", "mps_active_thread_pct")
    threads = cross_validate_threads().with_columns(cell=cell)
    pairs = cross_validate_colocation().with_columns(
        cell="model", group=pl.lit(mps.INTERFERENCE_GROUP)
    )
    errors = pl.concat(
        [
            error_rows(threads, SCHEME, "model", "value").with_columns(
                group=pl.col("group").replace("all", "threads")
            ),
            error_rows(pairs, SCHEME, "group", "value").filter(pl.col("group") != "all"),
        ]
    )
    return Fit(
        "mps",
        pl.DataFrame(rows, schema=["group", "coefficient", "value"], orient="row"),
        errors,
        source="table mps_interference (iGniter and gpulet artifacts)",
        source_url="https://github.com/icloud-ecnu/igniter",
    )
