"""The speed of accelerator boards: ratios of the time on a board to that on an A100-80GB.

The main source is MLPerf Inference, closed division. Its results are divided by those of the
A100-SXM-80GB in the same round. Round v0.7 has only the A100-SXM-40GB, whose results differ from
these by up to 2 %. MLPerf lacks the V100, so the V100's ratios are computed from layer times of
language models, relative to an A100-40GB (Helix, ASPLOS 2025). The ratios are in table
``accelerator_relative_speed``; table ``accelerator_systems`` says which board a system has.
Accelerator files give speedups over one of these boards.
"""

import math
from collections.abc import Iterable, Mapping

import polars as pl

from hardware_models.accelerators import ANY
from hardware_models.basis import Ratio, worst
from hardware_models.errors import pick
from hardware_models.reference import BATCH_1, OFFLINE, REFERENCE
from hardware_models.tables import accelerators, load_table, required_row, table_cache


def _geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(math.fsum(logs) / len(logs))


Times = Mapping[str, Mapping[str, float]]
"""Times of a board divided by those of the reference, by metric and benchmark."""


def with_boards(rows: pl.DataFrame) -> pl.DataFrame:
    """Add a column with the board of each row's system, which is null for unknown systems."""
    systems = load_table("accelerator_systems").select("system", "board")
    return rows.join(systems, on="system", how="left", maintain_order="left")


def times(rows: pl.DataFrame) -> dict[str, Times]:
    """Return each board's geometric mean of relative speeds over rounds and systems.

    Args:
        rows: Rows of table ``accelerator_relative_speed`` with the column that `with_boards` adds.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for (board, metric, benchmark), group in rows.drop_nulls("board").group_by(
        "board", "metric", "benchmark", maintain_order=True
    ):
        ratio = _geometric_mean(group["value"])
        by_metric = result.setdefault(str(board), {})
        time = ratio if metric == BATCH_1 else 1 / ratio
        by_metric.setdefault(str(metric), {})[str(benchmark)] = time
    return dict(result)


@table_cache
def _times() -> dict[str, Times]:
    return times(with_boards(load_table("accelerator_relative_speed")))


@table_cache
def boards() -> tuple[str, ...]:
    """Return the names of the boards with known speeds: first the reference, then the others."""
    return (REFERENCE, *sorted({*_times(), *accelerators()} - {REFERENCE}))


@table_cache
def _all_benchmarks() -> tuple[str, ...]:
    return tuple(load_table("accelerator_relative_speed")["benchmark"].unique().sort())


@table_cache
def benchmarks(board: str) -> tuple[str, ...]:
    """Return the names of the benchmarks in which a board was measured, at any batch size.

    Raises:
        UnknownNameError: The board is not known.
    """
    pick("gpu", board, boards())
    known: list[Mapping[str, float]] = [*_times().get(board, {}).values()]
    if board in accelerators():
        known = [section.speedup for section in accelerators()[board].speed]
    return tuple(sorted({name for one in known for name in one} - {ANY}))


def end_point(known: Times, benchmark: str, metric: str) -> Ratio:
    """Return the relative time of a measured board, at batch 1 or at the offline rate."""
    # A board without data at one end, such as the H100 at batch 1, uses its other end.
    at_this_end = known.get(metric) or next(iter(known.values()))
    if benchmark in at_this_end:
        return Ratio(at_this_end[benchmark], "scaled" if metric in known else "assumed")
    return Ratio(_geometric_mean(at_this_end.values()), "assumed")


def _end(board: str, benchmark: str, metric: str) -> Ratio:
    """Return the relative time of any board at batch 1 or at the offline rate."""
    if board not in accelerators():
        return _measured_end(board, benchmark, metric)
    speedup, over, basis = accelerators()[board].speedup(
        benchmark, "batch_1" if metric == BATCH_1 else "offline"
    )
    ratio = _measured_end(over, benchmark, metric)
    return Ratio(ratio.value / speedup, worst(basis, ratio.basis))


def _measured_end(board: str, benchmark: str, metric: str) -> Ratio:
    if board == REFERENCE:
        return Ratio(1.0, "measured")
    pick("measured gpu", board, (REFERENCE, *_times()))
    return end_point(_times()[board], benchmark, metric)


@table_cache
def offline_batch() -> float:
    """Return the smallest batch size at which boards are assumed to run at their offline rate."""
    return float(required_row("board_assumptions", quantity="offline_batch")["value"])


@table_cache
def latency_ratio(board: str, benchmark: str, batch: int = 1) -> Ratio:
    """Return the ratio of a batch's time on a whole board to its time on a whole A100-80GB.

    At batch 1 this is the ratio of single-stream latencies. From `offline_batch` on, it is the
    inverse of the ratio of offline throughputs. In between, the logarithm of the ratio is assumed
    to be linear in the logarithm of the batch size. Both measured ratios are geometric means over
    rounds and systems. For a benchmark in which the board was not measured, the mean over the
    board's other benchmarks is used. If only one of the two ratios is known, it applies to all
    batch sizes.

    Args:
        board: A name in `boards`.
        benchmark: An MLPerf benchmark, such as ``"resnet50"``, or for the V100 a language model.
        batch: Number of requests in the batch.

    Returns:
        The ratio. Its basis is ``"measured"`` for the reference board, ``"scaled"`` where batch 1
        or the offline rate was measured, else ``"assumed"``.

    Raises:
        UnknownNameError: The board or the benchmark is not known.
        ValueError: The batch is below 1.
    """
    pick("gpu", board, boards())
    pick("benchmark", benchmark, _all_benchmarks())
    if batch < 1:
        raise ValueError(f"batch is {batch!r}: give a whole number of at least 1")
    if board == REFERENCE:
        return Ratio(1.0, "measured")
    share = 1.0
    if batch < offline_batch():
        share = math.log(batch) / math.log(offline_batch())
    one, offline = (_end(board, benchmark, metric) for metric in (BATCH_1, OFFLINE))
    if share in {0.0, 1.0}:
        return offline if share else one
    return Ratio(one.value ** (1 - share) * offline.value**share, worst("assumed", one.basis))
