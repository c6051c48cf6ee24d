"""Stored results of studies: the files from which the evaluation page is made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lab.behaviour import BEFORE
from lab.runs.run_directory import write_aside

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class StudyHeader:
    """How a study was run: command, seeds, core seconds, number of runs, behaviour versions."""

    command: str
    seeds: int
    core_s: float  # core seconds of all its runs
    runs: int  # number of runs
    behaviour: str = BEFORE  # as of `lab.behaviour.told`


def write(name: str, about: StudyHeader, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the rows of a study, one per line; return the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.jsonl"
    lines = [asdict(about), *rows]
    write_aside(path, "".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def read(name: str) -> tuple[StudyHeader, pl.DataFrame] | None:
    """Return the header and the rows of a study, or None if no result is stored."""
    found = read_rows(name)
    return None if found is None else (found[0], frame(found[1]))


def read_rows(name: str) -> tuple[StudyHeader, list[dict[str, Any]]] | None:
    """Return what `read` does, with each row as it was written."""
    path = RESULTS / f"{name}.jsonl"
    if not path.exists():
        return None
    first, *rest = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return StudyHeader(**first), rest


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as a frame."""
    return pl.DataFrame(rows, infer_schema_length=None)


def each_cell(rows: pl.DataFrame, *keys: str | pl.Expr) -> pl.DataFrame:
    """Return one row for each of the ``cells`` of a run, with the run's columns `keys`."""
    return rows.select(*keys, "cells").explode("cells").drop_nulls("cells").unnest("cells")
