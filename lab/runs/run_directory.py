"""The directory of one planner's run, in which every file is complete at all times."""

import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lab.common.atomic_write import written_aside
from lab.common.errors import InputError, one_line, shown
from lab.common.yaml_files import check_yaml, parsed, read_text, why_not_yaml
from lab.config.environment import literal
from lab.config.settings import INSIDE
from lab.runs.summary_shape import checked, is_of_run
from sim.metrics.results import SCHEMAS

LOCK = ".lock"
"""The lock file; it exists only while the directory is locked."""
UNDER_WAY = "another process is writing to it; wait until it ends, or name another directory"
SUMMARY = "summary.json"
CONFIG = "config.yaml"
ERROR = "error.txt"
JOBS = "jobs.yaml"
CHECKPOINT = "checkpoint.jsonl"
TRACE, TRACE_PICTURE = "trace.json", "trace.png"
REGRETS = {"goodput": "regret_goodput.json", "cost": "regret_cost.json"}
"""The files of regrets, by objective."""
FORK = "fork.json"
"""In the directory of a fork: the run that it continues, and from when on."""
OWN = {SUMMARY, CONFIG, ERROR, JOBS, CHECKPOINT, TRACE, TRACE_PICTURE, ".progress", *INSIDE}
OWN |= {*REGRETS.values(), FORK}
"""Names in a directory of results that this program reads or writes."""
MOST_NAMED = 8
"""Largest number of runs that a message names."""


@contextmanager
def held(directory: Path, otherwise: str = "") -> Iterator[None]:
    """Lock a directory; if it is locked, raise InputError(otherwise), or wait if that is empty."""
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(blocking=not otherwise)
    except Timeout:
        raise InputError(otherwise) from None
    except OSError:
        pass  # This file system has no locks, or cannot be written; the first result reports that.
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows does not delete open files.
                (directory / LOCK).unlink()
        lock.release()


def check_links(directory: Path, planners: Collection[str] = ()) -> None:
    """Raise InputError if results in a directory are links that lead out of it, or no files.

    Results can be a stranger's; a link would let this program overwrite or show other files, and a
    named pipe would let it wait forever.
    """
    top = Path(os.path.realpath(directory))
    for folder, folders, files in os.walk(directory):
        every = os.path.basename(folder) in INSIDE
        for name in (*folders, *files):
            path = f"{folder}/{name}"
            if not (every or name in OWN or name in planners or name.isdecimal()):
                continue
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(top):
                raise TakenError(
                    f"{path}: is a symbolic link that leads out of {directory}; delete it, or copy "
                    "there what it leads to"
                )
            if not (os.path.isfile(path) or os.path.isdir(path)) and os.path.exists(path):
                raise TakenError(f"{path}: is neither a file nor a directory; delete it")


class TakenError(InputError):
    """A directory has other results, or links, so nothing must be written there."""


