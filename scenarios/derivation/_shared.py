"""Functions that several derivations use, for raw tables, provenance and common measurements."""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray
from scipy.stats import gmean

from hardware_models.schemas import PROVENANCE
from hardware_models.tables import load_table, read_file
from scenarios.derivation import DATA

SIGNIFICANT_DIGITS = 6
"""Number of digits written: more than in any source, but so few that all machines agree."""


def raw(name: str, **types: type[pl.DataType]) -> pl.DataFrame:
    """Read a raw table; columns without a given type are text.

    Raises:
        TableError: there is no such table.
    """
    table = read_file(DATA / "raw" / f"{name}.csv")
    return table.with_columns(pl.col(key).cast(one) for key, one in types.items())


def figure(table: str, quantity: str) -> float:
    """Return the mean of a quantity's values in a raw table; most quantities have only one."""
    rows = raw(table, value=pl.Float64).filter(pl.col("quantity") == quantity)
    return float(rows["value"].to_numpy().mean())


def origin(rows: pl.DataFrame) -> tuple[str, str]:
    """Return the source and web address of the first row."""
    first = rows.row(0, named=True)
    return first["source"], first["source_url"]


@cache
def _provenance() -> dict[str, Any]:
    path = Path(__file__).parent / "provenance.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def sourced(
    table: str,
    values: Iterable[Mapping[str, object]] | Mapping[str, Any] | pl.DataFrame,
    origin: tuple[str, str] | None = None,
    rounded: bool = True,
    **figures: object,
) -> pl.DataFrame:
    """Return values as a table with the provenance that ``provenance.toml`` states.

    Args:
        table: names of the application and the table, separated by a dot.
        values: rows, columns by name, or a frame; provenance in them replaces that of the file.
        origin: source and web address, if input rows state them.
        rounded: whether to round numbers to `SIGNIFICANT_DIGITS`.
        figures: numbers that are inserted into the note.
    """
    application, _, name = table.partition(".")
    said = {"kind": "derived", "source": "", "source_url": "", "note": ""}
    said |= _provenance()[application][name]
    if origin is not None:
        said["source"], said["source_url"] = origin
    said["note"] = said["note"].format(**figures)
    whole = isinstance(values, Mapping | pl.DataFrame)
    frame = pl.DataFrame(values if whole else list(values), infer_schema_length=None)
    if rounded:
        frame = frame.with_columns(cs.float().map_elements(_rounded, return_dtype=pl.Float64))
    common = (
        pl.col(key).fill_null(said[key]) if key in frame.columns else pl.lit(said[key]).alias(key)
        for key in PROVENANCE
    )
    return frame.select(cs.exclude(list(PROVENANCE)), *common)


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


QWEN2_PARAMETERS_B = {
    "Qwen2-0.5B-Instruct": 0.5,
    "Qwen2-1.5B-Instruct": 1.5,
    "Qwen2-7B-Instruct": 7.0,
    "Qwen2-72B-Instruct": 72.0,
}
"""Billions of parameters of each model, according to its name."""


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
    """Return the ratio of a quantised Qwen2 model's accuracy to that in BF16, by size.

    Accuracy is the mean score of MMLU, C-Eval and IFEval. Between measured sizes, the ratio is
    interpolated linearly in the logarithm of the number of parameters.

    Args:
        precision: BF16, GPTQ-Int8, GPTQ-Int4 or AWQ.
        parameters_b: billions of parameters, within the measured range.
    """
    rows = _ratios().filter(
        (pl.col("precision") == precision) & pl.col("model").is_in(list(QWEN2_PARAMETERS_B))
    )
    ratio = dict(zip(rows["model"], rows["ratio"], strict=True))
    sizes = np.log(list(QWEN2_PARAMETERS_B.values()))
    return float(
        np.interp(np.log(parameters_b), sizes, [ratio[model] for model in QWEN2_PARAMETERS_B])
    )


def int8_ratio() -> float:
    """Return the ratio of a model's accuracy with LLM.int8 to that with 16 bits.

    It is the geometric mean over OPT-175B and BLOOM-176B on four benchmarks. Smaller models are
    assumed to have the same ratio.
    """
    return float(gmean(_ratios().filter(pl.col("precision") == "LLM.int8")["ratio"].to_numpy()))


