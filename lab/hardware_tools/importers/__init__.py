"""What other tools measured, read into rows of our tables: a module for each format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lab.hardware_tools.importers import mlperf_loadgen, perf_analyzer, vllm_bench
from lab.hardware_tools.measured_rows import Given


@dataclass(frozen=True)
class Importer:
    """A format."""

    table: str  # the table that its rows are of
    source: str  # the tool that writes it
    # Reads a file, given what it does not say of itself.
    read: Callable[[Path, Given], pl.DataFrame]


IMPORTERS: Mapping[str, Importer] = {
    "perf-analyzer": Importer("gpu_latency", "Triton perf_analyzer", perf_analyzer.read),
    "vllm-bench": Importer("llm_iteration", "vllm bench serve", vllm_bench.read),
    "mlperf-loadgen": Importer("gpu_latency", "MLPerf LoadGen", mlperf_loadgen.read),
}
"""Every format, by the name that ``compass-lab import`` knows it by."""
