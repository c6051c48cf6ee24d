"""Predictors of measured columns, to compare predictions with measured rows.

Modules of fits are imported inside functions, because they load slowly and only cross-validation
needs them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from hardware_models import llm
from hardware_models.detection import FPS, LATENCY, MAP
from hardware_models.devices import cpu_times, factors, predict_ms
from hardware_models.gaussian_process import Array
from hardware_models.gpu import boards, gpu_latency, mps
from hardware_models.llm.iteration import TPOT, TTFT
from hardware_models.llm.layers import LAYER, LINEAR
from hardware_models.llm.speed import FULL_PRECISION, SPEED
from hardware_models.reference import BATCH_1, REFERENCE
from hardware_models.surfaces import Surface, predict, stored_kernel
from hardware_models.tables import load_table
from hardware_models.whisper import DECODE, ENCODE

_FOLDS = 10


@dataclass(frozen=True, slots=True)
class Predictor:
    """A measured column of a table, and its prediction.

    Attributes:
        table: A name in `hardware_models.schemas.SCHEMAS`.
        target: The measured column.
        group_by: Columns by which errors are reported.
        predict: Returns one value per row, in the unit of the target, computed from the other
            columns and the tables in use. The value is nan where no prediction is possible.
        rows: Returns a mask of the rows to which the predictor applies. None stands for all rows.
        cross_validated: Returns the shipped table with a column ``predicted``, in which each row is
            predicted by a fit without that row. It is None for a predictor that is not fitted.
    """

    table: str
    target: str
    group_by: tuple[str, ...]
    predict: Callable[[pl.DataFrame], Array]
    rows: Callable[[pl.DataFrame], pl.Series] | None = None
    cross_validated: Callable[[], pl.DataFrame] | None = None


def _row_by_row(rows: pl.DataFrame, figure: Callable[..., float]) -> Array:
    """Return a function's value for each row's columns, or nan if it raises ValueError."""
    result = np.full(rows.height, math.nan)
    for at, values in enumerate(rows.iter_rows()):
        try:
            result[at] = figure(*values)
        except ValueError:
            continue
    return result


def _latency_ms(rows: pl.DataFrame) -> Array:
    """Predict the latencies of table ``gpu_latency`` on the reference board."""

    def figure(model: str, gpu: str, slices: int, batch: int, processes: int) -> float:
        if gpu != REFERENCE:
            return math.nan
        return gpu_latency.batch_latency(model, slices, batch, processes).seconds * 1e3

    return _row_by_row(rows.select("model", "gpu", "mig_gpcs", "batch", "mps_procs"), figure)


def _latency_out_of_fold() -> pl.DataFrame:
    from hardware_models.fits import gpu_latency as fit  # noqa: PLC0415

    return fit.cross_validate(fit.RANDOM, stored_kernel(gpu_latency.LATENCY))


def _as_ratio(time: float, metric: str) -> float:
    return time if metric == BATCH_1 else 1 / time


def _relative_speed(rows: pl.DataFrame) -> Array:
    """Predict ``accelerator_relative_speed``, for rows with known systems and benchmarks."""

    def figure(board: str | None, benchmark: str, metric: str) -> float:
        if board is None:
            return math.nan
        batch = 1 if metric == BATCH_1 else math.ceil(boards.offline_batch())
        return _as_ratio(boards.latency_ratio(board, benchmark, batch).value, metric)

    return _row_by_row(boards.with_boards(rows).select("board", "benchmark", "metric"), figure)


def _relative_speed_row_out() -> pl.DataFrame:
    """Predict each row from the board's other rows, or as nan if the board has only one row."""
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


def _thread_ms(rows: pl.DataFrame) -> Array:
    """Predict the latencies by thread percentage, for the models that were measured."""

    def figure(model: str, batch: int, percent: float) -> float:
        known = model in mps.thread_models()
        return mps.thread_latency_ms(model, batch, percent) if known else math.nan

    return _row_by_row(rows.select("model", "batch", "mps_active_thread_pct"), figure)


def _slowdown(rows: pl.DataFrame) -> Array:
    """Predict the slowdowns by a neighbour, for the models whose utilisation is known."""

    def figure(utilisation: float | None, clients: int) -> float:
        if utilisation is None:
            return math.nan
        return mps.interference_factor([utilisation] * (clients - 1))

    return _row_by_row(mps.with_utilisation(rows).select("utilisation", "n_colocated"), figure)


