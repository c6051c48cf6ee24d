"""Tokens per second of a single request on A100-80GB GPUs, by model, precision and prompt.

Source: the Qwen2.5 speed benchmark, table ``llm_speed``. The benchmark used two software stacks;
this module uses the rows of vLLM 0.6.3 with batch 1. The rate is the number of generated tokens
divided by the total time, which includes processing the prompt. (The table also has rows of the
transformers library, which tests use to check memory.)
"""

import numpy as np
import polars as pl

from hardware_models.errors import TableError
from hardware_models.gaussian_process import Array, Coordinates, Kernel
from hardware_models.llm.architecture import known_as, language_model, layer_bytes, precisions
from hardware_models.reference import REFERENCE
from hardware_models.surfaces import Coefficients, Form, Surface, features, numbers
from hardware_models.tables import load_table, table_cache

STACK = "vLLM 0.6.3"
FULL_PRECISION = "BF16"

_GIGA, _TERA, _MS_PER_S = 1e9, 1e12, 1e3
_HALF_PRECISION_BYTES = 2
_CONTRADICTION = 1.2
_LONG = 1024  # tokens from which on arithmetic limits projections


@table_cache
def flops_per_s(gpu: str) -> float:
    """Return the operations per second that a board reaches in a layer's matrices and norms.

    The value is the median of (2 x parameters x tokens / time) over the board's rows of table
    ``llm_mlp_times`` with 1024 tokens or more. It is nan if the board has no such rows.

    Raises:
        TableError: The reference board has no such row.
    """
    table = load_table("llm_mlp_times")
    rows = table.filter((pl.col("gpu") == gpu) & (pl.col("num_tokens") >= _LONG))
    reached = [
        2
        * language_model(row["model"]).layer_parameters
        * row["num_tokens"]
        / row["tensor_parallel"]
        / ((row["linear_ms_per_layer"] + row["other_ms_per_layer"]) / _MS_PER_S)
        for row in rows.iter_rows(named=True)
        if known_as(row["model"]) is not None
    ]
    if not reached and gpu == REFERENCE:
        raise TableError(
            f"llm_mlp_times: lacks a row of gpu {gpu!r}, a model of llm_models and num_tokens "
            f"of {_LONG} or more; one is needed"
        )
    return float(np.median(reached)) if reached else float("nan")


def answerable(frame: pl.DataFrame) -> pl.Series:
    """Return a mask of the rows for single requests on vLLM and models of known architecture."""
    known = [
        known_as(model) is not None and precision in precisions(model)
        for model, precision in zip(frame["model"], frame["precision"], strict=True)
    ]
    right = (
        (frame["engine"] == STACK)
        & (frame["gpu"] == REFERENCE)
        & (frame["batch"] == 1)
        & frame["input_tokens"].is_not_null()
    )
    return right & pl.Series(known, dtype=pl.Boolean)


def _start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    start = {
        ("speed", "log_launch_ms"): 0.0,
        ("speed", "log_layer_ms"): -2.5,
        ("speed", "log_quantised_layer_ms"): -4.0,
        ("speed", "log_parallel"): -1.3,
        ("speed", "log_attention_ms_per_tflop"): 2.0,
        (f"speed {FULL_PRECISION}", "log_read_ms_per_gb"): -0.5,
    }
    names = frame["precision"].unique().sort()
    return start | {(f"speed {name}", "log_read_ms_per_gb"): -0.5 for name in names}


def attention_flops(model: str) -> float:
    """Return the operations of a prompt's causal attention, divided by its tokens squared."""
    known = language_model(model)
    return 2.0 * known.layers * known.heads * known.head_dim


def _form(frame: pl.DataFrame) -> Form:
    """Return total time: the launches and reads for each token, plus the time of the prompt."""
    models = [language_model(name) for name in frame["model"]]
    prompt, output, boards = numbers(frame, "input_tokens", "output_tokens", "n_gpus")
    layers = np.array([model.layers for model in models])
    matrices = [
        layer_bytes(model, precision) / _GIGA
        for model, precision in zip(frame["model"], frame["precision"], strict=True)
    ]
    head = [_HALF_PRECISION_BYTES * model.output_parameters / _GIGA for model in models]
    cache = np.array([model.kv_bytes_per_token for model in models]) / _GIGA
    cache *= prompt + output / 2
    linear = np.array([2.0 * model.layers * model.layer_parameters for model in models]) * prompt
    attention = np.array([attention_flops(model.name) for model in models]) * prompt**2 / _TERA
    linear_ms = _MS_PER_S * linear / flops_per_s(REFERENCE)
    groups = [f"speed {precision}" for precision in frame["precision"]]
    quantised = (frame["precision"] != FULL_PRECISION).to_numpy()

    def form(values: Coefficients) -> Array:
        shared = {name: np.exp(value) for (of, name), value in values.items() if of == "speed"}
        read = {
            of: np.exp(value) for (of, name), value in values.items() if name.startswith("log_read")
        }
        full = read[f"speed {FULL_PRECISION}"]
        each = shared["log_layer_ms"] + quantised * shared["log_quantised_layer_ms"]
        fixed = shared["log_launch_ms"] + layers * each
        fixed = fixed * (1 + shared["log_parallel"] * (boards > 1))
        reading = np.array([read.get(group, np.nan) for group in groups]) * matrices
        decode = fixed + (reading + full * (np.array(head) + cache)) / boards
        prefill = linear_ms + shared["log_attention_ms_per_tflop"] * attention
        return np.asarray(np.log(_MS_PER_S * output / (decode * output + prefill / boards)))

    return form


def _coordinates(frame: pl.DataFrame) -> Coordinates:
    table = load_table("llm_speed")
    rows = table.filter(answerable(table))
    names = sorted({str(known_as(name)) for name in rows["model"]})
    canonical = pl.Series([known_as(name) for name in frame["model"]], dtype=pl.String)
    groups = [
        features(names)(canonical),
        features(rows["precision"].unique().sort().to_list())(frame["precision"]),
        np.log2(frame["n_gpus"].to_numpy().astype(float))[:, None],
    ]
    context = frame["input_tokens"].to_numpy() + frame["output_tokens"].to_numpy()
    return Coordinates(np.log2(context.astype(float))[:, None], np.column_stack(groups))


def _trusted(frame: pl.DataFrame) -> pl.Series:
    """Return a mask that excludes rows whose speedup by more boards is impossibly large."""
    cell = frame.select(pl.struct("model", "precision", "input_tokens", "output_tokens"))
    same = cell.to_series().rank("dense").to_numpy()
    boards, rates = frame["n_gpus"].to_numpy(), frame["decode_tokens_per_s"].to_numpy()
    gain = rates[None, :] / rates[:, None]
    more = boards[None, :] / boards[:, None]
    contradicted = (same[:, None] == same[None, :]) & (more > 1) & (gain > _CONTRADICTION * more)
    return pl.Series(~contradicted.any(axis=1))


SPEED = Surface(
    fit="llm",
    name="speed",
    table="llm_speed",
    target="decode_tokens_per_s",
    start=_start,
    form=_form,
    coordinates=_coordinates,
    kernel=Kernel((2.0,), 0.03, 0.05, 0.5, 0.02),
    rows=answerable,
    trusted=_trusted,
)
"""Tokens that are generated per second for one request."""
