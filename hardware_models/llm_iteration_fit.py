"""Fit the times of language-model iterations on DGX machines (`llm_iteration`)."""

import polars as pl

from hardware_models.fitting import Fit
from hardware_models.llm_iteration import TPOT, TTFT
from hardware_models.surface_fit import coefficient_rows, error_rows, fit_surface

_BY = ("gpu", "model", "tensor_parallel")
_CELL = ("model", "tensor_parallel", "prompt_tokens", "batch")


def fit() -> Fit:
    """Fit both surfaces, and cross-validate them.

    Rows are held out at random, and by cell: with a cell go its rows of other output lengths and
    of other GPUs, so that no power-capped twin gives it away.
    """
    coefficients, errors = [], []
    for surface in (TTFT, TPOT):
        values, kernel = fit_surface(surface)
        coefficients.append(coefficient_rows(surface, values, kernel))
        for by in (("gpu",), _BY):
            errors += error_rows(surface, kernel, by, [("5-fold by cell", _CELL)])
    return Fit(
        name="llm_iteration",
        coefficients=pl.concat(coefficients),
        errors=pl.DataFrame(errors).unique(["group", "scheme"], maintain_order=True),
        source="Splitwise (ISCA24) simulator, data/perf_model.csv",
        source_url="https://github.com/Mutinifni/splitwise-sim/blob/8f99e7dc9b407f4ce2488d03dd44c0b8b946dab0/data/perf_model.csv",
    )
