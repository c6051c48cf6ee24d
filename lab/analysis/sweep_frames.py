"""A sweep as tidy frames: its runs, their settings, and the tables of all runs."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import polars as pl

from lab.analysis.run_data import PER_LENGTH
from lab.analysis.settings import (
    is_numeric,
    planner_names,
    read_settings,
    short_keys,
    short_texts,
    swept_keys,
    text_of,
)
from lab.common.errors import InputError, no_directory, one_line
from lab.config.settings import INSIDE
from lab.config.targets import current_path
from lab.runs.run_directory import (
    CONFIG,
    ERROR,
    JOBS,
    SUMMARY,
    check_links,
    never_ran,
    read_jobs,
    read_run_summary,
    read_summary,
    rerun_hint,
    scan_parts,
    without_queries,
)
from lab.runs.summary_shape import is_of_run
from sim.metrics.results import SCHEMAS

DEEPEST = 4
# Columns that identify a run; every frame has them, followed by the varied keys.
NAMES = ("run", "status", "planner", "seed", "setting")
FIXED = re.compile(
    r"application\.name|horizon_s|workload\.(rate|lifetime_mean_s)|drift\.events"
    r"|cluster\.(nodes\.\w+\.(machine|count)|discipline|shed_late)"
)
WITHOUT = {"run": pl.String, "status": pl.String, "reason": pl.String}


@dataclass
class Found:
    """The runs, jobs without results and comparisons found below a directory."""

    # Summaries of runs with results, by directory.
    runs: dict[Path, dict[str, Any]] = field(default_factory=dict)
    # Status and reason of jobs without results, by path below the directory.
    without: dict[str, tuple[str, str]] = field(default_factory=dict)
    parents: list[Path] = field(default_factory=list)  # directories of comparisons


def find(directory: Path) -> Found:
    """Find all runs at or below a directory; raise InputError if it has no runs."""
    if not directory.exists():
        raise InputError(f"DIR={directory}: {no_directory(directory)}")
    if not directory.is_dir():
        raise InputError(f"DIR={directory}: is a file; name the directory of a run or a sweep")
    check_links(directory)
    found = Found()
    try:
        _visit(directory, directory, found, DEEPEST)
    except PermissionError as error:
        raise InputError(f"DIR={directory}: {error.filename} cannot be read") from None
    if not found.runs:
        raise InputError(f"DIR={directory}: {_why_none(directory, found)}")
    return found


def _visit(directory: Path, top: Path, found: Found, depth: int) -> None:
    """Record the run in a directory, or else the runs in its subdirectories."""
    has_summary = (directory / SUMMARY).is_file()
    if has_summary and (directory / "queries").is_dir():
        found.runs[directory] = read_run_summary(directory)
        return
    name = directory.relative_to(top).as_posix()
    summary = read_summary(directory) if has_summary else {}
    if has_summary and is_of_run(summary):
        found.without[name] = ("missing", without_queries(directory))
        return
    if has_summary:
        found.parents.append(directory)
        if missing := never_ran(directory):
            found.without[name] = ("missing", missing)
    elif (directory / ERROR).is_file():
        text = (directory / ERROR).read_text(encoding="utf-8", errors="replace")
        found.without[name] = ("failed", one_line(text))
    elif (directory / CONFIG).is_file():
        found.without[name] = ("missing", "began, but wrote no results")
    inside = sorted(
        (path for path in directory.iterdir() if path.is_dir() and path.name not in INSIDE),
        key=lambda path: _order(path.name, list(summary)),
    )
    for path in inside:
        if depth and not path.name.startswith(".") and not path.is_symlink():
            _visit(path, top, found, depth - 1)
    if expected := _expected(directory, inside):
        recorded = [*found.runs, *found.parents, *(top / one for one in found.without)]
        # A job that was killed at its start leaves an empty directory, which is not recorded.
        known = {
            path.relative_to(directory).parts[0]
            for path in recorded
            if path != directory and path.is_relative_to(directory)
        }
        for number in sorted(expected):
            if str(number) not in known:
                gap = (directory / str(number)).relative_to(top).as_posix()
                found.without[gap] = ("missing", "never ran")


def _expected(directory: Path, inside: Sequence[Path]) -> set[int]:
    """Return the numbers of a sweep's jobs, from ``jobs.yaml`` or else from directory names."""
    if (directory / JOBS).is_file():
        return set(range(len(read_jobs(directory / JOBS))))
    names = [path.name for path in inside if not path.name.startswith(".")]
    if "0" not in names or not all(name.isdecimal() for name in names):
        return set()
    return set(range(max(map(int, names))))


def _why_none(directory: Path, found: Found) -> str:
    """Return a clause on why a directory has no runs, and which directory to name instead."""
    for parent in directory.absolute().parents:
        if (parent / SUMMARY).is_file():
            return f"is within the run {parent}; name that run or its sweep"
    failed = [why for status, why in found.without.values() if status == "failed"]
    if failed:
        return f"none of its {len(found.without)} jobs has results; first error: {failed[0]}"
    deeper = next(_deeper(directory, DEEPEST + 3), None)
    hint = f", but {deeper} does" if deeper else ""
    return f"has no results{hint}; name the directory of a run or a sweep"


