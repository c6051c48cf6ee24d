"""Fit the times of Whisper's encoder and decoder (`whisper`)."""

import polars as pl

from hardware_models.fits.registry import Fit
from hardware_models.fits.surface import coefficient_rows, error_rows, fit_surface
from hardware_models.whisper import DECODE, ENCODE


def fit() -> Fit:
    """Fit both surfaces, and cross-validate them."""
    coefficients, errors = [], []
    for surface in (ENCODE, DECODE):
        values, kernel = fit_surface(surface)
        coefficients.append(coefficient_rows(surface, values, kernel))
        errors += error_rows(surface, kernel, ("hardware",))
    return Fit(
        name="whisper",
        coefficients=pl.concat(coefficients),
        errors=pl.DataFrame(errors),
        source="whisper.cpp benchmarks",
        source_url="https://github.com/ggml-org/whisper.cpp/issues/89",
    )
