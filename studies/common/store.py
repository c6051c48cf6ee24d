"""What experiments have shown, in files that the page is made from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lab.runs.run_directory import write_aside

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class StudyHeader:
    """How an experiment was run."""

    command: str
    seeds: int
    core_s: float  # seconds of cores that all its runs took
    runs: int  # number of runs


def write(name: str, about: StudyHeader, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the rows of an experiment, one in a line; return the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.jsonl"
    lines = [asdict(about), *rows]
    write_aside(path, "".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def read(name: str) -> tuple[StudyHeader, pl.DataFrame] | None:
    """Return how an experiment was run and its rows, or None if it was not."""
    path = RESULTS / f"{name}.jsonl"
    if not path.exists():
        return None
    first, *rest = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return StudyHeader(**first), frame(rest)


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as a frame."""
    return pl.DataFrame(rows, infer_schema_length=None)


def each_cell(rows: pl.DataFrame, *keys: str | pl.Expr) -> pl.DataFrame:
    """Return a row, with the columns `keys` of its run, for each record in ``cells`` of runs."""
    return rows.select(*keys, "cells").explode("cells").drop_nulls("cells").unnest("cells")