def _deeper(directory: Path, depth: int) -> Iterator[Path]:
    """Yield directories that have results but are nested too deeply, the latest ones first."""
    try:
        inside = sorted((path for path in directory.iterdir() if path.is_dir()), reverse=True)
    except OSError:
        return
    for path in inside:
        if path.name.startswith(".") or path.name in INSIDE or path.is_symlink():
            continue
        if (path / SUMMARY).is_file():
            yield path
        elif depth:
            yield from _deeper(path, depth - 1)


def _order(name: str, compared: list[str]) -> tuple[int, int, str]:
    """Return a directory's sort key: compared planners keep their order, jobs go by number."""
    place = compared.index(name) if name in compared else len(compared)
    return place, int(name) if name.isdecimal() else -1, name


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, or a single run, as frames.

    Every frame has the columns ``run``, ``status``, ``planner``, ``seed`` and ``setting``, and one
    for each varied key. ``run`` is the run's directory relative to that of the sweep, and
    ``setting`` is a text.

    Args:
        directory: the directory that was read.
        keys: the varied keys except seed and planner, each with the keys that always changed
            together with it.
        fixed: those main keys of a scenario (`FIXED`) whose values are the same in all runs, with
            these values.
        settings: sorted rows, one per ``setting``, with the values of its keys and a ``short``
            name.
        runs: one row per run, with all values of its summary. ``finished`` is true if the run
            reached its horizon; only finished runs are compared. A finished run has the status
            ``failed`` if its planner raised exceptions and deployed nothing.
        without: one row per job without results: ``run``, ``status`` (``failed`` or ``missing``)
            and ``reason``.
        compared: directories of comparisons; each contains one run per planner.
        per_length: names of the runs whose windows have latencies per output length.
    """

    directory: Path
    keys: Mapping[str, list[str]]
    fixed: Mapping[str, Any]
    settings: pl.DataFrame
    runs: pl.DataFrame
    without: pl.DataFrame
    compared: list[Path]
    per_length: frozenset[str]

    def __repr__(self) -> str:
        """Return the directory, the number of runs and the varied keys."""
        varied = f", {', '.join(self.keys)} varied" if self.keys else ""
        return f"Sweep({self.directory}: {self.runs.height:,} runs{varied})"

    @property
    def queries(self) -> pl.LazyFrame:
        """One row per query of every run."""
        return self.scan("queries")

    @property
    def windows(self) -> pl.LazyFrame:
        """One row per query and evaluation window of every run."""
        return self.scan("windows")

    @property
    def operators(self) -> pl.LazyFrame:
        """One row per query, evaluation window and operator of every run."""
        return self.scan("operators")

    def scan(self, table: str) -> pl.LazyFrame:
        """Return a table of all runs; raise InputError if there is no table of that name."""
        _check_table(table)
        names = self.runs.select(*NAMES, *self.keys)
        columns = {name: names.schema[name] for name in names.columns}
        parts = self.parts(table)
        if not parts:
            return pl.LazyFrame(schema={**columns, **SCHEMAS[table]})
        places = pl.DataFrame(
            [{"run": run, "path": str(path)} for run, paths in parts.items() for path in paths],
            schema={"run": pl.String, "path": pl.String},
        )
        paths = [path for several in parts.values() for path in several]
        return (
            pl.scan_parquet(paths, include_file_paths="path", glob=False)
            .join(
                places.join(names, on="run", maintain_order="left").lazy(),
                on="path",
                maintain_order="left",
            )
            .select(*columns, *SCHEMAS[table])
        )

    def count(self, table: str) -> int:
        """Return a table's number of rows in all runs; raise InputError if it is unreadable."""
        _check_table(table)
        paths = [path for several in self.parts(table).values() for path in several]
        try:
            return int(scan_parts(paths).select(pl.len()).collect().item()) if paths else 0
        except pl.exceptions.PolarsError as error:
            raise InputError(unreadable(self, [table], None, error)) from None

    def parts(self, table: str, runs: Iterable[str] | None = None) -> dict[str, list[Path]]:
        """Return the files of a table by run; runs without such files are left out."""
        found = {
            run: sorted((self.directory / run / table).glob("part-*.parquet"))
            for run in (self.runs["run"] if runs is None else runs)
        }
        return {run: paths for run, paths in found.items() if paths}

    @cached_property
    def finished(self) -> pl.DataFrame:
        """The finished runs, but only the last of those with equal setting, planner and seed."""
        return self.runs.filter("finished").unique(
            ["setting", "planner", "seed"], keep="last", maintain_order=True
        )


