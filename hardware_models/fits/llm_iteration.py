"""Fit the times of language-model iterations on DGX machines (`llm_iteration`)."""

import polars as pl

from hardware_models.fits.registry import Fit
from hardware_models.fits.surface import coefficient_rows, error_rows, fit_surface
from hardware_models.llm_iteration import TPOT, TTFT

_BY = ("gpu", "model", "tensor_parallel")
_CELL = ("model", "tensor_parallel", "prompt_tokens", "batch")


_FEW = "11 to 18 rows each"
REMARKS = {
    "ttft all": "the rows of the A100 alone are over, see there",
    "ttft a100-80gb": f"{_FEW}; worst where the grid ends, at prompts of 128 to 256 tokens",
    "ttft a100-80gb bloom-176b 8": f"{_FEW}; worst at the end points, prompts of 128 tokens",
    "ttft a100-80gb llama2-70b 2": f"{_FEW}; worst at the end points, prompts of 128 tokens",
    "ttft a100-80gb llama2-70b 4": f"{_FEW}; worst at prompts of 2,048 tokens, alone in the grid",
    "ttft a100-80gb llama2-70b 8": f"{_FEW}; the measured time jumps at batch 16",
    "ttft not trusted": "prefills 8 to 18 times faster than the card's arithmetic allows",
    "tpot not trusted": "rows of the same runs as the prefills that cannot be",
    "ttft h100-80gb": "by cell, a row's twin of the power-capped card is held out too",
    "ttft h100-80gb llama2-70b 2": "by cell, a row's twin of the power-capped card is held out too",
    "ttft h100-80gb-pcap": "by cell, the uncapped row that it was derived from is held out too",
    "ttft h100-80gb-pcap llama2-70b 2": "by cell, the uncapped row that it was derived from is "
    "held out too",
}
"""What the rows themselves show of the groups that are predicted worst."""


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
        remarks=REMARKS,
    )
