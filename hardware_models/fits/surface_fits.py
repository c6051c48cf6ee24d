"""Fits of tables that are surfaces only: Whisper, detectors, layers and iterations of engines."""

from collections.abc import Iterable, Mapping

import polars as pl

from hardware_models.detection import FPS, LATENCY, MAP
from hardware_models.fits.registry import Fit
from hardware_models.fits.surface import coefficient_rows, error_rows, fit_surface
from hardware_models.llm.iteration import TPOT, TTFT
from hardware_models.llm.layers import LAYER, LINEAR
from hardware_models.surfaces import Surface
from hardware_models.whisper import DECODE, ENCODE

Columns = tuple[str, ...]
Plan = tuple[Surface, Iterable[Columns], list[tuple[str, Columns]]]
"""A surface, the columns by which its errors are reported, and further ways to hold rows out."""

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


def _fitted(
    plans: Iterable[Plan], source: str, source_url: str, remarks: Mapping[str, str] | None = None
) -> Fit:
    """Fit surfaces, and cross-validate them."""
    coefficients, errors = [], []
    for surface, groupings, schemes in plans:
        values, kernel = fit_surface(surface)
        coefficients.append(coefficient_rows(surface, values, kernel))
        for by in groupings:
            errors += error_rows(surface, kernel, by, schemes)
    return Fit(
        coefficients=pl.concat(coefficients),
        errors=pl.DataFrame(errors).unique(["group", "scheme"], maintain_order=True),
        source=source,
        source_url=source_url,
        remarks=remarks or {},
    )


def whisper() -> Fit:
    """Fit the times of Whisper's encoder and decoder (`whisper`)."""
    return _fitted(
        [(surface, [("hardware",)], []) for surface in (ENCODE, DECODE)],
        source="whisper.cpp benchmarks",
        source_url="https://github.com/ggml-org/whisper.cpp/issues/89",
    )


def detection() -> Fit:
    """Fit detectors' latency, frame rate and accuracy by input size (`detection`)."""
    return _fitted(
        [
            (LATENCY, [("hardware",)], []),
            (FPS, [("hardware",)], []),
            (MAP, [("model",)], [("5-fold by model and size", ("model", "input_px"))]),
        ],
        source="READMEs of Ultralytics, YOLOX, AlexeyAB darknet and jkjung tensorrt_demos",
        source_url="https://github.com/AlexeyAB/darknet/blob/59596d7880f6504768df41d6daa586f5cb2b932f/README.md",
    )


def llm_layers() -> Fit:
    """Fit the times of one transformer layer (`llm_layers`); projections also by whole curves."""
    curves = ("model", "gpu", "tensor_parallel")
    return _fitted(
        [
            (LAYER, [("gpu", "phase")], []),
            (LINEAR, [("gpu",)], [("5-fold by curve", curves)]),
        ],
        source="Helix (ASPLOS25) simulator profile; Vidur (MLSys24) profiling data",
        source_url="https://github.com/Thesys-lab/Helix-ASPLOS25",
    )


def llm_iteration() -> Fit:
    """Fit the times of language-model iterations on DGX machines (`llm_iteration`).

    Rows are held out at random, and by cell: with a cell go its rows of other output lengths and
    of other GPUs, so that no power-capped twin gives it away.
    """
    cell = ("model", "tensor_parallel", "prompt_tokens", "batch")
    groupings = [("gpu",), ("gpu", "model", "tensor_parallel")]
    return _fitted(
        [(surface, groupings, [("5-fold by cell", cell)]) for surface in (TTFT, TPOT)],
        source="Splitwise (ISCA24) simulator, data/perf_model.csv",
        source_url="https://github.com/Mutinifni/splitwise-sim/blob/8f99e7dc9b407f4ce2488d03dd44c0b8b946dab0/data/perf_model.csv",
        remarks=REMARKS,
    )
