"""Measured times of language models on DGX machines, to the first token and between tokens.

The source is Splitwise (ISCA 2024), table ``llm_iteration``. It measured static batches of equal
prompts, without admission or paging of requests, so the times are those of iterations and include
no queueing. Its rows for power-capped GPUs (``-pcap``) are copies of other rows, multiplied by a
constant.
"""

import numpy as np
import polars as pl

from hardware_models.gaussian_process import Array, Coordinates, Kernel
from hardware_models.surfaces import (
    Coefficients,
    Form,
    Surface,
    labels,
    lookup,
    numbers,
    smooth_max,
    starts,
)
from hardware_models.tables import load_table

_CAP = "-pcap"
_CONTRADICTION = 2.0


def _uncapped(frame: pl.DataFrame) -> pl.Series:
    return frame["gpu"].str.strip_suffix(_CAP)


def _groups(name: str, frame: pl.DataFrame) -> list[str]:
    """Return each row's group: its model, its GPU (power-capped or not) and its parallelism."""
    uncapped = frame.with_columns(gpu=_uncapped(frame))
    return labels(name, uncapped, "model", "gpu", "tensor_parallel")


def _caps(name: str, frame: pl.DataFrame) -> list[str]:
    return [f"{name} {gpu}" for gpu in frame["gpu"]]


def _cap(values: Coefficients, name: str, frame: pl.DataFrame) -> Array:
    """Return the logarithm of the factor by which a power cap extends times."""
    capped = frame["gpu"].str.ends_with(_CAP).to_numpy()
    return np.where(capped, lookup(values, _caps(name, frame), "log_cap"), 0.0)


def _cap_starts(name: str, frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    return {(cap, "log_cap"): 0.0 for cap in _caps(name, frame) if cap.endswith(_CAP)}


def _ttft_start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    prompt, batch, times = numbers(frame, "prompt_tokens", "batch", "ttft_ms")
    shared = {"batch_exponent": 0.05, "log_attention": -3.5, "log_sharpness": 0.5}
    own = starts(
        _groups("ttft", frame),
        log_floor=lambda of: np.log(times[of].min()),
        log_slope=lambda of: np.median(np.log(times[of] / (prompt * batch)[of])),
    )
    return (
        {("ttft", name): value for name, value in shared.items()} | own | _cap_starts("ttft", frame)
    )


def _ttft_form(frame: pl.DataFrame) -> Form:
    """Return the formula: the larger of a minimum and the work by tokens, attention and batch."""
    prompt, batch = numbers(frame, "prompt_tokens", "batch")
    groups = _groups("ttft", frame)

    def form(values: Coefficients) -> Array:
        shared = {name: values["ttft", name] for of, name in values if of == "ttft"}
        attention = np.exp(shared["log_attention"]) * prompt / 1e3
        work = lookup(values, groups, "log_slope") + np.log(prompt * batch)
        work += np.log1p(attention) + shared["batch_exponent"] * np.log(batch)
        sharpness = 1 + np.exp(shared["log_sharpness"])
        floor = lookup(values, groups, "log_floor")
        return smooth_max(floor, work, sharpness) + _cap(values, "ttft", frame)

    return form


def _tpot_start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    (times,) = numbers(frame, "tpot_ms")
    groups = _groups("tpot", frame)
    own = starts(groups, log_floor=lambda of: np.log(times[of].min()), log_batch=-4.5)
    return {("tpot", "log_context"): -5.0} | own | _cap_starts("tpot", frame)


def _tpot_form(frame: pl.DataFrame) -> Form:
    """Return the formula: a minimum, plus time per sequence and per 1000 tokens of context."""
    prompt, batch, output = numbers(frame, "prompt_tokens", "batch", "output_tokens")
    context = batch * (prompt + output / 2) / 1e3
    groups = _groups("tpot", frame)

    def form(values: Coefficients) -> Array:
        sequence = np.exp(lookup(values, groups, "log_batch")) * batch
        growth = np.log1p(sequence + np.exp(values["tpot", "log_context"]) * context)
        floor = lookup(values, groups, "log_floor")
        return np.asarray(floor + growth + _cap(values, "tpot", frame))

    return form


def _group_features(frame: pl.DataFrame) -> Array:
    """Return features by which another model, GPU or doubled parallelism is at distance 1."""
    table = load_table("llm_iteration")
    models, gpus = table["model"].unique().sort(), _uncapped(table).unique().sort()
    model, gpu = frame["model"].to_numpy(), _uncapped(frame).to_numpy()
    codes = [0.5 * (model == name) for name in models] + [0.5 * (gpu == name) for name in gpus]
    return np.column_stack([*codes, np.log2(frame["tensor_parallel"].to_numpy())])


def _ttft_coordinates(frame: pl.DataFrame) -> Coordinates:
    prompt, batch = numbers(frame, "prompt_tokens", "batch")
    points = np.column_stack([np.log2(prompt * batch), np.log2(batch)])
    return Coordinates(points, _group_features(frame))


def _tpot_coordinates(frame: pl.DataFrame) -> Coordinates:
    points = np.log2(np.column_stack(numbers(frame, "prompt_tokens", "batch", "output_tokens")))
    return Coordinates(points, _group_features(frame))


def _trusted(frame: pl.DataFrame) -> pl.Series:
    """Return a mask of the rows that no other row contradicts.

    A row is contradicted if another row of its group, with the same or a smaller prompt and batch,
    took more than twice as long to the first token. The contradicted run cannot have processed its
    whole batch at once.
    """
    prompt, batch, times = numbers(frame, "prompt_tokens", "batch", "ttft_ms")
    groups = np.array(_groups("ttft", frame))
    same = groups[:, None] == groups[None, :]
    smaller = (prompt[:, None] >= prompt[None, :]) & (batch[:, None] >= batch[None, :])
    contradicted = same & smaller & (times[None, :] > _CONTRADICTION * times[:, None])
    return pl.Series(~contradicted.any(axis=1))


TTFT = Surface(
    fit="llm_iteration",
    name="ttft",
    table="llm_iteration",
    target="ttft_ms",
    start=_ttft_start,
    form=_ttft_form,
    coordinates=_ttft_coordinates,
    kernel=Kernel((1.0, 2.0), 0.02, 0.1, 0.6, 0.01),
    trusted=_trusted,
)
"""Milliseconds to the first token."""

TPOT = Surface(
    fit="llm_iteration",
    name="tpot",
    table="llm_iteration",
    target="tpot_ms",
    start=_tpot_start,
    form=_tpot_form,
    coordinates=_tpot_coordinates,
    kernel=Kernel((4.0, 2.0, 6.0), 0.02, 0.05, 0.6, 0.01),
    trusted=_trusted,
)
"""Milliseconds from one token to the next."""
