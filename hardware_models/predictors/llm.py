"""What surfaces of language models, speech recognition and detection can be held to."""

import numpy as np
import polars as pl

from hardware_models import llm
from hardware_models.detection import FPS, LATENCY, MAP
from hardware_models.gaussian_process import Array
from hardware_models.llm.iteration import TPOT, TTFT
from hardware_models.llm.layers import LAYER, LINEAR
from hardware_models.llm.speed import FULL_PRECISION, SPEED
from hardware_models.predictors.predictor import Predictor
from hardware_models.surfaces import Surface, predict
from hardware_models.whisper import DECODE, ENCODE


def _predictor(surface: Surface, *group_by: str) -> Predictor:
    def figures(frame: pl.DataFrame) -> Array:
        spoken_of = surface.rows(frame)
        result = np.full(frame.height, np.nan)
        result[spoken_of.to_numpy()] = predict(surface, frame.filter(spoken_of))[0]
        return result

    def unseen() -> pl.DataFrame:
        from hardware_models.fits.surface import cross_validated  # noqa: PLC0415

        return cross_validated(surface)

    return Predictor(surface.table, surface.target, group_by, figures, surface.rows, unseen)


PREDICTORS: tuple[Predictor, ...] = (
    _predictor(TTFT, "model", "gpu", "tensor_parallel"),
    _predictor(TPOT, "model", "gpu", "tensor_parallel"),
    _predictor(SPEED, "model", "precision"),
    _predictor(LAYER, "model", "gpu", "phase"),
    _predictor(LINEAR, "model", "gpu"),
    _predictor(ENCODE, "hardware", "metric"),
    _predictor(DECODE, "hardware", "metric"),
    _predictor(LATENCY, "hardware", "precision"),
    _predictor(FPS, "hardware", "precision"),
    _predictor(MAP, "model"),
)
"""A prediction for each surface."""


def simulated_engines() -> pl.DataFrame:
    """Predict the rows of table ``llm_iteration`` by the model that simulations use.

    They are of another engine than that model's, and of several boards, where a simulation has one.

    Returns:
        The trusted rows on boards without a power cap, with ``predicted_ttft_ms`` and
        ``predicted_tpot_ms``.
    """
    rows = TTFT.measured()
    boards = {board.lower(): board for board in llm.boards()}
    rows = rows.filter(TTFT.trusted(rows), pl.col("gpu").is_in(list(boards)))
    first, between = [], []
    for row in rows.iter_rows(named=True):
        times = llm.modelled_iteration_times(
            row["model"],
            FULL_PRECISION,
            boards[row["gpu"]],
            llm.WHOLE,
            row["tensor_parallel"],
        )
        batch, prompt = row["batch"], row["prompt_tokens"]
        context = round(batch * (prompt + row["output_tokens"] / 2))
        first.append(1e3 * times.prefill_s([prompt] * batch))
        between.append(1e3 * times.decode_s(batch, context))
    return rows.with_columns(
        predicted_ttft_ms=pl.Series(first), predicted_tpot_ms=pl.Series(between)
    )
