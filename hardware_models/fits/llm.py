"""Fit the durations of language-model iterations on one board, on other boards and in batches."""

import numpy as np
import polars as pl
from scipy.stats import gmean

from hardware_models.fits.registry import Fit
from hardware_models.fits.surface import coefficient_rows, error_rows, fit_surface
from hardware_models.llm.architecture import language_model
from hardware_models.llm.iteration import TPOT, TTFT
from hardware_models.llm.speed import FULL_PRECISION, SPEED, flops_per_s
from hardware_models.reference import LAYER_REFERENCE, REFERENCE
from hardware_models.tables import load_table

_FEW, _MANY = 16, 1024  # reads dominate up to the first, arithmetic from the second on
_INT8 = "LLM.int8"

Rows = list[tuple[str, str, float]]


def _layer_ratios() -> Rows:
    """Return the ratio of a whole layer's time on each board to its time on an A100-40GB."""
    table = load_table("llm_layer_times")
    few = (pl.col("phase") == "decode") & (pl.col("batch_or_tokens") <= _FEW)
    many = (pl.col("phase") == "prompt") & (pl.col("batch_or_tokens") >= _MANY)
    key = ["model", "phase", "batch_or_tokens"]
    base = table.filter(pl.col("gpu") == LAYER_REFERENCE).select(*key, base="time_ms_per_layer")
    both = table.join(base, on=key).with_columns(ratio=pl.col("time_ms_per_layer") / pl.col("base"))
    return [
        (f"board {gpu.rsplit('-', 1)[0]}", name, float(gmean(rows["ratio"].to_numpy())))
        for name, chosen in (("decode_over_a100_40gb", few), ("prefill_over_a100_40gb", many))
        for gpu in sorted(set(both["gpu"]) - {LAYER_REFERENCE})
        for rows in (both.filter(chosen & (pl.col("gpu") == gpu)),)
    ]


def _projection_ratios() -> Rows:
    """Return the ratio of the projections' time on each board to that on an A100-80GB."""
    table = load_table("llm_mlp_times").filter(pl.col("tensor_parallel") == 1)
    key = ["model", "num_tokens"]
    base = table.filter(pl.col("gpu") == REFERENCE).select(*key, base="linear_ms_per_layer")
    both = table.filter(pl.col("num_tokens") <= _FEW).join(base, on=key)
    both = both.with_columns(ratio=pl.col("linear_ms_per_layer") / pl.col("base"))
    result: Rows = []
    for gpu in sorted(set(table["gpu"]) - {REFERENCE}):
        ratio = gmean(both.filter(pl.col("gpu") == gpu)["ratio"].to_numpy())
        result.append((f"board {gpu}", "decode_over_a100_80gb", float(ratio)))
        faster = flops_per_s(REFERENCE) / flops_per_s(gpu)
        result.append((f"board {gpu}", "prefill_over_a100_80gb", faster))
    return result


def _slopes(target: str) -> dict[tuple[str, str, int], tuple[float, float]]:
    """Fit ``time = fixed + slope * size`` by group; sizes are prompt tokens or 1-32 sequences."""
    surface = TTFT if target == "ttft_ms" else TPOT
    table = surface.measured()
    table = table.filter(surface.trusted(table) & (pl.col("gpu") == REFERENCE.lower()))
    name, largest = ("prompt_tokens", 4096) if target == "ttft_ms" else ("batch", 32)
    if target == "ttft_ms":
        table = table.filter(pl.col("batch") == 1)
    table = table.filter(pl.col(name) <= largest)
    result = {}
    for (model, gpu, parallel), rows in table.group_by("model", "gpu", "tensor_parallel"):
        size, times = rows[name].to_numpy().astype(float), rows[target].to_numpy()
        design = np.column_stack([np.ones_like(size), size]) / times[:, None]
        fixed, slope = np.linalg.lstsq(design, np.ones_like(times), rcond=None)[0]
        result[str(model), str(gpu), int(str(parallel))] = (float(fixed), float(slope))
    return result


def _shares() -> Rows:
    """Fit three costs to engine iterations: prefill's fixed part, sequences and parallelism.

    The costs apply to the reference board. For other boards, these costs are multiplied by ratios.
    """
    first, between = _slopes("ttft_ms"), _slopes("tpot_ms")
    groups = sorted(first.keys() & between.keys())
    fixed = [first[group][0] / between[group][0] for group in groups]
    sequence = [between[group][1] / first[group][1] for group in groups]
    logs = []
    for model, gpu, parallel in groups:
        known = language_model(model)
        alone = 2e3 * known.layers * known.layer_parameters / flops_per_s(REFERENCE)
        logs.append((np.log(parallel), np.log(alone / first[model, gpu, parallel][1])))
    boards, gains = np.array(logs).T
    return [
        ("engine", "prefill_fixed_over_decode", float(np.median(fixed))),
        ("engine", "sequence_over_prompt_token", float(np.median(sequence))),
        ("engine", "prefill_parallel_exponent", float(boards @ gains / (boards @ boards))),
    ]


def _int8_over_full() -> Rows:
    """Return the ratio of LLM.int8's iteration time to full precision's, at the smallest batch.

    The batch is the smallest one for which both were timed. Full precision was timed on eight
    boards, and LLM.int8 on four. Each board is assumed to hold consecutive layers, so all layers
    process a token in turn, for any number of boards.
    """
    table = load_table("llm_speed").filter(
        pl.col("model") == "BLOOM-176B", pl.col("gpu") == REFERENCE
    )
    rates = {
        (precision, batch): rate
        for precision, batch, rate in table.select(
            "precision", "batch", "decode_tokens_per_s"
        ).iter_rows()
    }
    batch = min(size for of, size in rates if of == _INT8 and (FULL_PRECISION, size) in rates)
    ratio = rates[FULL_PRECISION, batch] / rates[_INT8, batch]
    return [(f"precision {_INT8}", "decode_over_full_precision", ratio)]


def fit() -> Fit:
    """Fit the token rates of single requests, and the ratios for other boards.

    Rates are cross-validated twice: with random rows left out, and with whole models left out.
    Ratios are geometric means or medians over rows of the source tables. Their spread can be seen
    in these rows.
    """
    values, kernel = fit_surface(SPEED)
    ratios = [*_layer_ratios(), *_projection_ratios(), *_shares(), *_int8_over_full()]
    rows = [(group, name, float(f"{value:.6g}")) for group, name, value in ratios]
    ratio_rows = pl.DataFrame(rows, schema=["group", "coefficient", "value"], orient="row")
    return Fit(
        coefficients=pl.concat([coefficient_rows(SPEED, values, kernel), ratio_rows]),
        errors=pl.DataFrame(
            error_rows(SPEED, kernel, ("precision",), [("5-fold by model", ("model",))])
        ),
    )
