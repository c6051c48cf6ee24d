"""Runs that are kept: one JSON line each, which several processes may append to at once."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.common.dir_lock import held

Row = dict[str, Any]


class KeptRuns:
    """What was measured of runs, by their keys, in a file of a directory.

    The file is read when it is first needed, and then what was appended since.

    Args:
        directory: where it is; made when the first run is kept.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / "runs.jsonl"
        self._rows: dict[str, Row] = {}
        self._read_bytes = 0

    def rows(self) -> Mapping[str, Row]:
        """Return what was measured of each run that is kept, by anyone."""
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._read_bytes:
                    self._read_bytes = 0  # Someone has cleared outputs meanwhile.
                file.seek(self._read_bytes)
                text = file.read()
        except FileNotFoundError:
            return self._rows
        # The last line may be half written, or be one that nothing ended.
        self._read_bytes += text.rfind(b"\n") + 1
        self._rows.update(filter(None, map(_entry, text.splitlines())))
        return self._rows

    def keep(self, key: str, measured: Row) -> None:
        """Append a run."""
        self.directory.mkdir(parents=True, exist_ok=True)  # Someone may clear outputs meanwhile.
        # The break before it ends a line that was cut off.
        line = f"\n{json.dumps({'key': key, 'measured': measured})}\n".encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            with held(self.directory):  # Network folders may not append as one.
                os.write(descriptor, line)
        finally:
            os.close(descriptor)
        self._rows[key] = measured


def _entry(line: bytes) -> tuple[str, Row] | None:
    """Return the key of a line and what was measured, or None if it was cut off or is no run."""
    try:
        entry = json.loads(line)
        key, measured = entry["key"], entry["measured"]
    except (ValueError, TypeError, KeyError):
        return None
    return (key, measured) if isinstance(key, str) and isinstance(measured, dict) else None
