"""The directory of one planner's run; its files are complete at every moment."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lab.common.atomic_write import written_aside
from lab.common.errors import InputError, one_line
from sim.metrics.results import SCHEMAS

LOCK = ".lock"
"""The file that is locked; it is there only while the lock is held."""
UNDER_WAY = "another process writes into it; wait for its end, or name another directory"
SUMMARY = "summary.json"
CONFIG = "config.yaml"
ERROR = "error.txt"
JOBS = "jobs.yaml"
CHECKPOINT = "checkpoint.jsonl"
TRACE, TRACE_PICTURE = "trace.json", "trace.png"
MOST_NAMED = 8
"""Most runs that a message names."""


@contextmanager
def held(directory: Path, otherwise: str = "") -> Iterator[None]:
    """Lock a directory for the body. If another holds it, wait, or raise InputError(otherwise)."""
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(blocking=not otherwise)
    except Timeout:
        raise InputError(otherwise) from None
    except OSError:
        pass  # No locks here. Where nothing can be written, the first result says so.
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows does not remove open files.
                (directory / LOCK).unlink()
        lock.release()


class TakenError(InputError):
    """A directory holds something else, which must not be overwritten."""


def write_aside(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_summary(directory: Path, summary: Mapping[str, Any]) -> None:
    """Write ``summary.json``."""
    write_aside(directory / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def read_summary(directory: Path) -> dict[str, Any]:
    """Read ``summary.json``."""
    summary: dict[str, Any] = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
    return summary


def load_config(path: Path) -> Any:
    """Read a ``config.yaml``; raises InputError if it cannot be read."""
    try:
        return OmegaConf.load(path)
    except (OSError, UnicodeError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path}: cannot be read: {one_line(error)}") from None


def holds_run(directory: Path) -> bool:
    """Return whether a directory holds results of a run or a comparison, or a run to resume."""
    return (directory / SUMMARY).exists() or broke_off(directory)


def broke_off(directory: Path) -> bool:
    """Return whether a directory holds an unfinished run that can be resumed."""
    return (directory / CHECKPOINT).exists() and (directory / CONFIG).exists()


def holds_sweep(directory: Path) -> bool:
    """Return whether a directory holds a sweep, which has ``jobs.yaml`` or numbered results."""
    return (directory / JOBS).exists() or any(
        summary.parent.name.isdecimal() for summary in directory.glob(f"*/{SUMMARY}")
    )


def claim(directory: Path, key: str = "hydra.run.dir") -> None:
    """Create a directory that the user named by `key`; TakenError if it holds a run or a sweep."""
    if broke_off(directory):
        raise TakenError(
            f"{key}={directory}: holds a run that broke off; add resume=true to go on with it, "
            "name another directory or remove this one"
        )
    if (directory / SUMMARY).exists():
        raise TakenError(
            f"{key}={directory}: holds results already; name another directory or remove this one"
        )
    if holds_sweep(directory):
        raise TakenError(
            f"{key}={directory}: holds a sweep; name another directory or remove this one"
        )
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
                continue  # The first part is written even if it is empty, for its columns.
            table = self.path / name
            table.mkdir(exist_ok=True)
            part = table / f"part-{self._parts[name]:05d}.parquet"
            with written_aside(part) as aside:
                # Quicker to read and write than zstd, for 5 to 19 % more bytes of a simulated hour.
                frame.write_parquet(aside, compression="lz4")
            self._parts[name] += 1
        write_summary(self.path, summary)


def never_ran(directory: Path) -> str:
    """Return a sentence that names compared planners without results, if any; or InputError."""
    config = directory / CONFIG
    compared = OmegaConf.select(load_config(config), "planner.compare") if config.exists() else {}
    names = [name for name in compared or {} if not (directory / str(name) / SUMMARY).is_file()]
    if not names:
        return ""
    return f"planner{'s' * (len(names) > 1)} {', '.join(names)} of the comparison never ran"


def _in_order(path: Path) -> list[tuple[bool, int, str]]:
    """Return a sort key of a path: its parts, with numbers in numerical order."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in path.parts
    ]


def planner_directories(directory: Path) -> dict[str, Path]:
    """Return the run directories in a directory, or itself, by relative path, numbers in order."""
    found = {}
    for summary in sorted(directory.rglob(SUMMARY), key=_in_order):
        if (summary.parent / "queries").is_dir():
            found[str(summary.parent.relative_to(directory))] = summary.parent
    return found


def only_run(given: str, runs: Sequence[Path], of: str = "") -> Path:
    """Return the only run (of a planner) in a directory; InputError for none or several."""
    if not runs:
        raise InputError(f"{given}: holds no results; name the directory of a run")
    if len(runs) > 1:
        named = ", ".join(map(str, runs[:MOST_NAMED]))
        rest = f" and {len(runs) - MOST_NAMED} more" if len(runs) > MOST_NAMED else ""
        raise InputError(f"{given}: holds {len(runs)} runs{of}; name one: {named}{rest}")
    return runs[0]


def scan(directory: Path, table: str) -> pl.LazyFrame:
    """Return a table of ``SCHEMAS`` of a run as a lazy frame, without rows if none is written."""
    if table not in SCHEMAS:
        raise ValueError(f"table={table!r}: must be one of {', '.join(SCHEMAS)}")
    parts = sorted((Path(directory) / table).glob("part-*.parquet"))
    if not parts:
        return pl.LazyFrame(schema=dict(SCHEMAS[table]))
    return scan_parts(parts)


def scan_parts(parts: Sequence[Path]) -> pl.LazyFrame:
    """Return part files as a lazy frame; names may hold characters of glob patterns."""
    return pl.scan_parquet(list(parts), glob=False)
