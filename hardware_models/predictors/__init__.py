"""What the package can be held to: measured columns, and what it predicts in their place."""

from hardware_models.predictors import devices, gpu, llm
from hardware_models.predictors.predictor import Predictor

__all__ = ["PREDICTORS", "Predictor"]

PREDICTORS: tuple[Predictor, ...] = (*gpu.PREDICTORS, *llm.PREDICTORS, *devices.PREDICTORS)
"""Every prediction that a user's measured rows can be compared with."""
