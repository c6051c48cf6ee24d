"""Fit detectors' latency, frame rate and accuracy by input size (`detection`)."""

import polars as pl

from hardware_models.detection import FPS, LATENCY, MAP
from hardware_models.fits.registry import Fit
from hardware_models.fits.surface import coefficient_rows, error_rows, fit_surface


def fit() -> Fit:
    """Fit the three surfaces, and cross-validate them; accuracy by model and size."""
    coefficients, errors = [], []
    sizes = [("5-fold by model and size", ("model", "input_px"))]
    for surface, by, schemes in (
        (LATENCY, ("hardware",), []),
        (FPS, ("hardware",), []),
        (MAP, ("model",), sizes),
    ):
        values, kernel = fit_surface(surface)
        coefficients.append(coefficient_rows(surface, values, kernel))
        errors += error_rows(surface, kernel, by, schemes)
    return Fit(
        name="detection",
        coefficients=pl.concat(coefficients),
        errors=pl.DataFrame(errors),
        source="READMEs of Ultralytics, YOLOX, AlexeyAB darknet and jkjung tensorrt_demos",
        source_url="https://github.com/AlexeyAB/darknet/blob/59596d7880f6504768df41d6daa586f5cb2b932f/README.md",
    )
