"""Tables of a served pipeline from the results of other tools.

- CSV reports of Triton's ``perf_analyzer -b BATCH --concurrency-range ... -f FILE``, whose columns
  are explained in
  https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/perf_analyzer/docs/measurements_metrics.html
- JSON results of ``vllm bench serve --save-result --save-detailed``, whose lists have a value for
  each request: https://docs.vllm.ai/en/latest/cli/bench/serve/ and
  https://github.com/vllm-project/vllm/blob/main/vllm/benchmarks/serve.py
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lab.common.errors import InputError
from lab.common.tool_files import VLLM, json_objects, perf_analyzer_row, vllm_batch
from lab.serving.pipeline import operator_name
from lab.serving.predicting.service_tables import (
    CORES,
    ENGINE,
    FACTORS,
    HOST,
    PATHS,
    QUANTILES,
    SCHEMAS,
    TIMES,
    ServiceTables,
    line,
)
from scenarios.applications.pipeline import ANSWER

US_PER_S = 1e6
SETTING = ""
"""The tools know no knobs of operators."""

SEND, NETWORK, RECEIVE = "Client Send", "Network+Server Send/Recv", "Client Recv"
QUEUE, INFER = "Server Queue", "Server Compute Infer"
INPUT, OUTPUT = "Server Compute Input", "Server Compute Output"
PARTS = (SEND, NETWORK, QUEUE, INPUT, INFER, OUTPUT, RECEIVE)
PERCENTILES = {0.5: "p50 latency", 0.9: "p90 latency", 0.95: "p95 latency", 0.99: "p99 latency"}

FIRST, NEXT = "first_token", "next_token"
ARRIVALS = "arrivals"
DETAILED = "run with --save-result --save-detailed"


def perf_analyzer_tables(
    reports: Sequence[tuple[Path, int]], model: str, instances: int
) -> ServiceTables:
    """Return the tables of a model from reports of perf_analyzer.

    The row of a report counts whose concurrency equals the number of instances, so that no request
    waits for another one. *Server Compute Infer* is the execution. *Server Compute Input* and
    *Output* occupy the instance, too; a line by batch size is fitted to their sum. *Client Send*,
    half of *Network+Server Send/Recv* and *Server Queue* are the path to the model; the rest is the
    path of the answer. The file does not tell the two directions of the network apart. The tool
    computes *Network+Server Send/Recv* as what remains of the mean latency (at least 0), so that
    all parts add up to it.

    The file has percentiles of the latency from end to end only. All of their spread is attributed
    to the execution, because the file has nothing but means of the other parts. Between the
    percentiles, the distribution is linear; below the median, it begins where its mean is that of
    the execution. The factors are the means over the reports.

    Args:
        reports: files and their batch sizes.
        model: name of the operator.
        instances: instances of the model.

    Raises:
        InputError: a file is no such report, or two have one batch size.
    """
    operator = operator_name(model)
    sizes = [batch for _, batch in reports]
    if len({*sizes}) < len(sizes):
        raise InputError(
            f"--batch={','.join(map(str, sizes))}: the reports must have different batch sizes"
        )
    found = []
    for path, batch in sorted(reports, key=lambda report: report[1]):
        columns = (*PARTS, *PERCENTILES.values())
        row = perf_analyzer_row(path, instances, columns)
        if row[INFER] <= 0:
            raise InputError(f"{path}: column {INFER!r} must be above 0; it is {row[INFER]:g}")
        found.append((batch, {name: row[name] / US_PER_S for name in columns}))
    factors = [_factors(row) for _, row in found]
    times = [
        {"batch": batch, "mean_s": row[INFER], "cv": _cv(each), "batches": None}
        for (batch, row), each in zip(found, factors, strict=True)
    ]
    copies_s = np.array([row[INPUT] + row[OUTPUT] for _, row in found])
    per_batch_s, per_request_s = float(copies_s[0]), 0.0
    if len(found) > 1:
        per_batch_s, per_request_s = line(np.array([batch for batch, _ in found]), copies_s)
    least = found[0][1]  # A request of the simulator is a batch of one, so the least is closest.
    engine = {
        "path_s": least[SEND] + least[NETWORK] / 2 + least[QUEUE],
        "occupied_per_batch_s": per_batch_s,
        "occupied_per_request_s": per_request_s,
        "answer_path_s": least[NETWORK] / 2 + least[RECEIVE],
    }
    spread = [
        {"quantile": at, "factor": float(np.mean([each[at] for each in factors]))}
        for at in factors[0]
    ]
    return _tables({operator: (times, spread, engine)})


def _factors(row: Mapping[str, float]) -> dict[float, float]:
    """Return quantiles of the ratio of an execution to its mean, from percentiles of latency."""
    others_s = fsum(row[name] for name in PARTS) - row[INFER]
    known = {at: max(row[name] - others_s, 0.0) / row[INFER] for at, name in PERCENTILES.items()}
    above = _mean({**known, 1.0: known[0.99]})
    # The mean up to the median is that of its two ends.
    first = min(max((1.0 - above) / 0.25 - known[0.5], 0.0), known[0.5])
    ends = {0.0: first, **known}
    mean = _mean({**ends, 1.0: known[0.99]}) or 1.0
    return {at: factor / mean for at, factor in ends.items()}


def _mean(quantiles: Mapping[float, float]) -> float:
    """Return the integral of a piecewise linear quantile function over its range."""
    ends = pairwise(quantiles.items())
    return fsum((after - at) * (one + other) / 2 for (at, one), (after, other) in ends)


def _cv(factors: Mapping[float, float]) -> float:
    """Return the coefficient of variation of a piecewise linear distribution of mean 1."""
    ends = pairwise([*factors.items(), (1.0, factors[0.99])])
    square = fsum(
        (after - at) * (one * one + one * other + other * other) / 3
        for (at, one), (after, other) in ends
    )
    return float(np.sqrt(max(square - 1.0, 0.0)))


def vllm_tables(
    paths: Sequence[Path], model: str | None, batch: int | None
) -> tuple[ServiceTables, pl.DataFrame | None]:
    """Return the tables of a language model from detailed results, and the arrivals.

    The operator ``MODEL_first_token`` takes the time to the first token, and ``MODEL_next_token``
    the time from a token to the next. Both are seen by the client, so the overhead of the engine
    is part of them. The batch size is the concurrency.

    The arrivals have the columns ``arrival_s``, ``prompt_tokens`` and ``output_tokens``, a row for
    each request that was sent. They are the scheduled times if the run had a request rate and the
    file has the waits in the client; otherwise the times of sending. They are None if the file has
    no ``start_times``, or there are several results.

    Args:
        paths: files; each can have several results.
        model: name of the model; None for that of the file.
        batch: batch size; None for ``max_concurrency`` of each result.

    Raises:
        InputError: a file is no such result.
    """
    results = [(path, result) for path in paths for result in json_objects(path, VLLM)]
    parts: list[pl.DataFrame] = []
    for path, result in results:
        known = model or result.get("model_id")
        if not isinstance(known, str):
            raise InputError(f"{path}: has no model_id; name the model by --model")
        size = vllm_batch(path, result, batch)
        first_s, next_s = _token_times(path, result)
        for what, times_s in ((FIRST, first_s), (NEXT, next_s)):
            same = {"operator": f"{operator_name(known)}_{what}", "batch": size}
            columns = [pl.lit(value).alias(name) for name, value in same.items()]
            parts.append(pl.DataFrame({"time_s": times_s}).with_columns(columns))
    arrivals = _arrivals(*results[0]) if len(results) == 1 else None
    return _measured(pl.concat(parts)), arrivals


def _token_times(path: Path, result: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Return the times to the first token and between tokens, of requests without an error."""
    count = len(_numbers(path, result, "ttfts"))
    errors = result.get("errors")
    if not isinstance(errors, list) or len(errors) != count:
        errors = [""] * count
    lists = result.get("itls")
    if not isinstance(lists, list) or len(lists) != count:
        raise InputError(f"{path}: itls must be a list for each of {count} requests; {DETAILED}")
    done = [
        number
        for number, first_s in enumerate(result["ttfts"])
        if first_s > 0 and not errors[number]
    ]
    first_s = [result["ttfts"][number] for number in done]
    next_s = [
        gap for number in done for gap in _numbers(path, {"itls": lists[number]}, "itls") if gap > 0
    ]
    if not first_s or not next_s:
        raise InputError(f"{path}: no request got more than one token, so nothing was measured")
    return first_s, next_s


