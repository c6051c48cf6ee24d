"""The checkpoint of a run: profiled configurations, written to disk within a second.

An unfinished run resumes from it; a finished run removes it.
"""

import json
from pathlib import Path
from time import perf_counter

from lab.common.errors import InputError
from lab.runs.run_directory import CHECKPOINT
from lab.version import not_ours, versions
from sim.planning.profiling_log import ProfileRecord, ProfilingLog

UNSAVED_S = 1.0
"""Wall-clock seconds of profiling that may be lost; to write each line at once triples the time."""


class Checkpoint:
    """The file ``checkpoint.jsonl`` of one planner's run: the versions, then one record a line.

    A killed process loses at most the last second of profiling and the current profiling run. An
    incomplete last line is ignored. With `go_on`, the run resumes from the file; otherwise the
    file is replaced. Raises InputError if it cannot be read or is of other versions.
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
        """Add a record; records of the same second are written together."""
        self._unsaved.append(record)
        if self._failure is None and perf_counter() - self._saved_s >= UNSAVED_S:
            try:
                self._save()
            except OSError as error:
                # The caller is a planner, which is not to blame; the next flush raises.
                self._failure = error

    def _save(self) -> None:
        self._file.writelines(record.line() for record in self._unsaved)
        self._file.flush()
        self._unsaved.clear()
        self._saved_s = perf_counter()

    def flush(self, *_: object) -> None:
        """Write the remaining records; raise OSError if this or an earlier write fails."""
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
