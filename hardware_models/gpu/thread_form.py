"""How the time of a batch grows as MPS limits its threads: a form, and its fit."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import least_squares

THREAD_FORM = ("floor_ms", "batch_0_ms", "batch_ms", "exponent")
"""Coefficients of `thread_time_ms`."""


def thread_time_ms(
    form: Sequence[float], batch: npt.ArrayLike, percent: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Time of a batch in ms: a floor, and work that grows as the threads get fewer.

    ``floor + (batch_0 + batch_1 x batch) / (percent / 100)^exponent``, chosen over the forms
    without ``batch_0`` and with a sharper bend, which predict unseen rows worse.

    Args:
        form: The coefficients, as in `THREAD_FORM`.
        batch: Requests in the batch.
        percent: Active-thread percentage of MPS.
    """
    floor, batch_0, batch_1, exponent = form
    share = np.asarray(percent, dtype=np.float64) / 100
    work = batch_0 + batch_1 * np.asarray(batch, dtype=np.float64)
    return np.asarray(floor + work / share**exponent)


def fit_thread_form(rows: pl.DataFrame) -> tuple[float, ...]:
    """Fit `thread_time_ms` to the rows of one model, by least squares of logarithms.

    Args:
        rows: Rows of table ``mps_interference``, as in `hardware_models.gpu.mps.thread_rows`.

    Returns:
        The coefficients, as in `THREAD_FORM`.
    """
    batch, percent = rows["batch"].to_numpy(), rows["mps_active_thread_pct"].to_numpy()
    log_ms = np.log(rows["value"].to_numpy())

    def misses(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        form = np.exp(logs).tolist()
        return np.asarray(np.log(thread_time_ms(form, batch, percent)) - log_ms)

    tenth = log_ms.min() - math.log(10)  # Where to start: the smallest part of the quickest row.
    start = np.array([tenth, tenth, tenth, 0.0])
    tiny = np.array([-12.0, -12.0, -12.0, -2.0])  # Parts that the rows do not show go to none.
    found = least_squares(misses, np.maximum(start, tiny), bounds=(tiny, np.full(4, 8.0)))
    return tuple(float(value) for value in np.exp(found.x))
