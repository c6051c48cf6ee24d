"""Finding the runs of a sweep, and what of it has no results."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yaml import CSafeLoader, YAMLError, load

from lab.common.errors import InputError, no_directory, one_line
from lab.runs.run_directory import CONFIG, ERROR, INSIDE, JOBS, SUMMARY, never_ran

DEEPEST = 4
NEEDED = (
    *("planner", "planner_class", "planner_parameters", "planner_sees_truth", "seed", "status"),
    *("horizon_s", "simulated_s"),
)


@dataclass
class Found:
    """What lies below a directory."""

    # Summaries of the runs that have results, by their directories.
    runs: dict[Path, dict[str, Any]] = field(default_factory=dict)
    # Status and reason of what has none, by its path below the directory.
    without: dict[str, tuple[str, str]] = field(default_factory=dict)
    parents: list[Path] = field(default_factory=list)  # what holds compared runs


def find(directory: Path) -> Found:
    """Return the runs at or below the directory of a run, a comparison or a sweep.

    Raises:
        InputError: it does not exist, or holds no runs.
    """
    if not directory.exists():
        raise InputError(f"DIR={directory}: {no_directory(directory)}")
    if not directory.is_dir():
        raise InputError(f"DIR={directory}: is a file; name the directory of a run or sweep")
    found = Found()
    try:
        _visit(directory, directory, found, DEEPEST)
    except PermissionError as error:
        raise InputError(f"DIR={directory}: {error.filename} cannot be read") from None
    if not found.runs:
        raise InputError(f"DIR={directory}: {_why_none(directory, found)}")
    return found


def _visit(directory: Path, top: Path, found: Found, depth: int) -> None:
    """Note a run, or what lies below."""
    has_summary = (directory / SUMMARY).is_file()
    if has_summary and (directory / "queries").is_dir():
        summary = _json(directory / SUMMARY)
        if any(key not in summary for key in NEEDED):
            raise InputError(f"{directory / SUMMARY}: is no summary of a run by this version")
        found.runs[directory] = summary
        return
    name = directory.relative_to(top).as_posix()
    if has_summary:
        found.parents.append(directory)
        if missing := never_ran(directory):
            found.without[name] = ("missing", missing)
    elif (directory / ERROR).is_file():
        text = (directory / ERROR).read_text(encoding="utf-8", errors="replace")
        found.without[name] = ("failed", one_line(text))
    elif (directory / CONFIG).is_file():
        found.without[name] = ("missing", "began, and wrote no results")
    compared = list(_json(directory / SUMMARY)) if has_summary else []
    inside = sorted(
        (path for path in directory.iterdir() if path.is_dir() and path.name not in INSIDE),
        key=lambda path: _order(path.name, compared),
    )
    for path in inside:
        if depth and not path.name.startswith(".") and not path.is_symlink():
            _visit(path, top, found, depth - 1)
    if expected := _expected(directory, inside):
        told = [*found.runs, *found.parents, *(top / one for one in found.without)]
        # A job that was killed as it began leaves a directory without anything to tell of.
        known = {
            path.relative_to(directory).parts[0]
            for path in told
            if path != directory and path.is_relative_to(directory)
        }
        for number in sorted(expected):
            if str(number) not in known:
                gap = (directory / str(number)).relative_to(top).as_posix()
                found.without[gap] = ("missing", "never ran")


def _expected(directory: Path, inside: Sequence[Path]) -> set[int]:
    """Return the numbers of the jobs of a sweep: those it noted, or else all up to the last one.

    Without a note, a directory is a sweep if it holds only numbered and hidden directories.
    """
    if (directory / JOBS).is_file():
        try:
            jobs = load((directory / JOBS).read_text(encoding="utf-8"), CSafeLoader)
            return set(range(len(jobs)))
        except (OSError, TypeError, UnicodeError, YAMLError):
            raise InputError(f"{directory / JOBS}: cannot be read") from None
    names = [path.name for path in inside if not path.name.startswith(".")]
    if "0" not in names or not all(name.isdecimal() for name in names):
        return set()
    return set(range(max(map(int, names))))


def _why_none(directory: Path, found: Found) -> str:
    """Say why a directory is no sweep, and what else might have been meant."""
    for parent in directory.absolute().parents:
        if (parent / SUMMARY).is_file():
            return f"lies within the run {parent}; name that, or the sweep it is of"
    failed = [why for status, why in found.without.values() if status == "failed"]
    if failed:
        return f"none of its {len(found.without)} jobs has results; the first says: {failed[0]}"
    deeper = next(_deeper(directory, DEEPEST + 3), None)
    hint = f", though {deeper} does" if deeper else ""
    return f"holds no results{hint}; name the directory of a run or sweep"


def _deeper(directory: Path, depth: int) -> Iterator[Path]:
    """Yield directories of runs that lie too deep below to be of one sweep, the latest first."""
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


def _json(path: Path) -> dict[str, Any]:
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path}: cannot be read as JSON") from None
    return summary


def _order(name: str, compared: list[str]) -> tuple[int, int, str]:
    """Return a key by which planners come as they were compared, and job 10 after job 9."""
    place = compared.index(name) if name in compared else len(compared)
    return place, int(name) if name.isdecimal() else -1, name
