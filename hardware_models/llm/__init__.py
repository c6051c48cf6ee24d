"""Language models: their size and memory, and how long the iterations of an engine take."""

from hardware_models.llm.architecture import language_model, models, precisions, weight_bytes
from hardware_models.llm.times import (
    WHOLE,
    IterationTimes,
    boards,
    iteration_times,
    modelled_iteration_times,
)

__all__ = [
    "WHOLE",
    "IterationTimes",
    "boards",
    "iteration_times",
    "language_model",
    "modelled_iteration_times",
    "models",
    "precisions",
    "weight_bytes",
]
