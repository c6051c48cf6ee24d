"""What surfaces of language models, speech recognition and detection can be held to."""

import numpy as np
import polars as pl

from hardware_models.detection import FPS, LATENCY, MAP
from hardware_models.gaussian_process import Array
from hardware_models.llm_iteration import TPOT, TTFT
from hardware_models.llm_layers import LAYER, LINEAR
from hardware_models.llm_speed import SPEED
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
