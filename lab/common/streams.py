"""Standard output and error that take any text and never raise; what they lose is counted.

A full disk, a closed stream or a reader that has ended must not stop a simulation, whose results
are in files. So a stream that fails is ignored from then on, and the command ends with a sentence
and a status other than 0.
"""

import io
import os
import select
import sys
from contextlib import suppress
from errno import EBADF
from typing import Any

STRICT = ("strict", "surrogateescape")
"""Handlers that raise an exception at characters which a stream's encoding lacks."""


class _Tolerant(io.RawIOBase):
    """A raw stream that keeps its first error instead of raising it.

    Args:
        raw: the stream that is written; None if it was closed when the process started.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.error: OSError | None = None

    def write(self, text: Any) -> int:
        if self.error is None:
            try:
                if self._raw is None:
                    raise OSError(EBADF, os.strerror(EBADF))
                while (written := self._raw.write(text)) is None:  # It does not block, and is full.
                    select.select([], [self._raw], [])
                return int(written)
            except OSError as error:
                self.error = error
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw is not None and self._raw.isatty()

    def fileno(self) -> int:
        if self._raw is None:
            raise io.UnsupportedOperation("fileno")
        return int(self._raw.fileno())


class _OpenBuffer(io.BufferedWriter):
    """A buffer that stays open, because a planner can close it."""

    def close(self) -> None:
        self.flush()


class _OpenText(io.TextIOWrapper):
    """A stream that stays open, because a planner can close it."""

    def close(self) -> None:
        self.flush()

    def detach(self) -> Any:
        raise io.UnsupportedOperation("detach")


class Streams:
    """Replaces the standard streams of the process; streams that were redirected stay."""

    def __init__(self) -> None:
        self._raw: dict[str, _Tolerant] = {}
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            if getattr(sys, f"__{name}__") is None:
                _reserve(number)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not getattr(sys, f"__{name}__"):
                continue
            buffer = getattr(stream, "buffer", None)
            raw = self._raw[name] = _Tolerant(getattr(buffer, "raw", buffer))  # or unbuffered
            errors = getattr(stream, "errors", "strict")
            by_line = ("line_buffering", "write_through")
            replaced = _OpenText(
                _OpenBuffer(raw),
                encoding=getattr(stream, "encoding", "utf-8"),
                errors="backslashreplace" if errors in STRICT else errors,
                line_buffering=any(getattr(stream, each, True) for each in by_line),
            )
            setattr(sys, name, replaced)

    def lost(self) -> dict[str, OSError]:
        """Write what is buffered; return the errors of streams that lost text, by their names."""
        for name in self._raw:
            with suppress(ValueError):  # It was closed.
                getattr(sys, name).flush()
        return {name: raw.error for name, raw in self._raw.items() if raw.error is not None}


def _reserve(number: int) -> None:
    """Open the null device in place of a closed stream, so that no later file gets its number.

    The direction is the wrong one on purpose, so that a process started later fails in using it.
    """
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
