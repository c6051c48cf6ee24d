"""Fits that consist only of surfaces: of Whisper, detectors, layers and engine iterations."""

import polars as pl

from hardware_models.detection import FPS, LATENCY, MAP
from hardware_models.fits.registry import Fit
from hardware_models.fits.surface import coefficient_rows, error_rows, fit_surface
from hardware_models.llm.iteration import TPOT, TTFT
from hardware_models.llm.layers import LAYER, LINEAR
from hardware_models.surfaces import Surface
from hardware_models.whisper import DECODE, ENCODE

Columns = tuple[str, ...]

FitPlan = list[tuple[Surface, list[Columns], list[tuple[str, Columns]]]]
"""Surfaces, each with lists of the columns by which its errors are reported, and with further ways
to hold rows out. Such a way is a name, and the columns whose values are equal in rows that are held
out together."""

_BY_GPU: list[Columns] = [("gpu",), ("gpu", "model", "tensor_parallel")]
# A cell is held out with its rows of other output lengths and other GPUs, because the power-capped
# copies among these would reveal its value.
_CELL: list[tuple[str, Columns]] = [
    ("5-fold by cell", ("model", "tensor_parallel", "prompt_tokens", "batch"))
]
_CURVE: list[tuple[str, Columns]] = [("5-fold by curve", ("model", "gpu", "tensor_parallel"))]

PLANS: dict[str, FitPlan] = {
    "whisper": [(surface, [("hardware",)], []) for surface in (ENCODE, DECODE)],
    "detection": [
        (LATENCY, [("hardware",)], []),
        (FPS, [("hardware",)], []),
        (MAP, [("model",)], [("5-fold by model and size", ("model", "input_px"))]),
    ],
    "llm_layers": [(LAYER, [("gpu", "phase")], []), (LINEAR, [("gpu",)], _CURVE)],
    "llm_iteration": [(surface, _BY_GPU, _CELL) for surface in (TTFT, TPOT)],
}
"""Fits of surfaces alone, by name."""


def fit(name: str) -> Fit:
    """Fit the surfaces of the fit with this name, and cross-validate them."""
    coefficients, errors = [], []
    for surface, groupings, schemes in PLANS[name]:
        values, kernel = fit_surface(surface)
        coefficients.append(coefficient_rows(surface, values, kernel))
        for by in groupings:
            errors += error_rows(surface, kernel, by, schemes)
    return Fit(
        coefficients=pl.concat(coefficients),
        errors=pl.DataFrame(errors).unique(["group", "scheme"], maintain_order=True),
    )