def unreadable(
    sweep: Sweep, tables: Iterable[str], runs: Iterable[str] | None, error: Exception
) -> str:
    """Return a message that names the first unreadable file of the runs, or quotes the error."""
    chosen = None if runs is None else list(runs)
    for table in tables:
        for run, paths in sweep.parts(table, chosen).items():
            for path in paths:
                name = path.relative_to(sweep.directory)
                try:
                    with path.open("rb") as file:
                        found = pl.read_parquet_schema(file)
                except (pl.exceptions.PolarsError, OSError):
                    again = rerun_hint(sweep.directory / run)
                    return f"{sweep.directory}: {name} is not a valid Parquet file; {again}"
                if missing := [column for column in SCHEMAS[table] if column not in found]:
                    return (
                        f"{sweep.directory}: {name} has no column {missing[0]!r}, so another "
                        "version wrote it"
                    )
    return f"{sweep.directory}: {one_line(error)}"


def _check_table(table: str) -> None:
    if table not in SCHEMAS:
        raise InputError(f"table={table!r}: must be one of {', '.join(SCHEMAS)}")


def read_sweep(directory: str | PathLike[str]) -> Sweep:
    """Read the directory of a run, comparison or sweep; raise InputError if it has no runs."""
    top = Path(directory)
    found = find(top)
    summaries = list(found.runs.values())
    settings = read_settings(path / CONFIG for path in found.runs)
    keys = swept_keys(settings)
    given = {key: [one.get(key) for one in settings] for key in keys}
    columns = {
        key: _column(key, values if is_numeric(values) else list(map(text_of, values)))
        for key, values in given.items()
    }
    names = [path.relative_to(top).as_posix() for path in found.runs]
    runs = _runs(names, summaries, _planner_names(summaries), columns)
    without = pl.DataFrame(
        [(run, *why) for run, why in found.without.items()], schema=WITHOUT, orient="row"
    )
    shared = {
        key: value
        for key, value in settings[0].items()
        if FIXED.fullmatch(key) and all(one.get(key) == value for one in settings)
    }
    per_length = frozenset(
        name
        for name, one in zip(names, settings, strict=True)
        if one.get(PER_LENGTH[0]) == PER_LENGTH[1]
    )
    rows = _settings(runs, columns)
    return Sweep(top, keys, shared, rows, runs, without, found.parents, per_length)


def _planner_names(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the name of each run's planner; different planners get different names."""
    known: dict[str, tuple[str, str, Mapping[str, Any]]] = {}
    identities = []
    for one in summaries:
        kind = current_path(one["planner_class"])
        identity = (one["planner"], kind, one["planner_parameters"])
        identities.append(json.dumps(identity, sort_keys=True))
        known.setdefault(identities[-1], identity)
    names = dict(zip(known, planner_names(list(known.values())), strict=True))
    return [names[identity] for identity in identities]


def _runs(
    names: Sequence[str],
    summaries: Sequence[Mapping[str, Any]],
    planners: Sequence[str],
    columns: Mapping[str, pl.Series],
) -> pl.DataFrame:
    texts = {key: series.cast(pl.String).to_list() for key, series in columns.items()}
    settings = [
        ", ".join(f"{key}={values[at]}" for key, values in texts.items())
        for at in range(len(names))
    ]
    frame = pl.DataFrame(
        {
            "run": names,
            "status": [one["status"] for one in summaries],
            "planner": planners,
            "seed": [one["seed"] for one in summaries],
            "setting": settings,
            **columns,
            "finished": [
                one["simulated_s"] >= one["horizon_s"] and one["status"] != "running"
                for one in summaries
            ],
        }
    )
    keys = dict.fromkeys(key for one in summaries for key in one)
    return frame.with_columns(
        _column(key, [one.get(key) for one in summaries])
        for key in keys
        if key not in frame.columns
    )


def _column(key: str, values: list[Any]) -> pl.Series:
    """Return values as a numeric or boolean column if possible, else as texts or JSON."""
    known = [value for value in values if value is not None]
    kind: Any = pl.String
    if known and all(isinstance(value, bool) for value in known):
        kind = pl.Boolean
    elif is_numeric(known):
        whole = known and all(isinstance(value, int) for value in known)
        kind = pl.Int64 if whole else pl.Float64
    else:
        values = [
            value if isinstance(value, str | None) else json.dumps(value, sort_keys=True)
            for value in values
        ]
    return pl.Series(key, values, kind, strict=False)


def _settings(runs: pl.DataFrame, columns: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Return one row per setting, sorted by the keys; numbers are in ascending order."""
    rows = runs.select("setting", *columns).unique("setting", keep="first", maintain_order=True)
    order, labels = [], []
    for key in columns:
        values = rows[key].unique(maintain_order=True)
        if values.dtype.is_numeric():
            values = values.sort()
        texts = short_texts(values.to_list())
        order.append(rows[key].replace_strict(values, range(len(values)), return_dtype=pl.Int64))
        labels.append(rows[key].replace_strict(values, texts, return_dtype=pl.String))
    brief = short_keys(list(columns))
    names = [
        ", ".join(f"{name}={one[at]}" for name, one in zip(brief, labels, strict=True))
        for at in range(rows.height)
    ]
    rows = rows.with_columns(pl.Series("short", names, pl.String))
    return rows.sort(by=order) if order else rows
