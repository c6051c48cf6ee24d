"""What is sent to a service, request by request, and how good its answers are."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.common.errors import InputError, no_directory, why_not

MOST_BYTES = 100_000_000
"""Largest number of bytes of all files of `Files`, because they are kept in memory."""


@dataclass(frozen=True)
class Payload:
    """The body of one request.

    Args:
        body: the bytes to send.
        size: the work of the request relative to an average one, as far as it is known.
        content_type: the type of the body, for HTTP.
    """

    body: bytes
    size: float = 1.0
    content_type: str = "application/octet-stream"


class Payloads(ABC):
    """Base class of what can be sent; request `number` of a seed always sends the same bytes."""

    @abstractmethod
    def payload(self, seed: int, number: int) -> Payload:
        """Return the body of a request."""

    def score(self, seed: int, number: int, answer: bytes) -> Mapping[str, float]:
        """Return how good an answer is: values in [0, 1] by name; nothing if it is not known."""
        return {}


class Files(Payloads):
    """The files of a directory in the order of their names, again and again.

    The size of a request is the size of its file relative to the mean.

    Args:
        directory: directory of the files; hidden ones are left out.

    Raises:
        InputError: the directory is missing, empty or too large.
    """

    TYPES: Mapping[str, str] = {
        ".json": "application/json",
        ".png": "image/png",
        ".jpg": "image/jpeg",
        ".jpeg": "image/jpeg",
        ".txt": "text/plain; charset=utf-8",
        ".wav": "audio/wav",
    }

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise InputError(f"--payloads={directory}: {no_directory(directory)}")
        files = sorted(
            one for one in directory.iterdir() if one.is_file() and not one.name.startswith(".")
        )
        if not files:
            raise InputError(f"--payloads={directory}: has no files to send")
        if sum(one.stat().st_size for one in files) > MOST_BYTES:
            raise InputError(f"--payloads={directory}: has more than {MOST_BYTES:,} bytes of files")
        try:
            bodies = [one.read_bytes() for one in files]
        except OSError as error:
            raise InputError(f"--payloads={directory}: {why_not(error)}") from None
        mean = max(sum(map(len, bodies)) / len(bodies), 1.0)
        self._payloads: Sequence[Payload] = [
            Payload(
                body,
                len(body) / mean,
                self.TYPES.get(file.suffix.lower(), Payload.content_type),
            )
            for file, body in zip(files, bodies, strict=True)
        ]

    def payload(self, seed: int, number: int) -> Payload:
        """Return the body of a request, which is the same for every seed."""
        return self._payloads[number % len(self._payloads)]


def as_json(body: bytes) -> object:
    """Return the value of a body of JSON; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
