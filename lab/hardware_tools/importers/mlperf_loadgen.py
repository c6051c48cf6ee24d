"""The summary of an MLPerf Inference run, ``mlperf_log_summary.txt``, as LoadGen writes it.

https://github.com/mlcommons/inference/blob/master/loadgen/results.cc
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from lab.common.errors import InputError
from lab.hardware_tools.measured_rows import Given, gpu_latency_row

NS_PER_MS = 1e6
MS_PER_S = 1e3
MEAN, RATE, QUERY = "Mean latency (ns)", "Samples per second", "samples_per_query"
LATENCY_SCENARIOS = ("SingleStream", "MultiStream")


def read(path: Path, given: Given) -> pl.DataFrame:
    """Return the latency of a batch as a row of table ``gpu_latency``.

    SingleStream, and MultiStream from v2.0 on: the mean latency of a query, whose samples are the
    batch. Offline: the given batch over the rate. Server is refused, since its latencies hold
    queueing.

    Args:
        path: the summary.
        given: model and board; for Offline the batch too.

    Raises:
        InputError: the file is no summary of a valid run of these scenarios.
    """
    entries = _entries(path)
    scenario, result = _entry(path, entries, "Scenario"), _entry(path, entries, "Result is")
    mode = _entry(path, entries, "Mode")
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
        batch = given.batch_size()
        rate = _number(path, entries, RATE)
        latency_ms = MS_PER_S * batch / rate
        note, kind = f"Offline: 1000 * batch / ({rate:g} samples per second)", "derived"
    else:
        allowed = ", ".join((*LATENCY_SCENARIOS, "Offline"))
        raise InputError(f"{path}: Scenario is {scenario}; only {allowed} tell a batch's latency")
    return pl.DataFrame([gpu_latency_row(given, batch, latency_ms, note, kind)])


def _entries(path: Path) -> Mapping[str, str]:
    """Return the lines ``key : value`` of a summary."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


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