def qwen2_provenance() -> tuple[str, str]:
    """Return the source and the web address of the measurements used by `qwen2_ratio`."""
    return origin(_ratios().filter(pl.col("model").is_in(list(QWEN2_PARAMETERS_B))))


def int8_provenance() -> tuple[str, str]:
    """Return the source and the web address of the measurements used by `int8_ratio`."""
    return origin(_ratios().filter(pl.col("precision") == "LLM.int8"))


def generated_tokens() -> NDArray[np.float64]:
    """Return the number of tokens of each answer in the conversation trace, shape (n,)."""
    path = DATA.parent / "traces" / "azure_llm_2023_conversation.csv"
    return read_file(path)["GeneratedTokens"].cast(float).to_numpy()


def answer_length_cv() -> float:
    """Return the coefficient of variation of the answers' lengths."""
    tokens = generated_tokens()
    return float(tokens.std() / tokens.mean())


FRAMES = (16, 8, 4, 1)
PEAK_BATCH = 256
"""The largest measured batch; at this size, arithmetic limits the speed of the network."""


def gflops(network: str, tokens: int) -> float:
    """Return the number of operations of an image encoder for one image, in GFLOPs.

    If a value was published for n tokens, it is returned. Otherwise, the result is a n + b n^2,
    fitted to two published values. The linear term represents the layers, the quadratic term
    attention.
    """
    rows = raw("network_operations", tokens=pl.Int64, gflops=pl.Float64).filter(
        pl.col("network") == network
    )
    n, operations = rows["tokens"].to_numpy(), rows["gflops"].to_numpy()
    if tokens in n:
        return float(operations[n == tokens][0])
    a, b = np.linalg.solve(np.stack([n[:2], n[:2] ** 2], axis=1), operations[:2])
    return float(a * tokens + b * tokens**2)


def a100_gflops_per_s() -> float:
    """Return the GFLOPs per second of a whole A100-80GB in PyTorch when arithmetic is the limit.

    The speed was measured on vgg16 at the largest batch, with the software of table
    ``gpu_latency``. Image encoders are assumed to reach the same speed.
    """
    row = load_table("gpu_latency").filter(
        (pl.col("model") == "vgg16")
        & (pl.col("gpu") == "A100-80GB")
        & (pl.col("mig_gpcs") == 7)
        & (pl.col("mps_procs") == 1)
        & (pl.col("batch") == PEAK_BATCH)
    )
    (operations,) = raw("network_operations", gflops=pl.Float64).filter(
        pl.col("network") == "vgg16"
    )["gflops"]
    return float(operations * PEAK_BATCH * 1000 / row["batch_latency_ms"].item())


def encode_s(network: str, tokens: int) -> float:
    """Return the time of an image encoder for one image on a whole A100-80GB, in seconds."""
    return gflops(network, tokens) / a100_gflops_per_s()


def frame_ratios() -> dict[int, float]:
    """Return, by number of frames, the ratio of accuracy to that with 16 frames.

    For 8 frames, the result is the geometric mean, over InternVL2-1B, 2B, 4B and 8B, of the ratio
    of the MMBench-Video score at 8 frames to that at 16. For 1 frame, this mean is multiplied by
    the geometric mean, over Kinetics-400, 600 and 700, of the ratio of InternVL-C's accuracy at 1
    frame to that at 8. For 4 frames, the result is interpolated linearly in the logarithm of the
    number of frames.
    """
    table = raw("video_question_accuracy", frames=pl.Int64, value=pl.Float64)

    def ratio(rows: pl.Expr, key: str, few: int, many: int) -> float:
        wide = table.filter(rows).pivot("frames", index=key, values="value")
        return float(gmean((wide[str(few)] / wide[str(many)]).to_numpy()))

    eight = ratio(pl.col("benchmark") == "MMBench-Video", "model", 8, 16)
    one = eight * ratio(pl.col("model") == "InternVL-C", "benchmark", 1, 8)
    logs = np.interp(np.log(FRAMES), np.log([1, 8, 16]), np.log([one, eight, 1.0]))
    return {frames: float(np.exp(log)) for frames, log in zip(FRAMES, logs, strict=True)}
