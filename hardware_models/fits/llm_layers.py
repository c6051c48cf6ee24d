"""Fit the times of one transformer layer (`llm_layers`)."""

import polars as pl

from hardware_models.fits.registry import Fit
from hardware_models.fits.surface import coefficient_rows, error_rows, fit_surface
from hardware_models.llm_layers import LAYER, LINEAR


def fit() -> Fit:
    """Fit both surfaces, and cross-validate them; projections also by whole curves."""
    layer_values, layer_kernel = fit_surface(LAYER)
    linear_values, linear_kernel = fit_surface(LINEAR)
    errors = error_rows(LAYER, layer_kernel, ("gpu", "phase"))
    curves = ("model", "gpu", "tensor_parallel")
    errors += error_rows(LINEAR, linear_kernel, ("gpu",), [("5-fold by curve", curves)])
    return Fit(
        name="llm_layers",
        coefficients=pl.concat(
            [
                coefficient_rows(LAYER, layer_values, layer_kernel),
                coefficient_rows(LINEAR, linear_values, linear_kernel),
            ]
        ),
        errors=pl.DataFrame(errors),
        source="Helix (ASPLOS25) simulator profile; Vidur (MLSys24) profiling data",
        source_url="https://github.com/Thesys-lab/Helix-ASPLOS25",
    )
