"""Fit slowdowns by thread limits and by neighbours under MPS; test the fits on left-out rows."""

import numpy as np
import polars as pl

from hardware_models.fits.registry import Fit, error_rows
from hardware_models.gpu import mps
from hardware_models.gpu.mps import THREAD_FORM, fit_thread_form, thread_time_ms
from hardware_models.tables import load_table

SCHEME = "row-out"
"""The scheme that predicts each row from all other rows of its group."""


def cross_validate_threads() -> pl.DataFrame:
    """Add column ``predicted`` (ms) to `mps.thread_rows`; each row is predicted from the others."""
    parts = []
    for _, rows in mps.thread_rows().group_by("model", maintain_order=True):
        predicted = [
            thread_time_ms(fit_thread_form(rows[:at].vstack(rows[at + 1 :])), batch, percent)
            for at, (batch, percent) in enumerate(
                rows.select("batch", "mps_active_thread_pct").iter_rows()
            )
        ]
        parts.append(rows.with_columns(predicted=pl.Series(np.array(predicted))))
    return pl.concat(parts)


def colocation_rows() -> pl.DataFrame:
    """Return the rows of slowdown by neighbours; ``utilisation`` is the neighbours' memory use.

    Rows of a model whose utilisation is not known (alexnet) are left out.
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
    """Add column ``predicted`` to `colocation_rows`; each row is predicted from the others."""
    rows = colocation_rows()
    predicted = [
        1 + _fit_slope(rows[:at].vstack(rows[at + 1 :])) * utilisation
        for at, utilisation in enumerate(rows["utilisation"])
    ]
    return rows.with_columns(predicted=pl.Series(predicted, dtype=pl.Float64))


def fit() -> Fit:
    """Fit the effects of thread limits and co-location in ``mps_interference``; test the fits."""
    rows = [
        (model, name, value)
        for model in mps.thread_models()
        for name, value in zip(
            THREAD_FORM,
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
                group=pl.col("group").replace("all", "threads all")
            ),
            error_rows(pairs, SCHEME, "group", "value")
            .filter(pl.col("group") == "all")
            .with_columns(group=pl.lit(f"{mps.INTERFERENCE_GROUP} all")),
        ]
    )
    return Fit(pl.DataFrame(rows, schema=["group", "coefficient", "value"], orient="row"), errors)
