"""The checkpoint of a run: every profiled configuration, on disk as soon as it is known.

It is there to go on from while a run is under way, and is removed when the run has finished.
"""

import json
from pathlib import Path
from time import perf_counter

from lab.common.errors import InputError
from lab.runs.run_directory import CHECKPOINT
from lab.version import not_ours, versions
from sim.planning.profiling_log import ProfileRecord, ProfilingLog

UNSAVED_S = 1.0
"""Seconds on the wall: profiling of that long may be lost. Writing each line by itself, between
other work, would take three times as long."""


class Checkpoint:
    """The file ``checkpoint.jsonl`` of one planner's run: the versions, then a record a line.

    Lines are on disk within a second of profiling, so a process that is killed loses the last
    second's at most, and the profiling run that is under way. A last line that was cut off counts
    as not there.

    Args:
        directory: the run directory; made if need be.
        go_on: whether to go on from the checkpoint that is there, if one is; it is replaced else.

    Raises:
        InputError: what is to go on from is no checkpoint of these versions.
    """

    def __init__(self, directory: Path, go_on: bool) -> None:
        self.path = directory / CHECKPOINT
        directory.mkdir(parents=True, exist_ok=True)
        lines = (
            self.path.read_bytes().splitlines(keepends=True) if go_on and self.path.exists() else []
        )
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
        """Take a record, to be written with those of the same second."""
        self._unsaved.append(record)
        if self._failure is None and perf_counter() - self._saved_s >= UNSAVED_S:
            try:
                self._save()
            except OSError as error:
                # A planner is being called, which is not to blame; the next flush tells.
                self._failure = error

    def _save(self) -> None:
        self._file.writelines(record.line() for record in self._unsaved)
        self._file.flush()
        self._unsaved.clear()
        self._saved_s = perf_counter()

    def flush(self, *_: object) -> None:
        """Write what is left to write; a sink of ``lab.runs.runner.simulate``.

        Raises:
            OSError: that cannot be done, or could not be done earlier.
        """
        if self._failure is not None:
            raise self._failure
        self._save()

    def close(self) -> None:
        """Write what is left to write, if that can be done, and close the file."""
        try:
            if self._failure is None:
                self._save()
        finally:
            self._file.close()


def _records(path: Path, lines: list[bytes]) -> list[ProfileRecord]:
    """Return the records of a checkpoint's whole lines."""
    if not lines:
        return []
    records = []
    for number, line in enumerate(lines, 1):
        try:
            if number > 1:
                records.append(ProfileRecord.from_line(line))
            elif other := not_ours(json.loads(line)):
                raise ValueError(other)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: cannot be resumed from: {error}") from None
    return records
