"""What the package says of GPUs, to be held against measured rows: latency, boards, sharing."""

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from hardware_models.gpu import boards, gpu_latency, mps
from hardware_models.predictors.predictor import Predictor
from hardware_models.reference import BATCH_1, REFERENCE
from hardware_models.tables import load_table


def _latency_ms(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Predict table ``gpu_latency``; refuse other boards, models and ranges than were measured."""
    result = np.full(rows.height, math.nan)
    columns = rows.select("model", "gpu", "mig_gpcs", "batch", "mps_procs")
    for at, (model, gpu, slices, batch, processes) in enumerate(columns.iter_rows()):
        try:
            if gpu == REFERENCE:
                latency = gpu_latency.batch_latency(model, slices, batch, processes)
                result[at] = latency.seconds * 1e3
        except ValueError:
            continue
    return result


def _latency_out_of_fold() -> pl.DataFrame:
    # What fits need is slow to load, and no one else needs it.
    from hardware_models.fits import gpu_latency as gpu_latency_fit  # noqa: PLC0415

    return gpu_latency_fit.cross_validate(gpu_latency_fit.RANDOM, gpu_latency.kernel())


def _as_ratio(time: float, metric: str) -> float:
    return time if metric == BATCH_1 else 1 / time


def _relative_speed(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Predict table ``accelerator_relative_speed``; refuse systems and benchmarks not known."""
    result = np.full(rows.height, math.nan)
    columns = boards.with_boards(rows).select("board", "benchmark", "metric")
    for at, (board, benchmark, metric) in enumerate(columns.iter_rows()):
        batch = 1 if metric == BATCH_1 else math.ceil(boards.offline_batch())
        try:
            if board is not None:
                ratio = boards.latency_ratio(board, benchmark, batch)
                result[at] = _as_ratio(ratio.value, metric)
        except ValueError:
            continue
    return result


def _relative_speed_row_out() -> pl.DataFrame:
    """Predict each row from the board's others; nan where a board has no other row."""
    table = boards.with_boards(load_table("accelerator_relative_speed")).filter(
        pl.col("board") != REFERENCE
    )
    predicted = np.full(table.height, math.nan)
    for _, rows in table.with_row_index("row").group_by("board", maintain_order=True):
        for at, (row, benchmark, metric) in enumerate(
            rows.select("row", "benchmark", "metric").iter_rows()
        ):
            for others in boards.times(rows[:at].vstack(rows[at + 1 :])).values():
                time = boards.end_point(others, benchmark, metric).value
                predicted[row] = _as_ratio(time, metric)
    return table.with_columns(predicted=pl.Series(predicted))


def _of_threads(rows: pl.DataFrame) -> pl.Series:
    return rows.select(
        (pl.col("section") == "solo_latency_vs_mps_threads") & (pl.col("metric") == "gpu_latency")
    ).to_series()


def _thread_ms(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Predict latency by thread percentage; refuse models that were not measured."""
    columns = rows.select("model", "batch", "mps_active_thread_pct")
    return np.array(
        [
            mps.thread_latency_ms(model, batch, percent)
            if model in mps.thread_models()
            else math.nan
            for model, batch, percent in columns.iter_rows()
        ]
    )


def _threads_row_out() -> pl.DataFrame:
    from hardware_models.fits import mps as mps_fit  # noqa: PLC0415

    return mps_fit.cross_validate_threads()


def _of_colocation(rows: pl.DataFrame) -> pl.Series:
    return rows.select(
        (pl.col("section") == "colocation") & (pl.col("metric") == "slowdown_ratio")
    ).to_series()


def _slowdown(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Predict slowdown beside a neighbour; refuse models whose utilisation is not known."""
    return np.array(
        [
            math.nan if utilisation is None else mps.interference_factor([utilisation] * (n - 1))
            for utilisation, n in mps.with_utilisation(rows)
            .select("utilisation", "n_colocated")
            .iter_rows()
        ]
    )


def _colocation_row_out() -> pl.DataFrame:
    from hardware_models.fits import mps as mps_fit  # noqa: PLC0415

    return mps_fit.cross_validate_colocation()


PREDICTORS: tuple[Predictor, ...] = (
    Predictor(
        table="gpu_latency",
        target="batch_latency_ms",
        group_by=("model",),
        predict=_latency_ms,
        cross_validated=_latency_out_of_fold,
    ),
    Predictor(
        table="accelerator_relative_speed",
        target="value",
        group_by=("metric",),
        predict=_relative_speed,
        cross_validated=_relative_speed_row_out,
    ),
    Predictor(
        table="mps_interference",
        target="value",
        group_by=("section", "model"),
        predict=_thread_ms,
        rows=_of_threads,
        cross_validated=_threads_row_out,
    ),
    Predictor(
        table="mps_interference",
        target="value",
        group_by=("section", "model"),
        predict=_slowdown,
        rows=_of_colocation,
        cross_validated=_colocation_row_out,
    ),
)
"""Every prediction about GPUs that measured rows can be compared with."""
