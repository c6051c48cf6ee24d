"""What the package can be held to: measured columns, and what it predicts in their place."""

from hardware_models import device_predictors, gpu_predictors, llm_predictors
from hardware_models.predictor import Predictor

__all__ = ["PREDICTORS", "Predictor"]

PREDICTORS: tuple[Predictor, ...] = (
    *gpu_predictors.PREDICTORS,
    *llm_predictors.PREDICTORS,
    *device_predictors.PREDICTORS,
)
"""Every prediction that a user's measured rows can be compared with."""
