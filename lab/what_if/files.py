"""Files of the answer to a what-if question: a figure and a table."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from lab.runs.run_directory import write_aside


@dataclass(frozen=True)
class Files:
    """Files of the answer to one question; a hash of the question is part of their names.

    `about` is the topic, in characters for file names; `words` are those of the command line.
    """

    directory: Path
    about: str
    words: Sequence[str]

    @property
    def figure(self) -> Path:
        """Path of the figure."""
        return self._path("png")

    @property
    def table(self) -> Path:
        """Path of the table."""
        return self._path("csv")

    def write_table(self, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write rows as CSV, each with the question; return the path."""
        self.directory.mkdir(parents=True, exist_ok=True)
        asked = [{**row, "question": shlex.join(self.words)} for row in rows]
        write_aside(self.table, pl.DataFrame(asked, infer_schema_length=None).write_csv())
        return self.table

    def _path(self, ending: str) -> Path:
        digest = sha256(shlex.join(self.words).encode()).hexdigest()[:8]
        return self.directory / f"{self.about}_{digest}.{ending}"
