"""Accelerator boards by speed: time on a board over time on an A100-80GB.

Sources: MLPerf Inference closed division, ratios to the A100-SXM-80GB of the same round (of round
v0.7, to the A100-SXM-40GB, which is within 2 % of it); for the V100, which MLPerf lacks, layer
times of language models against an A100-40GB (Helix, ASPLOS 2025). Tables
``accelerator_relative_speed`` and ``accelerator_systems``; the latter says which board a system
has. Files of declared accelerators give speedups over one of these boards.
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
"""Times of a board over those of the reference, by metric and benchmark."""


def with_boards(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the board of each row's system, null if the system is not known."""
    systems = load_table("accelerator_systems").select("system", "board")
    return rows.join(systems, on="system", how="left", maintain_order="left")


def times(rows: pl.DataFrame) -> dict[str, Times]:
    """Average rows of relative speed, geometrically over rounds and systems, by board.

    Args:
        rows: Rows of table ``accelerator_relative_speed`` with their boards, see `with_boards`.
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
    """Name the boards with a known speed, the reference first, the others by name."""
    return (REFERENCE, *sorted({*_times(), *accelerators()} - {REFERENCE}))


@table_cache
def _all_benchmarks() -> tuple[str, ...]:
    return tuple(load_table("accelerator_relative_speed")["benchmark"].unique().sort())


@table_cache
def benchmarks(board: str) -> tuple[str, ...]:
    """Name the benchmarks in which a board was measured, at any batch.

    Raises:
        UnknownNameError: The board is not known.
    """
    pick("gpu", board, boards())
    known: list[Mapping[str, float]] = [*_times().get(board, {}).values()]
    if board in accelerators():
        known = [section.speedup for section in accelerators()[board].speed]
    return tuple(sorted({name for one in known for name in one} - {ANY}))


def end_point(known: Times, benchmark: str, metric: str) -> Ratio:
    """Relative time at one of the two ends, batch 1 or the offline rate, of a measured board."""
    # A board without data at one end, such as the H100 at batch 1, takes its other end.
    at_this_end = known.get(metric) or next(iter(known.values()))
    if benchmark in at_this_end:
        return Ratio(at_this_end[benchmark], "scaled" if metric in known else "assumed")
    return Ratio(_geometric_mean(at_this_end.values()), "assumed")


def _end(board: str, benchmark: str, metric: str) -> Ratio:
    """Relative time at one of the two ends, of a measured board or a declared accelerator."""
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
    """Batch from which a board runs at its offline rate, an assumption."""
    return float(required_row("board_assumptions", quantity="offline_batch")["value"])


@table_cache
def latency_ratio(board: str, benchmark: str, batch: int = 1) -> Ratio:
    """Return the time of a batch on a whole board over that on a whole A100-80GB.

    At batch 1 it is the ratio of single-stream latencies; from `offline_batch` on, the inverse of
    that of offline throughputs; in between, its logarithm is linear in the logarithm of the batch,
    an assumption. Each end is the geometric mean over rounds and systems. A benchmark that the
    board lacks at an end takes the mean over those that it has there. A missing end takes the
    other.

    Args:
        board: A name in `boards`.
        benchmark: An MLPerf benchmark, such as ``"resnet50"``, or a language model of the V100.
        batch: Requests in the batch.

    Returns:
        The ratio. Its basis is ``"measured"`` for the reference itself, ``"scaled"`` at an end
        that was measured, else ``"assumed"``.

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
