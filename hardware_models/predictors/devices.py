"""What the package says of the times of networks on devices, to be held against measured rows."""

import numpy as np
import numpy.typing as npt
import polars as pl

from hardware_models.device_latency import cpu_times, factors, predict_ms
from hardware_models.predictors.predictor import Predictor

_FOLDS = 10
_KEY = ("device", "model", "threads")


def _predict(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Give the measured mean of the table in use, or else what the factors predict."""
    settings = rows.select("device", "model", pl.col("threads").cast(pl.Int64))
    measured = settings.join(
        cpu_times().select(*_KEY, "avg_ms").unique(_KEY, keep="first"),
        on=_KEY,
        how="left",
        maintain_order="left",
    )["avg_ms"]
    return measured.fill_null(predict_ms(settings)).cast(pl.Float64).to_numpy()


def _speaks_of(rows: pl.DataFrame) -> pl.Series:
    return rows.select(pl.col("backend") == "cpu").to_series()


def _cross_validated() -> pl.DataFrame:
    """Predict each row from factors found without its fold of the table."""
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
        table="device_latency",
        target="avg_ms",
        group_by=("model",),
        predict=_predict,
        rows=_speaks_of,
        cross_validated=_cross_validated,
    ),
)
