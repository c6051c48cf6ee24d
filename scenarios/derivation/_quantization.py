"""What storing weights in fewer bits costs in accuracy, relative to BF16."""

from functools import cache

import numpy as np
import polars as pl
from scipy.stats import gmean

from scenarios.derivation._tables import raw

PARAMETERS_B = {
    "Qwen2-0.5B-Instruct": 0.5,
    "Qwen2-1.5B-Instruct": 1.5,
    "Qwen2-7B-Instruct": 7.0,
    "Qwen2-72B-Instruct": 72.0,
}
"""Billions of parameters, as the models' names say."""


@cache
def _ratios() -> pl.DataFrame:
    table = raw("quantization_accuracy", value=pl.Float64)
    full = table.filter(pl.col("precision").is_in(["BF16", "FP16/BF16"])).select(
        "model", "benchmark", full="value"
    )
    return table.join(full, on=("model", "benchmark")).with_columns(
        ratio=pl.col("value") / pl.col("full")
    )


def qwen2_ratio(precision: str, parameters_b: float) -> float:
    """Return the accuracy of a quantised model over that in BF16, of Qwen2 models of a size.

    The mean score of MMLU, C-Eval and IFEval; between the measured sizes linear in the logarithm of
    the number of parameters.

    Args:
        precision: BF16, GPTQ-Int8, GPTQ-Int4 or AWQ.
        parameters_b: billions of parameters, within those measured.
    """
    rows = _ratios().filter(
        (pl.col("precision") == precision) & pl.col("model").is_in(list(PARAMETERS_B))
    )
    ratio = dict(zip(rows["model"], rows["ratio"], strict=True))
    sizes = np.log(list(PARAMETERS_B.values()))
    return float(np.interp(np.log(parameters_b), sizes, [ratio[model] for model in PARAMETERS_B]))


def int8_ratio() -> float:
    """Return the accuracy of LLM.int8 over that in 16 bits.

    Geometric mean over OPT-175B and BLOOM-176B on four benchmarks; that it holds for smaller models
    is an assumption.
    """
    return float(gmean(_ratios().filter(pl.col("precision") == "LLM.int8")["ratio"].to_numpy()))


def provenance() -> tuple[str, str]:
    """Return source and address of the measurements behind `qwen2_ratio`."""
    row = _ratios().filter(pl.col("model").is_in(list(PARAMETERS_B))).row(0, named=True)
    return row["source"], row["source_url"]


def int8_provenance() -> tuple[str, str]:
    """Return source and address of the measurements behind `int8_ratio`."""
    row = _ratios().filter(pl.col("precision") == "LLM.int8").row(0, named=True)
    return row["source"], row["source_url"]
