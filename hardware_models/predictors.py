"""Predictors of measured columns, to compare predictions with measured rows.

Modules of fits are imported inside functions, because they load slowly and only cross-validation
needs them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from hardware_models import llm
from hardware_models.detection import FPS, LATENCY, MAP
from hardware_models.devices import (
    CPU,
    VULKAN,
    cpu_factors,
    cpu_times,
    factors,
    gpu_factors,
    gpu_times,
    predict_ms,
)
from hardware_models.gaussian_process import Array
from hardware_models.gpu import boards, gpu_latency, mps
from hardware_models.llm.iteration import TPOT, TTFT
from hardware_models.llm.layers import LAYER, LINEAR
from hardware_models.llm.speed import FULL_PRECISION, SPEED
from hardware_models.reference import BATCH_1, REFERENCE, REFERENCE_SLICES
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
        part: The rows to which the predictor applies, in words; empty for all rows.
    """

    table: str
    target: str
    group_by: tuple[str, ...]
    predict: Callable[[pl.DataFrame], Array]
    rows: Callable[[pl.DataFrame], pl.Series] | None = None
    cross_validated: Callable[[], pl.DataFrame] | None = None
    part: str = ""


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


ONE_SLICE_LATENCY, ONE_SLICE_RATE = (
    "batch1_latency_1g_over_full",
    "offline_throughput_1g_over_full",
)
"""Metrics of table ``mig_mlperf_ratios`` that compare a slice with a whole board."""

PROFILED_LIKE = {
    "resnet50": "resnet50",
    "bert-99": "bert",
    "bert-99.9": "bert",
    "ssd-mobilenet": "mobilenetv2",
}
"""The profiled model of table ``gpu_latency`` that is, or has the backbone of, a benchmark."""


def _of_metric(metrics: tuple[str, ...], frame: pl.DataFrame) -> pl.Series:
    return frame["metric"].is_in(list(metrics))


def _mig_ratio(rows: pl.DataFrame) -> Array:
    """Predict ``mig_mlperf_ratios``; ratios of slices only on A100s, for benchmarks like a model.

    The profile was measured in PyTorch, and the ratios with TensorRT.
    """

    def figure(gpu: str, benchmark: str, metric: str) -> float:
        if metric == mps.BUSY_NEIGHBOURS:
            return 1 / mps.mig_neighbour_factor()
        like = PROFILED_LIKE.get(benchmark)
        if like is None or "A100" not in gpu:
            return math.nan
        batch = 1 if metric == ONE_SLICE_LATENCY else math.ceil(boards.offline_batch())
        one, whole = (
            gpu_latency.batch_latency(like, slices, batch, 1).seconds
            for slices in (1, REFERENCE_SLICES)
        )
        return one / whole if metric == ONE_SLICE_LATENCY else whole / one

    return _row_by_row(rows.select("gpu", "benchmark", "metric"), figure)


def _busy_neighbours_row_out() -> pl.DataFrame:
    """Predict each throughput with busy neighbours by the median of the other rows."""
    rows = mps.neighbour_rows()
    values = rows["value"].to_numpy()
    predicted = [float(np.median(np.delete(values, at))) for at in range(len(values))]
    return rows.with_columns(predicted=pl.Series(predicted, dtype=pl.Float64))


def _one_slice() -> pl.DataFrame:
    """Predict the ratios of a slice to a whole board, to which nothing was fitted."""
    table = load_table("mig_mlperf_ratios").filter(pl.col("metric") != mps.BUSY_NEIGHBOURS)
    return table.with_columns(predicted=pl.Series(_mig_ratio(table), dtype=pl.Float64))


BESIDE = " beside "
"""What separates a model from its neighbour in table ``mps_interference``."""