def _sharing(
    section: str, metric: str, figures: Callable[[pl.DataFrame], Array], cross_validate: str
) -> Predictor:
    """Return the predictor of a section of table ``mps_interference``."""

    def rows(frame: pl.DataFrame) -> pl.Series:
        return (frame["section"] == section) & (frame["metric"] == metric)

    def unseen() -> pl.DataFrame:
        from hardware_models.fits import mps as fit  # noqa: PLC0415

        table: pl.DataFrame = getattr(fit, cross_validate)()
        return table

    return Predictor("mps_interference", "value", ("section", "model"), figures, rows, unseen)


def _of_surface(surface: Surface, *group_by: str) -> Predictor:
    def figures(frame: pl.DataFrame) -> Array:
        applies = surface.rows(frame)
        result = np.full(frame.height, np.nan)
        result[applies.to_numpy()] = predict(surface, frame.filter(applies))[0]
        return result

    def unseen() -> pl.DataFrame:
        from hardware_models.fits.surface import cross_validated  # noqa: PLC0415

        return cross_validated(surface)

    return Predictor(surface.table, surface.target, group_by, figures, surface.rows, unseen)


def _device_ms(rows: pl.DataFrame) -> Array:
    """Return the measured mean where the table in use has one, else predict by `factors`."""
    key = ("device", "model", "threads")
    settings = rows.select("device", "model", pl.col("threads").cast(pl.Int64))
    known = cpu_times().select(*key, "avg_ms").unique(key, keep="first")
    measured = settings.join(known, on=key, how="left", maintain_order="left")["avg_ms"]
    return measured.fill_null(predict_ms(settings)).cast(pl.Float64).to_numpy()


def _device_out_of_fold() -> pl.DataFrame:
    """Predict each row from factors that were fitted without the row's fold."""
    table = cpu_times().with_row_index("row")
    fold = pl.col("row") % _FOLDS
    parts = []
    for number in range(_FOLDS):
        unseen = table.filter(fold == number)
        fitted = factors(table.filter(fold != number))
        parts.append(unseen.with_columns(predict_ms(unseen, fitted).alias("predicted")))
    return pl.concat(parts).sort("row").drop("row")


PREDICTORS: tuple[Predictor, ...] = (
    Predictor(
        *("gpu_latency", "batch_latency_ms", ("model",), _latency_ms),
        cross_validated=_latency_out_of_fold,
    ),
    Predictor(
        *("accelerator_relative_speed", "value", ("metric",), _relative_speed),
        cross_validated=_relative_speed_row_out,
    ),
    _sharing("solo_latency_vs_mps_threads", "gpu_latency", _thread_ms, "cross_validate_threads"),
    _sharing("colocation", "slowdown_ratio", _slowdown, "cross_validate_colocation"),
    _of_surface(TTFT, "model", "gpu", "tensor_parallel"),
    _of_surface(TPOT, "model", "gpu", "tensor_parallel"),
    _of_surface(SPEED, "model", "precision"),
    _of_surface(LAYER, "model", "gpu", "phase"),
    _of_surface(LINEAR, "model", "gpu"),
    _of_surface(ENCODE, "hardware", "metric"),
    _of_surface(DECODE, "hardware", "metric"),
    _of_surface(LATENCY, "hardware", "precision"),
    _of_surface(FPS, "hardware", "precision"),
    _of_surface(MAP, "model"),
    Predictor(
        *("device_latency", "avg_ms", ("model",), _device_ms),
        rows=lambda frame: frame["backend"] == "cpu",
        cross_validated=_device_out_of_fold,
    ),
)
"""All predictions, for comparison with a user's measured rows."""


def simulated_engines() -> pl.DataFrame:
    """Predict the rows of table ``llm_iteration`` by the model that simulations use.

    The rows were measured on another engine and several boards, but the model assumes one board.

    Returns:
        The trusted rows on boards without a power cap, with ``predicted_ttft_ms`` and
        ``predicted_tpot_ms``.
    """
    rows = TTFT.measured()
    names = {board.lower(): board for board in llm.boards()}
    rows = rows.filter(TTFT.trusted(rows), pl.col("gpu").is_in(list(names)))
    first, between = [], []
    for row in rows.iter_rows(named=True):
        times = llm.modelled_iteration_times(
            row["model"], FULL_PRECISION, names[row["gpu"]], llm.WHOLE, row["tensor_parallel"]
        )
        batch, prompt = row["batch"], row["prompt_tokens"]
        context = round(batch * (prompt + row["output_tokens"] / 2))
        first.append(1e3 * times.prefill_s([prompt] * batch))
        between.append(1e3 * times.decode_s(batch, context))
    return rows.with_columns(
        predicted_ttft_ms=pl.Series(first), predicted_tpot_ms=pl.Series(between)
    )
