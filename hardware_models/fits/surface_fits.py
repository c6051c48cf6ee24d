"""Fits of tables that are surfaces only: Whisper, detectors, layers and iterations of engines."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from hardware_models.detection import FPS, LATENCY, MAP
from hardware_models.fits.registry import Fit
from hardware_models.fits.surface import coefficient_rows, error_rows, fit_surface
from hardware_models.llm.iteration import TPOT, TTFT
from hardware_models.llm.layers import LAYER, LINEAR
from hardware_models.surfaces import Surface
from hardware_models.whisper import DECODE, ENCODE

Columns = tuple[str, ...]

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


@dataclass(frozen=True)
class _Plan:
    """How surfaces are fitted.

    Attributes:
        surfaces: Each with lists of the columns by which its errors are reported, and further ways
            to hold rows out: a name, and the columns that rows held out together share.
        source: What they are fitted to.
        source_url: Where that is published.
        remarks: See `Fit.remarks`.
    """

    surfaces: list[tuple[Surface, list[Columns], list[tuple[str, Columns]]]]
    source: str
    source_url: str
    remarks: Mapping[str, str] = field(default_factory=dict)


_BY_GPU: list[Columns] = [("gpu",), ("gpu", "model", "tensor_parallel")]
# With a cell go its rows of other output lengths and of other GPUs, whose power-capped twins would
# give it away.
_CELL: list[tuple[str, Columns]] = [
    ("5-fold by cell", ("model", "tensor_parallel", "prompt_tokens", "batch"))
]
_CURVE: list[tuple[str, Columns]] = [("5-fold by curve", ("model", "gpu", "tensor_parallel"))]

PLANS = {
    "whisper": _Plan(
        [(surface, [("hardware",)], []) for surface in (ENCODE, DECODE)],
        source="whisper.cpp benchmarks",
        source_url="https://github.com/ggml-org/whisper.cpp/issues/89",
    ),
    "detection": _Plan(
        [
            (LATENCY, [("hardware",)], []),
            (FPS, [("hardware",)], []),
            (MAP, [("model",)], [("5-fold by model and size", ("model", "input_px"))]),
        ],
        source="READMEs of Ultralytics, YOLOX, AlexeyAB darknet and jkjung tensorrt_demos",
        source_url="https://github.com/AlexeyAB/darknet/blob/59596d7880f6504768df41d6daa586f5cb2b932f/README.md",
    ),
    "llm_layers": _Plan(
        [(LAYER, [("gpu", "phase")], []), (LINEAR, [("gpu",)], _CURVE)],
        source="Helix (ASPLOS25) simulator profile; Vidur (MLSys24) profiling data",
        source_url="https://github.com/Thesys-lab/Helix-ASPLOS25",
    ),
    "llm_iteration": _Plan(
        [(surface, _BY_GPU, _CELL) for surface in (TTFT, TPOT)],
        source="Splitwise (ISCA24) simulator, data/perf_model.csv",
        source_url="https://github.com/Mutinifni/splitwise-sim/blob/8f99e7dc9b407f4ce2488d03dd44c0b8b946dab0/data/perf_model.csv",
        remarks=REMARKS,
    ),
}
"""Fits of surfaces alone, by name."""


def fit(name: str) -> Fit:
    """Fit the surfaces of a plan, and cross-validate them."""
    plan, coefficients, errors = PLANS[name], [], []
    for surface, groupings, schemes in plan.surfaces:
        values, kernel = fit_surface(surface)
        coefficients.append(coefficient_rows(surface, values, kernel))
        for by in groupings:
            errors += error_rows(surface, kernel, by, schemes)
    return Fit(
        coefficients=pl.concat(coefficients),
        errors=pl.DataFrame(errors).unique(["group", "scheme"], maintain_order=True),
        source=plan.source,
        source_url=plan.source_url,
        remarks=plan.remarks,
    )
