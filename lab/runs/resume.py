"""Resumes a run from its checkpoint, and checks the run's directory.

The checkpoint has the results of profiling, each of which is written to disk within a second. An
unfinished run is resumed from it; a finished run deletes it.
"""

import json
import shutil
from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.behaviour import told, versions_of
from lab.common.errors import InputError, one_line, shown
from lab.config.settings import REPORT
from lab.config.targets import with_current_paths
from lab.runs.run_directory import (
    CHECKPOINT,
    CONFIG,
    SUMMARY,
    TRACE,
    TRACE_PICTURE,
    TakenError,
    load_config,
    read_summary,
    rerun_hint,
)
from lab.runs.summary_shape import is_of_run
from lab.version import version_mismatch, versions
from sim.api.planner import Planner
from sim.metrics.request_table import REQUESTS
from sim.metrics.results import SCHEMAS
from sim.planning.profiling_log import ProfileRecord, ProfilingLog

UNSAVED_S = 1.0
"""Wall-clock seconds of profiling that a crash can lose; 0 would triple the time of writing."""

LEAVE_OUT = "omit resume=true to start one"


class Checkpoint:
    """The file ``checkpoint.jsonl`` of one planner's run: the versions, then one record per line.

    A killed process loses at most the last second of profiling and the current profiling run. An
    incomplete last line is ignored. With `resume`, the run is resumed from the file; otherwise, the
    file is replaced. Raises InputError if the file cannot be read or other versions wrote it.
    """

    def __init__(self, directory: Path, resume: bool) -> None:
        self.path = directory / CHECKPOINT
        directory.mkdir(parents=True, exist_ok=True)
        resume = resume and self.path.exists()
        lines = self.path.read_bytes().splitlines(keepends=True) if resume else []
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        earlier = _records(self.path, lines)
        self._unsaved: list[ProfileRecord] = []
        self._saved_s = -UNSAVED_S
        self._failure: OSError | None = None
        self._file = self.path.open("ab")
        self._file.truncate(sum(map(len, lines)))
        if not lines:
            self._file.write(f"{json.dumps(versions())}\n".encode())
            self._file.flush()
        self.profiling_log = ProfilingLog(earlier, self.add)

    def add(self, record: ProfileRecord) -> None:
        """Add a record; all records of a second are written together."""
        self._unsaved.append(record)
        if self._failure is None and perf_counter() - self._saved_s >= UNSAVED_S:
            try:
                self._save()
            except OSError as error:
                # The caller is a planner, which is not at fault; the next flush raises this.
                self._failure = error

    def _save(self) -> None:
        self._file.writelines(record.line() for record in self._unsaved)
        self._file.flush()
        self._unsaved.clear()
        self._saved_s = perf_counter()

    def flush(self, *_: object) -> None:
        """Write the remaining records; raise OSError if this fails or an earlier write failed."""
        if self._failure is not None:
            raise self._failure
        self._save()

    def close(self) -> None:
        """Write the remaining records if possible, and close the file."""
        try:
            if self._failure is None:
                self._save()
        finally:
            self._file.close()


def _records(path: Path, lines: list[bytes]) -> list[ProfileRecord]:
    records = []
    for number, line in enumerate(lines, 1):
        try:
            if number > 1:
                records.append(ProfileRecord.from_line(line))
            elif mismatch := version_mismatch(json.loads(line)):
                raise ValueError(mismatch)
        except ValueError as error:
            again = rerun_hint(path.parent)
            raise InputError(
                f"{path}, line {number}: cannot be resumed: {error}; {again}"
            ) from None
    return records


def check_resumable(directory: Path, config: DictConfig, alone: bool) -> None:
    """Raise TakenError unless a directory has a run of this configuration to resume."""
    where = f"hydra.run.dir={directory}"
    if not (directory / CONFIG).exists():
        raise TakenError(f"{where}: has no run to resume; {LEAVE_OUT}")
    try:
        found = OmegaConf.to_container(load_config(directory / CONFIG), resolve=True)
        there = with_current_paths(found)
    except (InputError, OmegaConfBaseException) as error:
        raise TakenError(f"{where}: cannot be resumed: {one_line(error)}") from None
    here = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(config)))
    for each in (there, here):
        if isinstance(each, dict):
            each.pop("about", None)  # The purpose of an experiment; no result depends on it.
            if isinstance(tables := each.get("tables"), dict):
                tables.setdefault("accelerators", None)  # Earlier runs do not have this key.
    if different := _difference(there, here):
        key, old, new = different
        raise TakenError(
            f"{where}: has a run of another configuration: {key} is {old} there and {new} here; "
            "resume with the same overrides"
        )
    check_versions(where, directory)
    if alone and not is_finished(directory) and not (directory / CHECKPOINT).exists():
        try:
            read_summary(directory)
        except InputError as error:
            raise TakenError(f"{where}: cannot be resumed: {error}") from None
        except OSError:  # There is none, because the run was killed before its first results.
            pass
        again = rerun_hint(directory)
        raise TakenError(f"{where}: is unfinished and has no {CHECKPOINT} to resume from; {again}")


def check_versions(where: str, directory: Path) -> None:
    """Raise TakenError if other package versions wrote the results in a directory."""
    try:
        summary = read_summary(directory)
    except (OSError, ValueError):  # There is none, or a crash damaged it.
        return
    for one in [summary] if is_of_run(summary) else summary.values():
        finished = one.get("status") == "finished"
        if "versions" in one and (mismatch := version_mismatch(one["versions"], finished)):
            raise TakenError(f"{where}: cannot be resumed: {mismatch}")


def is_finished(directory: Path) -> bool:
    """Return whether a directory has one planner's run that reached its horizon."""
    try:
        return read_summary(directory).get("status") == "finished"
    except (OSError, ValueError):  # There is none, or a crash damaged it.
        return False


def why_stale(directory: Path, planner: Planner) -> str:
    """Return a clause that says why a run must be made again; empty if its results are valid.

    They are not if the world or the planner had other behaviour versions.
    """
    try:
        there = read_summary(directory).get("behaviour")
    except (OSError, ValueError):  # There is none, or a crash damaged it.
        return ""
    here = versions_of(planner)
    return "" if there == here else f"its behaviour was {told(there)}, and is now {told(here)}"


def clear(directory: Path) -> None:
    """Remove the results and reports of one planner's unfinished run, but not its checkpoint."""
    # The summary is removed first, so that a run killed here does not seem to lack tables.
    for name in (SUMMARY, TRACE, TRACE_PICTURE):
        (directory / name).unlink(missing_ok=True)
    for table in (*SCHEMAS, REQUESTS, REPORT):
        shutil.rmtree(directory / table, ignore_errors=True)


def _difference(there: Any, here: Any, key: str = "") -> tuple[str, str, str] | None:
    """Return the first key whose values differ, with both values."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in [*there, *(name for name in here if name not in there)]:
            path = f"{key}.{name}" if key else str(name)
            if name not in there or name not in here:
                return path, _value(there, name), _value(here, name)
            if found := _difference(there[name], here[name], path):
                return found
        return None
    return None if there == here else (key, shown(there), shown(here))


def _value(node: dict[Any, Any], name: Any) -> str:
    return shown(node[name]) if name in node else "not set"
