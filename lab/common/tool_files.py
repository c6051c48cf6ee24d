"""Reads files that other tools wrote: JSON documents, and reports of Triton's perf_analyzer."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from hardware_models.tables import read_file
from lab.common.errors import InputError

VLLM = "vllm bench serve"
SPACE = re.compile(r"\s*")
CONCURRENCY = "Concurrency"


def text_of(path: Path) -> str:
    """Return the text of a file; raise InputError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def json_objects(path: Path, what: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects of a file: one document, or several one after another.

    Raises InputError if the file is not JSON or has other values; `what` says who writes objects.
    """
    text, decoder = text_of(path), json.JSONDecoder()
    at = _after_space(text, 0)
    first = True
    while at < len(text) or first:
        first = False
        try:
            result, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}: is not JSON ({error})") from None
        if not isinstance(result, dict):
            raise InputError(f"{path}: must contain JSON objects, as {what} writes them")
        yield result
        at = _after_space(text, end)


def vllm_batch(path: Path, result: Mapping[str, Any], given: int | None) -> int:
    """Return the batch size of a result of vLLM: the given one, or else its largest concurrency."""
    batch = result.get("max_concurrency") if given is None else given
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(
            f"{path}: max_concurrency is {json.dumps(batch)}, so the batch is unknown; run with "
            "--max-concurrency, or give --batch"
        )
    return batch


def _after_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at


def perf_analyzer_row(path: Path, concurrency: int, columns: Sequence[str]) -> dict[str, float]:
    """Return columns of a perf_analyzer report, from its row of a concurrency.

    Times are in microseconds, as in the file. Raises InputError if the file is not a report of
    ``perf_analyzer --concurrency-range ... -f FILE``, lacks that row, or has no number there.
    """
    frame = read_file(path)
    kinds = {CONCURRENCY: pl.Int64, **dict.fromkeys(columns, pl.Float64)}
    for name in kinds:
        if name not in frame.columns:
            raise InputError(
                f"{path}: has no column {name!r}; it must be a report of perf_analyzer "
                f"--concurrency-range, written by -f"
            )
    numbers = frame.select(pl.col(name).cast(kind, strict=False) for name, kind in kinds.items())
    found = numbers.filter(pl.col(CONCURRENCY) == concurrency)
    if found.height != 1:
        has = ", ".join(map(str, sorted(numbers[CONCURRENCY].drop_nulls())))
        raise InputError(
            f"{path}: must have one row of concurrency {concurrency}, that of --processes; "
            f"it has {has or 'none'}"
        )
    row = found.row(0, named=True)
    for name, value in row.items():
        if value is None:
            raise InputError(f"{path}: column {name!r} must hold a number")
    return row
