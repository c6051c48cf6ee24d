"""Object detectors: accuracy and latency by model, hardware and input size.

The READMEs of the models are the source of tables ``detection_latency`` (by hardware and precision,
at each model's default input size) and ``detection_map`` (COCO val). The READMEs of two Darknet
ports are the source of table ``detection_resolution`` (accuracy and frame rate by input size). In
that table, each pair of hardware and precision was measured with its own software stack, such as
TensorRT, NCNN or ONNX. Column ``precision`` names the stack.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from hardware_models.gaussian_process import Array, Coordinates, Kernel
from hardware_models.surfaces import (
    Coefficients,
    Form,
    Surface,
    codes,
    features,
    labels,
    log_sum,
    lookup,
    numbers,
    starts,
)
from hardware_models.tables import load_table, table_cache

_REFERENCE_PX = 608.0
_MAP_SOURCE_PX = 640.0  # FLOPs are quoted at this size, except those of 416 px models
_SMALL_PX = 416
_MS_PER_S = 1e3
_FAMILY = r"^(YOLOX|YOLOv?\d+)"


@table_cache
def _gflops() -> dict[str, float]:
    """Return the billions of operations that each model needs for an image of 640 px."""
    known = {}
    for table in ("detection_latency", "detection_map"):
        rows = load_table(table).filter(pl.col("flops_g") > 0)
        for model, px, flops in rows.select("model", "input_px", "flops_g").iter_rows():
            quoted = float(px) if px <= _SMALL_PX else _MAP_SOURCE_PX
            known[model] = flops * (_MAP_SOURCE_PX / quoted) ** 2
    return known


def _log_gflops(frame: pl.DataFrame) -> Array:
    flops = np.array([_gflops().get(model, np.nan) for model in frame["model"]])
    return np.asarray(np.log(flops) + 2 * np.log(frame["input_px"].to_numpy() / _MAP_SOURCE_PX))


_STACK = ("hardware", "precision")


def _latency_start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    times, work = frame["value"].to_numpy(), np.exp(_log_gflops(frame))
    return starts(
        labels("latency", frame, *_STACK, "batch"),
        log_floor_ms=lambda of: np.log(times[of].min() / 2),
        log_ms_per_gflop=lambda of: np.log(np.median(times[of] / work[of]) / 2),
    )


def _latency_form(frame: pl.DataFrame) -> Form:
    """Return the formula of latency: a minimum plus the operations divided by hardware speed."""
    groups, work = labels("latency", frame, *_STACK, "batch"), _log_gflops(frame)

    def form(values: Coefficients) -> Array:
        floor = lookup(values, groups, "log_floor_ms")
        return log_sum(floor, lookup(values, groups, "log_ms_per_gflop") + work)

    return form


def _latency_coordinates(frame: pl.DataFrame) -> Coordinates:
    known, own = (
        models.str.extract(_FAMILY).fill_null("")
        for models in (load_table("detection_latency")["model"], frame["model"])
    )
    family = features(known.unique().sort().to_list())(own)
    stack = codes("detection_latency", frame, *_STACK)
    return Coordinates(_log_gflops(frame)[:, None], np.column_stack([stack, family]))


LATENCY = Surface(
    fit="detection",
    name="latency",
    table="detection_latency",
    target="value",
    start=_latency_start,
    form=_latency_form,
    coordinates=_latency_coordinates,
    kernel=Kernel((0.5,), 0.1, 0.1, 0.6, 0.03),
    rows=lambda frame: (
        pl.Series(np.isfinite(_log_gflops(frame)), dtype=pl.Boolean)
        & frame["metric"].is_in(["latency", "latency per image"])
    ),
)
"""Milliseconds per image; for a batch, its time divided by its size."""


def _resolution_coordinates(*columns: str) -> Callable[[pl.DataFrame], Coordinates]:
    def coordinates(frame: pl.DataFrame) -> Coordinates:
        points = np.log2(numbers(frame, "input_px")[0])[:, None]
        return Coordinates(points, codes("detection_resolution", frame, *columns))

    return coordinates


def _log_px(frame: pl.DataFrame) -> Array:
    return np.asarray(np.log(frame["input_px"].to_numpy() / _REFERENCE_PX))


def _fps_start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    stacks = labels("fps", frame, *_STACK)
    level = float(np.log(_MS_PER_S / frame["fps"].to_numpy()).mean())
    work = starts(labels("fps", frame, "model"), log_work_ms=level)
    return starts(stacks, log_floor_ms=1.5) | starts(stacks, log_speed=0.0) | work


def _fps_form(frame: pl.DataFrame) -> Form:
    """Return the formula of frame rate: a frame takes a minimum plus the time for its pixels."""
    stacks, models = labels("fps", frame, *_STACK), labels("fps", frame, "model")
    pixels = 2 * _log_px(frame)

    def form(values: Coefficients) -> Array:
        work = lookup(values, models, "log_work_ms") - lookup(values, stacks, "log_speed") + pixels
        floor = lookup(values, stacks, "log_floor_ms")
        return np.asarray(np.log(_MS_PER_S) - log_sum(floor, work))

    return form


FPS = Surface(
    fit="detection",
    name="fps",
    table="detection_resolution",
    target="fps",
    start=_fps_start,
    form=_fps_form,
    coordinates=_resolution_coordinates("model", "hardware", "precision"),
    kernel=Kernel((1.0,), 0.02, 0.1, 0.5, 0.03),
)
"""Frames per second."""


def _map_start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    accuracy, models = frame["map50_95"].to_numpy(), labels("map", frame, "model")
    best = starts(models, log_map_608=lambda of: np.log(accuracy[of].max()))
    return {("map", "growth"): 0.2} | best


def _map_form(frame: pl.DataFrame) -> Form:
    """Return mAP(s) = m608 + g ln(s / 608) at input size s; g / m608 is equal for all models."""
    groups, px = labels("map", frame, "model"), _log_px(frame)

    def form(values: Coefficients) -> Array:
        growth = np.log(np.maximum(1 + values["map", "growth"] * px, 1e-3))
        return np.asarray(lookup(values, groups, "log_map_608") + growth)

    return form


MAP = Surface(
    fit="detection",
    name="map",
    table="detection_resolution",
    target="map50_95",
    start=_map_start,
    form=_map_form,
    coordinates=_resolution_coordinates("model"),
    kernel=Kernel((1.0,), 0.03, 0.03, 0.3, 0.02),
    rows=lambda frame: frame["map50_95"].is_not_null(),
)
"""mAP50-95 on COCO, in percent."""