def _numbers(path: Path, result: Mapping[str, Any], key: str) -> list[float]:
    values = result.get(key)
    if values is None:
        raise InputError(f"{path}: has no {key}, the times of each request; {DETAILED}")
    if not isinstance(values, list) or not all(
        isinstance(one, int | float) and not isinstance(one, bool) and isfinite(one)
        for one in values
    ):
        raise InputError(f"{path}: {key} must be a list of numbers, as {VLLM} writes it")
    return values


def _arrivals(path: Path, result: Mapping[str, Any]) -> pl.DataFrame | None:
    if "start_times" not in result:
        return None
    keys = ("start_times", "input_lens", "output_lens")
    columns = {key: _numbers(path, result, key) for key in keys}
    rate = result.get("request_rate")
    if isinstance(rate, int | float) and isfinite(rate) and "queue_times" in result:
        columns["queue_times"] = _numbers(path, result, "queue_times")
    if len({len(values) for values in columns.values()}) > 1:
        raise InputError(f"{path}: {', '.join(columns)} must have a value for each request")
    frame = pl.DataFrame(columns, strict=False).filter(pl.col("start_times") > 0)
    due = pl.col("start_times") - (pl.col("queue_times") if "queue_times" in columns else 0.0)
    return frame.select(
        arrival_s=due - due.min(),
        prompt_tokens=pl.col("input_lens").cast(pl.Int64),
        output_tokens=pl.col("output_lens").cast(pl.Int64),
    ).sort("arrival_s")


