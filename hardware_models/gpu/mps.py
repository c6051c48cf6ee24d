"""Slowdowns from sharing a GPU: thread limits and neighbours under MPS, neighbours under MIG.

Several processes of the same model are not modelled here but in `hardware_models.gpu.gpu_latency`.
Table ``mps_interference`` has two sources: iGniter (V100, TensorRT) for thread percentages and
co-location, and gpulet (ATC 2022; 2080 Ti and 3080) for utilisation and for pairs of models, to
which nothing is fitted. The source of table ``mig_mlperf_ratios`` is MLPerf Inference. The
coefficients are in table ``fit_mps``, and their errors in ``fit_mps_errors``.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import least_squares

from hardware_models.basis import Ratio
from hardware_models.errors import TableError, pick
from hardware_models.tables import load_table, table_cache

INTERFERENCE_GROUP = "interference"
"""Group of the coefficient of `interference_factor` in table ``fit_mps``."""

PROFILED_BATCH = 16
"""Batch size of the co-location profile, inferred from its rows; the source does not say it."""

UTILISATION_OF = {"vgg19": "vgg16", "mobilenetv2": "mobilenet_v2"}
"""Substitutes for models whose utilisation was not measured or is listed by another name."""

THREAD_FORM = ("floor_ms", "batch_0_ms", "batch_ms", "exponent")
"""Coefficients of `thread_time_ms`."""


def thread_time_ms(
    form: Sequence[float], batch: npt.ArrayLike, percent: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return the time of a batch in ms: a minimum, plus work that takes longer with fewer threads.

    The formula is ``floor + (batch_0 + batch_1 x batch) / (percent / 100)^exponent``. Two variants
    predicted left-out rows worse: one without ``batch_0``, and one with a sharper bend.

    Args:
        form: The coefficients, as in `THREAD_FORM`.
        batch: Number of requests in the batch.
        percent: Active-thread percentage of MPS.
    """
    floor, batch_0, batch_1, exponent = form
    share = np.asarray(percent, dtype=np.float64) / 100
    work = batch_0 + batch_1 * np.asarray(batch, dtype=np.float64)
    return np.asarray(floor + work / share**exponent)


