"""The times that Whisper takes to encode a window of 30 s and to decode a token.

Table ``whisper_latency`` is from the whisper.cpp benchmarks, on a V100, Apple chips, a Raspberry Pi
4 and 5, and other hardware. For each pair of hardware and build, the time is modelled as a power of
the number of parameters of the encoder or the decoder (table ``whisper_models``), and corrected by
a Gaussian process. A model or hardware that is not known raises UnknownNameError.
"""

import math

import numpy as np
import polars as pl

from hardware_models.basis import Basis, Latency
from hardware_models.errors import pick
from hardware_models.gaussian_process import Array, Coordinates, Kernel
from hardware_models.surfaces import (
    Coefficients,
    Form,
    Surface,
    codes,
    labels,
    lookup,
    numbers,
    predict,
    starts,
)
from hardware_models.tables import load_table, table_cache

_METRICS = {"encode": "encode 30 s window", "decode": "decode per token"}
_MS_PER_S = 1e3


@table_cache
def _parameters(half: str) -> dict[str, int]:
    table = load_table("whisper_models")
    return dict(zip(table["model"], table[f"{half}_parameters"], strict=True))


def models() -> tuple[str, ...]:
    """Return the names of the models."""
    return tuple(_parameters("encoder"))


def hardware() -> tuple[str, ...]:
    """Return the names of the hardware on which the encoder was timed."""
    return tuple(ENCODE.measured()["hardware"].unique(maintain_order=True))


def _log_parameters(name: str, frame: pl.DataFrame) -> Array:
    known = _parameters(f"{name}r")
    return np.log([known.get(model, np.nan) for model in frame["model"]]) - math.log(1e8)


def _surface(name: str) -> Surface:
    def start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
        groups = labels(name, frame, "hardware", "engine")
        logs = np.log(frame["value"].to_numpy()) - 0.8 * _log_parameters(name, frame)
        levels = starts(groups, log_ms_at_100m=lambda of: np.median(logs[of]))
        return levels | starts(groups, exponent=0.8)

    def form(frame: pl.DataFrame) -> Form:
        of, sizes = labels(name, frame, "hardware", "engine"), _log_parameters(name, frame)

        def logs(values: Coefficients) -> Array:
            level = lookup(values, of, "log_ms_at_100m")
            return np.asarray(level + lookup(values, of, "exponent") * sizes)

        return logs

    def coordinates(frame: pl.DataFrame) -> Coordinates:
        stack = codes("whisper_latency", frame, "hardware", "engine", "precision")
        threads = np.log2(numbers(frame, "threads")[0])
        points = _log_parameters(name, frame)[:, None]
        return Coordinates(points, np.column_stack([stack, threads]))

    def rows(frame: pl.DataFrame) -> pl.Series:
        known = pl.Series(np.isfinite(_log_parameters(name, frame)), dtype=pl.Boolean)
        named = frame["precision"].is_not_null() & frame["threads"].is_not_null()
        return (frame["metric"] == _METRICS[name]) & known & named

    return Surface(
        fit="whisper",
        name=name,
        table="whisper_latency",
        target="value",
        start=start,
        form=form,
        coordinates=coordinates,
        kernel=Kernel((0.5,), 0.1, 0.05, 0.7, 0.02),
        rows=rows,
        # The source gives hundredths of a millisecond.
        rounding=lambda frame: 0.01 * 12**-0.5 / frame["value"].to_numpy(),
    )


ENCODE = _surface("encode")
"""Milliseconds to encode a window of 30 s."""

DECODE = _surface("decode")
"""Milliseconds to decode a token by greedy decoding."""


@table_cache
def _default_setting(on: str) -> tuple[str, str, int]:
    """Return the default build (the one with the shortest name), precision (half) and threads."""
    rows = load_table("whisper_latency").filter(
        (pl.col("hardware") == on) & pl.col("precision").is_not_null() & (pl.col("threads") > 0)
    )
    plain = pl.col("engine").str.len_chars()
    best = rows.sort(pl.col("precision") != "fp16", plain, "engine", "precision", "threads")
    engine, precision, threads = best.select("engine", "precision", "threads").row(0)
    return str(engine), str(precision), int(threads)


@table_cache
def encode_s(model: str, hardware_name: str) -> Latency:
    """Return the seconds to encode a window of 30 s, in half precision by the default build."""
    pick("whisper model", model, models())
    pick("hardware", hardware_name, hardware())
    row = (model, hardware_name, *_default_setting(hardware_name), _METRICS["encode"])
    figures, exact = predict(ENCODE, pl.DataFrame([row], schema=list(ENCODE.key), orient="row"))
    sizes = _parameters("encoder")
    timed = ENCODE.measured().filter(pl.col("hardware") == hardware_name)["model"]
    seen = [sizes[each] for each in timed]
    within = min(seen) <= sizes[model] <= max(seen)
    basis: Basis = "interpolated" if within else "extrapolated"
    return Latency(float(figures[0]) / _MS_PER_S, "measured" if exact[0] else basis)
