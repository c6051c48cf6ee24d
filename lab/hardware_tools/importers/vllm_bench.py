"""JSON results of ``vllm bench serve --save-result``, one object a run.

https://docs.vllm.ai/en/latest/cli/bench/serve.html
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from lab.common.errors import InputError
from lab.hardware_tools.measured_rows import Given, Row, provenance

NEEDED = ("completed", "total_input_tokens", "total_output_tokens")
LATENCIES = ("median_ttft_ms", "median_tpot_ms")


def read(path: Path, given: Given) -> pl.DataFrame:
    """Return runs as rows of table ``llm_iteration``.

    Token counts are means over the run's requests, latencies medians. The batch is
    ``max_concurrency``. Without ``--percentile-metrics ...,e2el`` the end-to-end latency is that of
    the first token plus the time per token of the others.

    Args:
        path: the result; ``--append-result`` puts several into one file.
        given: board and tensor parallelism; model and batch override those of the result.

    Raises:
        InputError: the file is no such result, or an open-loop one without a given batch.
    """
    given.need("gpu")
    return pl.DataFrame([_row(path, result, given) for result in _results(path)])


def _results(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    decoder, at = json.JSONDecoder(), 0
    while at < len(text) or not at:
        try:
            result, end = decoder.raw_decode(text[at:])
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: is no JSON ({error})") from None
        if not isinstance(result, dict):
            raise InputError(f"{path}: must hold JSON objects, as vllm bench serve writes them")
        yield result
        at += end
        at += len(text[at:]) - len(text[at:].lstrip())


def _row(path: Path, result: Mapping[str, Any], given: Given) -> Row:
    for name in (*NEEDED, *LATENCIES):
        value = result.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise InputError(
                f"{path}: {name} must be a number above 0, as in a result of vllm bench serve; "
                f"it is {json.dumps(value)}"
            )
    model, batch = given.model or result.get("model_id"), given.batch
    if batch is None:
        batch = result.get("max_concurrency")
    if not isinstance(batch, int):
        raise InputError(
            f"{path}: max_concurrency is {json.dumps(batch)}, so that the batch is unknown; "
            f"run with --max-concurrency, or give --batch"
        )
    completed = result["completed"]
    prompt_tokens, output_tokens = (round(result[name] / completed) for name in NEEDED[1:])
    ttft_ms, tpot_ms = (result[name] for name in LATENCIES)
    e2e_ms, how = result.get("median_e2el_ms"), "medians"
    if e2e_ms is None:
        e2e_ms = ttft_ms + tpot_ms * max(output_tokens - 1, 0)
        how = "medians, e2e_ms = ttft_ms + tpot_ms * (output_tokens - 1)"
    return {
        "model": model,
        "gpu": given.gpu,
        "tensor_parallel": given.tensor_parallel,
        "prompt_tokens": prompt_tokens,
        "batch": batch,
        "output_tokens": output_tokens,
        "ttft_ms": ttft_ms,
        "tpot_ms": tpot_ms,
        "e2e_ms": e2e_ms,
        "n_runs": 1,
        **provenance(
            "ms",
            "measured",
            f"{how} over {completed} requests with mean token counts; closed loop, so that "
            f"ttft_ms holds the wait for the iteration under way",
        ),
    }