def _measured(times: pl.DataFrame) -> ServiceTables:
    """Return the tables of durations, which have the columns operator, batch and time_s."""
    tables = {}
    for (operator,), each in times.group_by("operator", maintain_order=True):
        time = pl.col("time_s")
        by_batch = each.group_by("batch").agg(
            mean_s=time.mean(), cv=(time.std() / time.mean()).fill_null(0.0), batches=pl.len()
        )
        ratio = each.select(time / time.mean().over("batch")).to_series()
        spread = [
            {"quantile": float(at), "factor": float(factor)}
            for at, factor in zip(QUANTILES, np.quantile(ratio, QUANTILES), strict=True)
        ]
        nothing = ("path_s", "occupied_per_batch_s", "occupied_per_request_s", "answer_path_s")
        tables[str(operator)] = (
            by_batch.sort("batch").to_dicts(),
            spread,
            dict.fromkeys(nothing, 0.0),
        )
    return _tables(tables)


def _tables(
    operators: Mapping[str, tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]],
) -> ServiceTables:
    """Return tables of operators, from rows of times and of factors, and the engine's overhead.

    The overhead has the keys of table ``engine``, ``path_s`` and ``answer_path_s``.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}
    for operator, (times, factors, engine) in operators.items():
        same = {"operator": operator, "setting": SETTING}
        rows[TIMES] += [{**same, **row} for row in times]
        rows[FACTORS] += [{**same, **row} for row in factors]
        own = {name: value for name, value in engine.items() if name in SCHEMAS[ENGINE]}
        rows[ENGINE].append({**own, "operator": operator, "handoff_s": 0.0})
        rows[PATHS] += _path(operator, engine["path_s"])
    rows[PATHS] += _path(ANSWER, engine["answer_path_s"])
    rows[CORES] = [{"jobs": 1, "slowdown": 1.0, "batches": None}]
    rows[HOST] = [{"cpu": "not told by the tool", "cores": 1, "stolen": 1.0}]
    return ServiceTables({name: pl.DataFrame(rows[name], dict(SCHEMAS[name])) for name in SCHEMAS})


def _path(operator: str, path_s: float) -> list[dict[str, Any]]:
    """Return rows of table ``paths`` for a path that always takes the same time."""
    same = {"operator": operator, "queued": False, "jobs": 1, "path_s": path_s}
    return [{**same, "quantile": at} for at in (0.0, 1.0)]


def added(before: ServiceTables, tables: ServiceTables) -> ServiceTables:
    """Return tables with those of further operators; raise InputError if one is there already."""
    there = {*before[TIMES]["operator"]}
    for operator in tables[TIMES]["operator"]:
        if operator in there:
            raise InputError(f"{operator}: is in the tables already; name another one by --model")
    both = {name: pl.concat([before[name], tables[name]]) for name in SCHEMAS}
    paths = both[PATHS].unique(
        ["operator", "queued", "jobs", "quantile"], keep="first", maintain_order=True
    )
    return ServiceTables({**both, PATHS: paths, CORES: before[CORES], HOST: before[HOST]})
