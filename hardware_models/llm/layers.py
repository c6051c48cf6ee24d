"""Times of one transformer layer on several boards: the whole layer, and its matrices alone.

Table ``llm_layer_times`` has the profiles of the Helix simulator (ASPLOS 2025): the time of a whole
layer by decode batch or by prompt tokens, on A100-40GB, V100, L4 and T4. Table ``llm_mlp_times``
has the profiles of the Vidur simulator (MLSys 2024): the time of the projections by tokens and
tensor parallelism, on A100-80GB, H100 and A40.
"""

import numpy as np
import polars as pl

from hardware_models.gaussian_process import Array, Coordinates, Kernel
from hardware_models.llm.architecture import column
from hardware_models.surfaces import (
    Coefficients,
    Form,
    Surface,
    codes,
    labels,
    log_sum,
    lookup,
    numbers,
    smooth_max,
    starts,
)

_UNIFORM = 12**-0.5  # Standard deviation of an error that is uniform over a unit.


_LAYER_GROUP = ("model", "gpu", "phase")


def _layer_start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    size, times = numbers(frame, "batch_or_tokens", "time_ms_per_layer")
    return {("layer", "log_sharpness"): 0.0} | starts(
        labels("layer", frame, *_LAYER_GROUP),
        log_floor=lambda of: np.log(times[of].min()),
        log_slope=lambda of: np.log((times / size)[of].min()),
    )


def _layer_form(frame: pl.DataFrame) -> Form:
    """Return the formula: the larger of the times to read weights and to do all arithmetic."""
    groups = labels("layer", frame, *_LAYER_GROUP)
    size = np.log(numbers(frame, "batch_or_tokens")[0])

    def form(values: Coefficients) -> Array:
        floor = lookup(values, groups, "log_floor")
        work = lookup(values, groups, "log_slope") + size
        return smooth_max(floor, work, 1 + np.exp(values["layer", "log_sharpness"]))

    return form


def _layer_rounding(frame: pl.DataFrame) -> Array:
    """Return relative rounding errors; times are rounded to 1 ms, or 0.1 ms for small batches."""
    times = frame["time_ms_per_layer"].to_numpy()
    whole = (times % 1 == 0) & ((times >= 10) | (frame["batch_or_tokens"] > 100).to_numpy())
    return np.asarray(np.where(whole, 1.0, 0.1) * _UNIFORM / times)


LAYER = Surface(
    fit="llm_layers",
    name="layer",
    table="llm_layer_times",
    target="time_ms_per_layer",
    start=_layer_start,
    form=_layer_form,
    coordinates=lambda frame: Coordinates(
        np.log2(numbers(frame, "batch_or_tokens")[0])[:, None],
        codes("llm_layer_times", frame, *_LAYER_GROUP),
    ),
    kernel=Kernel((1.0,), 0.02, 0.1, 0.3, 0.02),
    rounding=_layer_rounding,
)
"""Milliseconds of a whole layer."""


def _mlp_start(frame: pl.DataFrame) -> dict[tuple[str, str], float]:
    groups = labels("linear", frame, "gpu")
    start = starts(groups, log_launch=-4.0, log_read=-7.0, log_compute=-12.0)
    return {("linear", "log_sharpness"): 1.0} | start


def _mlp_form(frame: pl.DataFrame) -> Form:
    """Return the formula: a launch time plus the larger of the times to read and to compute."""
    groups = labels("linear", frame, "gpu")
    share = np.log(column(frame, "layer_parameters")) - np.log(1e6)
    share -= np.log(frame["tensor_parallel"].to_numpy())
    tokens = np.log(numbers(frame, "num_tokens")[0])

    def form(values: Coefficients) -> Array:
        read = lookup(values, groups, "log_read") + share
        compute = lookup(values, groups, "log_compute") + share + tokens
        work = smooth_max(read, compute, 1 + np.exp(values["linear", "log_sharpness"]))
        return log_sum(lookup(values, groups, "log_launch"), work)

    return form


def _mlp_coordinates(frame: pl.DataFrame) -> Coordinates:
    points = np.log2(np.column_stack(numbers(frame, "num_tokens", "tensor_parallel")))
    return Coordinates(points, codes("llm_mlp_times", frame, "model", "gpu"))


LINEAR = Surface(
    fit="llm_layers",
    name="linear",
    table="llm_mlp_times",
    target="linear_ms_per_layer",
    start=_mlp_start,
    form=_mlp_form,
    coordinates=_mlp_coordinates,
    kernel=Kernel((2.0, 1.0), 0.05, 0.1, 0.5, 0.02),
    rows=lambda frame: pl.Series(np.isfinite(column(frame, "layer_parameters"))),
)
"""Milliseconds of the projections of a layer on each of the boards that share it."""
