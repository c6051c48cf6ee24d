"""Imports measurements of other tools as rows of tables, with a function for each format.

- CSV reports of Triton's ``perf_analyzer -f``, which have one row per concurrency, and latencies in
  microseconds:
  https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/perf_analyzer/docs/measurements_metrics.html
- JSON results of ``vllm bench serve --save-result``, which have one object per run:
  https://docs.vllm.ai/en/latest/cli/bench/serve.html
- ``mlperf_log_summary.txt``, the summary that LoadGen writes of an MLPerf Inference run:
  https://github.com/mlcommons/inference/blob/master/loadgen/results.cc
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lab.common.errors import InputError
from lab.common.tool_files import VLLM, json_objects, perf_analyzer_row, text_of, vllm_batch
from lab.hardware_tools.measured_rows import Given, Row, gpu_latency_row, provenance

US_PER_MS = 1e3
NS_PER_MS = 1e6
MS_PER_S = 1e3

INFER, QUEUE, P50 = "Server Compute Infer", "Server Queue", "p50 latency"

NEEDED = ("completed", "total_input_tokens", "total_output_tokens")
LATENCIES = ("median_ttft_ms", "median_tpot_ms")

MEAN, RATE, QUERY = "Mean latency (ns)", "Samples per second", "samples_per_query"
LATENCY_SCENARIOS = ("SingleStream", "MultiStream")


def perf_analyzer(path: Path, given: Given) -> pl.DataFrame:
    """Return the latency of a batch as a row of table ``gpu_latency``.

    The latency is the server's compute time, without queueing and network. It is read from the row
    whose concurrency equals the given number of processes (instances). Raises InputError if the
    file is not a report of ``perf_analyzer -b BATCH --concurrency-range ... -f FILE``, or lacks
    that row.
    """
    [batch] = given.need("batch")
    row = perf_analyzer_row(path, given.processes, (INFER, QUEUE, P50))
    note = (
        f"server compute time at concurrency {given.processes}; in addition, {row[QUEUE]:g} us in "
        f"queue; {row[P50]:g} us from end to end (median)"
    )
    latency_ms = row[INFER] / US_PER_MS
    return pl.DataFrame([gpu_latency_row(given, batch, latency_ms, note, "measured")])


def vllm_bench(path: Path, given: Given) -> pl.DataFrame:
    """Return the runs in a file as rows of table ``llm_iteration``.

    A file made with ``--append-result`` has several runs. Token counts are averages over a run's
    requests; latencies are medians. The batch size is ``max_concurrency``. Without
    ``--percentile-metrics ...,e2el``, the end-to-end latency is computed as the time to the first
    token plus the time per token for all other tokens. A given model or batch size replaces that of
    the file. Raises InputError for files of other formats, and for a run without
    ``max_concurrency`` if no batch size is given.
    """
    given.need("gpu")
    return pl.DataFrame([_vllm_row(path, result, given) for result in json_objects(path, VLLM)])


def _vllm_row(path: Path, result: Mapping[str, Any], given: Given) -> Row:
    for name in (*NEEDED, *LATENCIES):
        value = result.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise InputError(
                f"{path}: {name} must be a number above 0, as in a result of vllm bench serve; "
                f"it is {json.dumps(value)}"
            )
    completed = result["completed"]
    prompt_tokens, output_tokens = (round(result[name] / completed) for name in NEEDED[1:])
    ttft_ms, tpot_ms = (result[name] for name in LATENCIES)
    e2e_ms, how = result.get("median_e2el_ms"), "medians"
    if e2e_ms is None:
        e2e_ms = ttft_ms + tpot_ms * max(output_tokens - 1, 0)
        how = "medians, e2e_ms = ttft_ms + tpot_ms * (output_tokens - 1)"
    return {
        "model": given.model or result.get("model_id"),
        "gpu": given.gpu,
        "tensor_parallel": given.tensor_parallel,
        "prompt_tokens": prompt_tokens,
        "batch": vllm_batch(path, result, given.batch),
        "output_tokens": output_tokens,
        "ttft_ms": ttft_ms,
        "tpot_ms": tpot_ms,
        "e2e_ms": e2e_ms,
        "n_runs": 1,
        **provenance(
            "ms",
            "measured",
            f"{how} over {completed} requests with mean token counts; closed loop, so ttft_ms "
            "includes the wait for the current iteration",
        ),
    }


def mlperf_loadgen(path: Path, given: Given) -> pl.DataFrame:
    """Return the latency of a batch as a row of table ``gpu_latency``.

    In the scenarios SingleStream and MultiStream (from v2.0 on), the batch consists of a query's
    samples, and its latency is the mean latency of a query. In the scenario Offline, the latency is
    the given batch size divided by the samples per second. The scenario Server is rejected, because
    its latencies include queueing. Raises InputError if the file is not the summary of a valid run
    of an accepted scenario.
    """
    pairs = (line.partition(":") for line in text_of(path).splitlines())
    entries = {key.strip(): value.strip() for key, colon, value in pairs if colon}
    scenario, result, mode = (
        _entry(path, entries, key) for key in ("Scenario", "Result is", "Mode")
    )
    if result != "VALID":
        raise InputError(f"{path}: Result is {result}; only a VALID run can be imported")
    if not mode.startswith("Performance"):
        raise InputError(f"{path}: Mode is {mode}; only a PerformanceOnly run has latencies")
    scenario = scenario.replace(" ", "")  # "Single Stream" until v0.7
    if scenario in LATENCY_SCENARIOS:
        batch = int(_number(path, entries, QUERY))
        latency_ms = _number(path, entries, MEAN) / NS_PER_MS
        note, kind = f"{scenario}: mean latency of a query", "measured"
    elif scenario == "Offline":
        [batch] = given.need("batch")
        rate = _number(path, entries, RATE)
        latency_ms = MS_PER_S * batch / rate
        note, kind = f"Offline: 1000 * batch / ({rate:g} samples per second)", "derived"
    else:
        allowed = ", ".join((*LATENCY_SCENARIOS, "Offline"))
        raise InputError(f"{path}: Scenario is {scenario}; only {allowed} give a batch's latency")
    return pl.DataFrame([gpu_latency_row(given, batch, latency_ms, note, kind)])


def _entry(path: Path, entries: Mapping[str, str], key: str) -> str:
    if key not in entries:
        raise InputError(f"{path}: has no line {key!r}, as a summary of MLPerf LoadGen has")
    return entries[key]


def _number(path: Path, entries: Mapping[str, str], key: str) -> float:
    text = _entry(path, entries, key)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise InputError(f"{path}: {key} must be a number above 0; it is {text!r}")
    return value


@dataclass(frozen=True)
class Importer:
    """A file format that can be imported."""

    table: str  # table of the imported rows
    source: str  # tool that writes the files
    # Reads a file, given the facts that it does not state.
    read: Callable[[Path, Given], pl.DataFrame]


IMPORTERS: Mapping[str, Importer] = {
    "perf-analyzer": Importer("gpu_latency", "Triton perf_analyzer", perf_analyzer),
    "vllm-bench": Importer("llm_iteration", "vllm bench serve", vllm_bench),
    "mlperf-loadgen": Importer("gpu_latency", "MLPerf LoadGen", mlperf_loadgen),
}
"""All formats by their names in ``compass-lab import``."""