def _pair_slowdown(rows: pl.DataFrame) -> Array:
    """Predict the slowdown of the first of two models, if the second one's utilisation is known."""

    def figure(pair: str, batch: int | None) -> float:
        _, _, neighbour = pair.partition(BESIDE)
        like = mps.UTILISATION_OF.get(neighbour, neighbour)
        return mps.interference_factor([mps.memory_utilisation(like, batch or mps.PROFILED_BATCH)])

    return _row_by_row(rows.select("model", "batch"), figure)


def _pairs() -> pl.DataFrame:
    """Predict the pairs of models in ``mps_interference``, to which nothing was fitted."""
    table = load_table("mps_interference").filter(pl.col("section") == "colocation_gpulet")
    return table.with_columns(predicted=pl.Series(_pair_slowdown(table), dtype=pl.Float64))


def _sharing(
    part: str,
    section: str,
    metric: str,
    figures: Callable[[pl.DataFrame], Array],
    cross_validate: str | Callable[[], pl.DataFrame],
) -> Predictor:
    """Return the predictor of a section of table ``mps_interference``."""

    def rows(frame: pl.DataFrame) -> pl.Series:
        return (frame["section"] == section) & (frame["metric"] == metric)

    def unseen() -> pl.DataFrame:
        if callable(cross_validate):
            return cross_validate()
        from hardware_models.fits import mps as fit  # noqa: PLC0415

        table: pl.DataFrame = getattr(fit, cross_validate)()
        return table

    by = ("section", "gpu" if section == "colocation_gpulet" else "model")
    return Predictor("mps_interference", "value", by, figures, rows, unseen, part)


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


def _device_ms(
    table: Callable[[], pl.DataFrame],
    fitted: Callable[[], tuple[pl.DataFrame, pl.DataFrame]],
    rows: pl.DataFrame,
) -> Array:
    """Return the measured mean where the table in use has one, else predict by `factors`."""
    key = ("device", "model", "threads", "gpu_device")
    settings = rows.select(*key[:2], *(pl.col(name).cast(pl.Int64) for name in key[2:]))
    known = table().select(*key, "avg_ms").unique(key, keep="first")
    measured = settings.join(known, on=key, how="left", maintain_order="left")["avg_ms"]
    return measured.fill_null(predict_ms(settings, fitted())).cast(pl.Float64).to_numpy()


def _of_backend(backend: str, frame: pl.DataFrame) -> pl.Series:
    return frame["backend"] == backend


def _device_out_of_fold(table: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """Predict each row from factors that were fitted without the row's fold."""
    numbered = table().with_row_index("row")
    fold = pl.col("row") % _FOLDS
    parts = []
    for number in range(_FOLDS):
        unseen = numbered.filter(fold == number)
        fitted = factors(numbered.filter(fold != number))
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
    _sharing(
        "limits of threads",
        *("solo_latency_vs_mps_threads", "gpu_latency", _thread_ms, "cross_validate_threads"),
    ),
    _sharing(
        "one neighbour",
        *("colocation", "slowdown_ratio", _slowdown, "cross_validate_colocation"),
    ),
    _sharing(
        "pairs of models",
        *("colocation_gpulet", "slowdown_ratio", _pair_slowdown, _pairs),
    ),
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
    *(
        Predictor(
            *("device_latency", "avg_ms", ("model",), partial(_device_ms, table, fitted)),
            rows=partial(_of_backend, backend),
            cross_validated=partial(_device_out_of_fold, table),
            part=part,
        )
        for part, backend, table, fitted in (
            ("on CPUs", CPU, cpu_times, cpu_factors),
            ("on GPUs by Vulkan", VULKAN, gpu_times, gpu_factors),
        )
    ),
    *(
        Predictor(
            *("mig_mlperf_ratios", "value", ("metric", "gpu"), _mig_ratio),
            rows=partial(_of_metric, metrics),
            cross_validated=unseen,
            part=part,
        )
        for part, metrics, unseen in (
            ("busy neighbours", (mps.BUSY_NEIGHBOURS,), _busy_neighbours_row_out),
            ("one slice over a whole board", (ONE_SLICE_LATENCY, ONE_SLICE_RATE), _one_slice),
        )
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