def fit_thread_form(rows: pl.DataFrame) -> tuple[float, ...]:
    """Fit `thread_time_ms` to the `thread_rows` of one model, by least squares of logarithms."""
    batch, percent = rows["batch"].to_numpy(), rows["mps_active_thread_pct"].to_numpy()
    log_ms = np.log(rows["value"].to_numpy())

    def misses(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        form = np.exp(logs).tolist()
        return np.asarray(np.log(thread_time_ms(form, batch, percent)) - log_ms)

    tenth = log_ms.min() - math.log(10)  # initial guess: the smallest part of the fastest row
    start = np.array([tenth, tenth, tenth, 0.0])
    tiny = np.array([-12.0, -12.0, -12.0, -2.0])  # parts that no row shows are negligible
    found = least_squares(misses, np.maximum(start, tiny), bounds=(tiny, np.full(4, 8.0)))
    return tuple(float(value) for value in np.exp(found.x))


@table_cache
def thread_rows() -> pl.DataFrame:
    """Return the rows of table ``mps_interference`` that give latency by thread percentage."""
    rows = load_table("mps_interference").filter(
        pl.col("section") == "solo_latency_vs_mps_threads", pl.col("metric") == "gpu_latency"
    )
    given = pl.col("batch").is_not_null() & pl.col("mps_active_thread_pct").is_not_null()
    _check(rows, given & (pl.col("value") > 0), "needs a batch, a percentage, and a time above 0")
    return rows


def _check(rows: pl.DataFrame, fine: pl.Expr, reason: str) -> None:
    """Raise TableError if rows of ``mps_interference`` lack values that their section needs."""
    for row in rows.filter(~fine).head(1).iter_rows(named=True):
        raise TableError(
            f"mps_interference: the {row['metric']} of {row['model']} on {row['gpu']} {reason}; "
            f"it is {row['value']:g} at batch {row['batch']}"
        )


@table_cache
def thread_models() -> tuple[str, ...]:
    """Return the names of the models whose latency was measured at several thread percentages."""
    return tuple(thread_rows()["model"].unique().sort())


@table_cache
def _coefficients(group: str) -> dict[str, float]:
    rows = load_table("fit_mps").filter(pl.col("group") == group)
    return dict(zip(rows["coefficient"], rows["value"], strict=True))


@table_cache
def _thread_form(model: str) -> tuple[float, ...]:
    fitted = _coefficients(model)
    if fitted:
        return tuple(fitted[name] for name in THREAD_FORM)
    return fit_thread_form(thread_rows().filter(pl.col("model") == model))


@table_cache
def _measured_ms(model: str) -> dict[tuple[int, float], float]:
    rows = thread_rows().filter(pl.col("model") == model)
    return dict(
        zip(rows.select("batch", "mps_active_thread_pct").iter_rows(), rows["value"], strict=True)
    )


def thread_latency_ms(model: str, batch: int, percent: float) -> float:
    """Return a batch's time on a V100, which is computed by the formula if it was not measured."""
    measured = _measured_ms(model).get((batch, percent))
    if measured is not None:
        return measured
    return float(thread_time_ms(_thread_form(model), batch, percent))


@table_cache
def thread_latency_factor(model_like: str, batch: int, percent: float) -> Ratio:
    """Return the ratio of a batch's time at a thread percentage of MPS to its time at 100 %.

    Args:
        model_like: The name, in `thread_models`, of the model most similar to the one in question.
        batch: Requests in the batch.
        percent: Active-thread percentage, above 0 and at most 100.

    Returns:
        The factor, at least 1. Its basis is ``"measured"`` if the table has both times,
        ``"interpolated"`` within the measured ranges of batch size and percentage, else
        ``"extrapolated"``.

    Raises:
        UnknownNameError: The model was not measured.
        ValueError: A number is out of its range.
    """
    pick("model", model_like, thread_models())
    if batch < 1:
        raise ValueError(f"batch is {batch!r}: give a whole number of at least 1")
    if not 0 < percent <= 100:
        raise ValueError(f"percent is {percent!r}: give a number above 0 and at most 100")
    measured = _measured_ms(model_like)
    if (batch, percent) in measured and (batch, 100.0) in measured:
        return Ratio(max(1.0, measured[batch, percent] / measured[batch, 100.0]), "measured")
    batches, percents = zip(*measured, strict=True)
    within = batch <= max(batches) and min(batches) <= batch and min(percents) <= percent
    form = _thread_form(model_like)
    limited, full = thread_time_ms(form, batch, [percent, 100.0])
    return Ratio(max(1.0, float(limited / full)), "interpolated" if within else "extrapolated")


@table_cache
def _memory_rows() -> pl.DataFrame:
    rows = load_table("mps_interference").filter(
        pl.col("section") == "gpulet_util",
        pl.col("metric") == "mem_util",
        pl.col("mps_active_thread_pct") == 100,
    )
    given = pl.col("batch").is_not_null() & pl.col("value").is_between(0, 100)
    _check(rows, given, "needs a batch, and must lie between 0 and 100 %")
    return rows


@table_cache
def utilisation_models() -> tuple[str, ...]:
    """Return the names of the models whose memory utilisation was measured."""
    return tuple(_memory_rows()["model"].unique().sort())


@table_cache
def memory_utilisation(model_like: str, batch: int = PROFILED_BATCH) -> float:
    """Return the share of time, 0 to 1, in which memory is busy while a model runs alone on a GPU.

    The result is the mean over the measured GPUs (RTX 2080 Ti, RTX 3080), with all threads active.
    Between measured batch sizes, it is interpolated linearly over the logarithm of the batch size;
    beyond them, it is the value at the nearest measured batch size.

    Args:
        model_like: The name, in `utilisation_models`, of the model most similar to the one in
            question.
        batch: Requests in the batch.

    Raises:
        UnknownNameError: The model was not measured.
        ValueError: The batch is below 1.
    """
    pick("model", model_like, utilisation_models())
    if batch < 1:
        raise ValueError(f"batch is {batch!r}: give a whole number of at least 1")
    mine = _memory_rows().filter(pl.col("model") == model_like).sort("gpu", "batch")
    by_gpu = [
        np.interp(math.log(batch), np.log(rows["batch"].to_numpy()), rows["value"].to_numpy())
        for _, rows in mine.group_by("gpu", maintain_order=True)
    ]
    return math.fsum(by_gpu) / len(by_gpu) / 100


def with_utilisation(rows: pl.DataFrame) -> pl.DataFrame:
    """Add column ``utilisation`` to co-location rows: the memory use of one process of the model.

    Unknown utilisations are null.
    """
    stand_ins = [UTILISATION_OF.get(model, model) for model in rows["model"]]
    known = [
        memory_utilisation(model) if model in utilisation_models() else None for model in stand_ins
    ]
    return rows.with_columns(utilisation=pl.Series(known, dtype=pl.Float64))


def interference_factor(neighbour_memory_utilisations: Sequence[float]) -> float:
    """Return the ratio of a model's time with neighbours under MPS to its time alone, at least 1.

    The formula is ``1 + c x sum of the neighbours' memory utilisations``, with c from table
    ``fit_mps``. The value of c was fitted to three models, each with one other process. For more
    neighbours, the formula is an assumption.

    Args:
        neighbour_memory_utilisations: One value per neighbour, from 0 to 1; see
            `memory_utilisation`.

    Raises:
        ValueError: A utilisation is outside the range from 0 to 1.
    """
    for value in neighbour_memory_utilisations:
        if not 0 <= value <= 1:
            raise ValueError(f"memory utilisation is {value!r}: give a number from 0 to 1")
    slope = _coefficients(INTERFERENCE_GROUP)["slope"]
    return 1 + slope * math.fsum(neighbour_memory_utilisations)


BUSY_NEIGHBOURS = "offline_throughput_busy_neighbours_over_alone"
"""Metric of table ``mig_mlperf_ratios`` on the neighbours of a slice."""


@table_cache
def neighbour_rows() -> pl.DataFrame:
    """Return the rows of table ``mig_mlperf_ratios`` on a slice with busy neighbours."""
    return load_table("mig_mlperf_ratios").filter(pl.col("metric") == BUSY_NEIGHBOURS)


@table_cache
def mig_neighbour_factor() -> float:
    """Return the ratio of the time on a MIG slice with busy neighbours to that with idle ones.

    This is the inverse of the median, over benchmarks, of the ratio of offline throughputs (MLPerf
    Inference v1.0 and v2.0; A100 and A30, one compute slice).
    """
    return 1 / float(np.median(neighbour_rows()["value"].to_numpy()))