def write_aside(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_summary(directory: Path, summary: Mapping[str, Any]) -> None:
    """Write ``summary.json``."""
    write_aside(directory / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def read_summary(directory: Path) -> dict[str, Any]:
    """Read the ``summary.json`` of a run or a comparison.

    Raises InputError if it is damaged or has another shape, and OSError if it cannot be opened.
    """
    path = directory / SUMMARY
    check_name(path, "")
    try:
        summary = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        again = rerun_hint(directory)
        if not (directory / "queries").is_dir():  # That of a comparison repeats those of its runs.
            again = "resume=true writes it again"
        raise InputError(f"{path}: cannot be read as JSON; {again}") from None
    return checked(path, summary)


def rerun_hint(directory: Path) -> str:
    """Return a clause that says how to repeat a damaged run."""
    inside = directory.name.isdecimal() or (directory.parent / CONFIG).exists()
    return f"delete {directory}, and {'resume=true repeats it' if inside else 'repeat the run'}"


def read_run_summary(directory: Path) -> dict[str, Any]:
    """Read the ``summary.json`` of one planner's run; raise InputError as `read_summary` does."""
    summary = read_summary(directory)
    if not is_of_run(summary):
        raise InputError(f"{directory / SUMMARY}: is not a run's summary of this version")
    return summary


def load_config(path: Path) -> DictConfig:
    """Read a ``config.yaml``; raise InputError if it cannot be read or has no mapping.

    The file can be a stranger's, so no ``${...}`` in it is resolved: it is a text.
    """
    return deepcopy(_read_config(path))


def _read_config(path: Path) -> DictConfig:
    try:
        return _config_of(read_text(path), path)
    except InputError:
        raise
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path}: cannot be read: {why_not_yaml(error)}") from None


@lru_cache(maxsize=16)
def _config_of(text: str, path: Path) -> DictConfig:
    """Return what a file says; tools ask for one key after another, and parsing takes 0.04 s."""
    check_yaml(text, path)
    if not isinstance(parsed(text, path), dict):  # OmegaConf also takes a list or nothing.
        raise InputError(f"{path}: must have a mapping, not a list or a single value")
    config = literal(OmegaConf.create(text))
    assert isinstance(config, DictConfig)
    return config


def configured(directory: Path, key: str, kind: type) -> Any:
    """Return the value of a key in ``config.yaml``; None if it has no value or there is no file.

    Raises InputError if the value is of another kind than the given one.
    """
    path = directory / CONFIG
    if not path.is_file():
        return None
    value: Any = OmegaConf.to_container(_read_config(path), resolve=True)
    for name in key.split("."):
        if not isinstance(value, dict | None):
            raise InputError(f"{path}: is not the configuration of a run: {key} has no place in it")
        value = None if value is None else value.get(name)
    if not isinstance(value, kind | None):
        raise InputError(f"{path}: is not the configuration of a run: {key}={shown(value)}")
    return value


def read_jobs(path: Path) -> list[list[str]]:
    """Return the overrides of each job in a ``jobs.yaml``; raise InputError if it is damaged."""
    try:
        jobs = parsed(read_text(path), path)
    except InputError:
        raise
    except (OSError, ValueError, RecursionError, YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {why_not_yaml(error)}") from None
    if not isinstance(jobs, list) or not all(isinstance(job, list) for job in jobs):
        raise InputError(f"{path}: must have a list with a list of overrides for each job")
    return [list(map(str, job)) for job in jobs]


def holds_run(directory: Path) -> bool:
    """Return whether a directory has results of a run or a comparison, or a run to resume."""
    return (directory / SUMMARY).exists() or is_resumable(directory)


def is_resumable(directory: Path) -> bool:
    """Return whether a directory has an unfinished run that can be resumed."""
    return (directory / CHECKPOINT).exists() and (directory / CONFIG).exists()


def holds_sweep(directory: Path) -> bool:
    """Return whether a directory has a sweep, that is, ``jobs.yaml`` or numbered results."""
    return (directory / JOBS).exists() or any(
        summary.parent.name.isdecimal() for summary in directory.glob(f"*/{SUMMARY}")
    )


def check_name(directory: Path, named: str) -> None:
    """Raise InputError if a directory's name has no encoding, because tables cannot be there."""
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding().upper()
        raise InputError(
            f"{named}{directory}: the path must be text in {encoding}, the encoding of names of "
            "files here; use another name"
        ) from None


def claim(directory: Path, key: str = "hydra.run.dir") -> None:
    """Create a directory; raise TakenError, which names `key`, if it has a run or a sweep.

    Raises InputError if its name has no encoding.
    """
    check_name(directory, f"{key}=")
    elsewhere = "name another directory or delete this one"
    if is_resumable(directory):
        raise TakenError(
            f"{key}={directory}: has an unfinished run; add resume=true to resume it, {elsewhere}"
        )
    if (directory / SUMMARY).exists():
        raise TakenError(f"{key}={directory}: already has results; {elsewhere}")
    if holds_sweep(directory):
        raise TakenError(f"{key}={directory}: has a sweep; {elsewhere}")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ERROR).unlink(missing_ok=True)


class RunDirectory:
    """Writes the tables of a run part by part, and the summary after each part."""

    def __init__(self, path: Path, config: DictConfig) -> None:
        self.path = path
        self._parts: Counter[str] = Counter()
        path.mkdir(parents=True, exist_ok=True)
        write_aside(path / CONFIG, OmegaConf.to_yaml(config))

    def add(self, frames: Mapping[str, pl.DataFrame], summary: Mapping[str, Any]) -> None:
        """Write the next part of each table that has new rows, then the summary."""
        for name, frame in frames.items():
            if self._parts[name] and frame.is_empty():
                continue  # The first part is written even if empty: it defines the columns.
            table = self.path / name
            table.mkdir(exist_ok=True)
            part = table / f"part-{self._parts[name]:05d}.parquet"
            with written_aside(part) as aside:
                # This is faster to read and write than zstd, and 5 to 19 % larger for a simulated
                # hour.
                frame.write_parquet(aside, compression="lz4")
            self._parts[name] += 1
        write_summary(self.path, summary)


def never_ran(directory: Path) -> str:
    """Return a sentence on compared planners without results; empty if all have results."""
    compared = configured(directory, "planner.compare", dict)
    names = [
        str(name) for name in compared or {} if not (directory / str(name) / SUMMARY).is_file()
    ]
    if not names:
        return ""
    return f"planner{'s' * (len(names) > 1)} {', '.join(names)} of the comparison never ran"


def _in_order(path: Path) -> list[tuple[bool, int, str]]:
    """Return a sort key for a path in which numbers are sorted by their value."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in path.parts
    ]


def planner_directories(directory: Path) -> dict[str, Path]:
    """Return the run directories at or below a directory, by sorted relative path.

    Raises InputError as `check_links` does.
    """
    check_links(directory)
    found = {}
    for summary in sorted(directory.rglob(SUMMARY), key=_in_order):
        run = summary.parent
        if (run / "queries").is_dir():
            found[str(run.relative_to(directory))] = run
        elif is_of_run(read_summary(run)):
            raise InputError(f"{run}: {without_queries(run)}")
    return found


def without_queries(run: Path) -> str:
    """Return a clause on a run that has a summary, but not the table that is written with it."""
    return f"has no table queries; {rerun_hint(run)}"


def only_run(given: str, runs: Sequence[Path], of: str = "") -> Path:
    """Return the only run of a list; raise InputError unless there is exactly one."""
    if not runs:
        raise InputError(f"{given}: has no results; name the directory of a run")
    if len(runs) > 1:
        named = ", ".join(map(str, runs[:MOST_NAMED]))
        rest = f" and {len(runs) - MOST_NAMED} more" if len(runs) > MOST_NAMED else ""
        raise InputError(f"{given}: has {len(runs)} runs{of}; name one: {named}{rest}")
    return runs[0]


def scan(directory: Path, table: str) -> pl.LazyFrame:
    """Return a table of a run as a lazy frame, which is empty if nothing was written yet."""
    if table not in SCHEMAS:
        raise ValueError(f"table={table!r}: must be one of {', '.join(SCHEMAS)}")
    parts = sorted((Path(directory) / table).glob("part-*.parquet"))
    if not parts:
        return pl.LazyFrame(schema=dict(SCHEMAS[table]))
    check_part(parts[0], SCHEMAS[table])
    return scan_parts(parts)


def check_part(path: Path, schema: Mapping[str, Any]) -> None:
    """Raise InputError if a part file is damaged or has a column of another type."""
    try:
        with path.open("rb") as file:
            found = pl.read_parquet_schema(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        again = rerun_hint(path.parents[1])
        reason = f"is not a valid Parquet file ({one_line(error)})"
        raise InputError(f"{path}: {reason}; {again}") from None
    for name, kind in schema.items():
        if found.get(name, kind) != kind:
            raise InputError(f"{path}: column {name!r} must be of type {kind}, not {found[name]}")


def check_parts(directory: Path) -> None:
    """Raise InputError, as `check_part` does, if any part file of a run is damaged."""
    for part in sorted(directory.glob("*/part-*.parquet")):
        check_part(part, SCHEMAS.get(part.parent.name, {}))


def scan_parts(parts: Sequence[Path]) -> pl.LazyFrame:
    """Return part files as a lazy frame; their names can contain glob characters."""
    return pl.scan_parquet(list(parts), glob=False)
