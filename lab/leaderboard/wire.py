"""Messages between the process of a world and that of a submitted planner.

What a planner's process sends is data: JSON, of which only collections, arrays of numbers, the
classes of `RECORDS` and references to objects of the world are made. It is never unpickled. What a
world sends is trusted, so it can be a pickle.
"""

import json
import os
import select
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from time import monotonic
from typing import Any

import numpy as np

from scenarios.applications.pipeline import Configuration
from sim.api.choices import Choices
from sim.api.estimate import Estimate, Measurement
from sim.api.plan import Allocation, Plan
from sim.api.prediction import DagPath

MOST_BYTES = 64_000_000
"""The largest message that a planner's process may send."""
HEAD = 4
"""Number of bytes that give the length of a message."""
CHUNK = 1 << 20
NUMBERS = "biuf"
"""Kinds of NumPy's types that arrays in messages can have."""


class WireError(Exception):
    """The other process has ended, was too slow, or sent what is no message."""


class GoneError(WireError):
    """The other process closed the connection."""


class LateError(WireError):
    """The other process did not answer in time."""


class Channel:
    """Two pipes to another process, which send and receive whole messages.

    Args:
        reads: file descriptor to read from.
        writes: file descriptor to write to.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        os.set_blocking(reads, False)
        os.set_blocking(writes, False)
        self._read = bytearray()  # what was read beyond the last message
        self.until_s: float | None = None  # `time.monotonic` at which waiting ends

    def send(self, message: bytes) -> None:
        """Send a message."""
        left = memoryview(len(message).to_bytes(HEAD, "big") + message)
        while left:
            try:
                left = left[os.write(self._writes, left[:CHUNK]) :]
            except BlockingIOError:
                self._wait([], [self._writes])
            except OSError:
                raise GoneError from None

    def receive(self) -> bytes:
        """Return the next message."""
        length = int.from_bytes(self._first(HEAD), "big")
        if length > MOST_BYTES:
            raise WireError(f"a message has {length:,} bytes, more than {MOST_BYTES:,}")
        return self._first(length)

    def _first(self, length: int) -> bytes:
        """Return the next bytes of what the other process sends."""
        while len(self._read) < length:
            try:
                part = os.read(self._reads, CHUNK)
            except BlockingIOError:
                self._wait([self._reads], [])
                continue
            if not part:
                raise GoneError
            self._read += part
        found = bytes(self._read[:length])
        del self._read[:length]
        return found

    def _wait(self, reads: list[int], writes: list[int]) -> None:
        left_s = None if self.until_s is None else max(0.0, self.until_s - monotonic())
        if not any(select.select(reads, writes, [], left_s)):
            raise LateError


# What a planner's process sends

RECORDS = {
    each.__name__: each
    for each in (Plan, Configuration, Allocation, Choices, Measurement, Estimate, DagPath)
}
"""Classes of values that planners can make and pass to the planning context."""


@dataclass(frozen=True)
class Reference:
    """Stands for an object that has no other form in a message.

    Args:
        kind: ``"shared"`` or ``"plan"`` for an object that the world sent, ``"kept"`` for one that
            stays in the planner's process.
        number: its number.
    """

    kind: str
    number: int


def packed(value: Any, refer: Callable[[Any], Reference | None]) -> bytes:
    """Return a value as JSON; raise TypeError if it has a part that is no data.

    ``refer`` returns the reference of an object, or None if it is sent by value.
    """
    return json.dumps(_plain(value, refer)).encode()


def _plain(value: Any, refer: Callable[[Any], Reference | None]) -> Any:  # noqa: PLR0911
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in NUMBERS:
        return value.item()
    if (found := refer(value)) is not None:
        return [found.kind, found.number]
    if RECORDS.get(kind.__name__) is kind:
        parts = (
            [getattr(value, each.name) for each in fields(value)] if is_dataclass(value) else value
        )
        return [kind.__name__, *(_plain(part, refer) for part in parts)]
    if kind in (tuple, list, set, frozenset):
        return [kind.__name__, *(_plain(part, refer) for part in value)]
    if kind is dict:
        return ["dict", *([_plain(each, refer) for each in pair] for pair in value.items())]
    if isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS:
        data = b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return ["array", value.dtype.str, list(value.shape), data]
    raise TypeError(f"a value of type {kind.__name__} cannot be passed to the planning context")


def unpacked(message: bytes, resolve: Callable[[str, Any], Any]) -> Any:
    """Return the value of a message; raise WireError if it is none.

    ``resolve`` returns the object of a reference, given its kind and number; it can raise any
    exception.
    """
    try:
        return _value(json.loads(message), resolve)
    except Exception as error:
        raise WireError(f"a message cannot be read ({type(error).__name__})") from None


def _value(node: Any, resolve: Callable[[str, Any], Any]) -> Any:
    if not isinstance(node, list):
        if isinstance(node, dict):
            raise ValueError
        return node
    kind, *parts = node
    if kind == "array":
        kind_of_numbers, shape, data = parts
        if np.dtype(kind_of_numbers).kind not in NUMBERS:
            raise ValueError
        # A copy can be written, so that compiled functions take it for any other array.
        return np.frombuffer(b64decode(data), kind_of_numbers).reshape(shape).copy()
    if kind == "dict":
        return {_value(key, resolve): _value(value, resolve) for key, value in parts}
    if kind in COLLECTIONS:
        return COLLECTIONS[kind](_value(part, resolve) for part in parts)
    if kind in RECORDS:
        return _record(RECORDS[kind], [_value(part, resolve) for part in parts])
    [number] = parts
    return resolve(kind, number)


COLLECTIONS: dict[str, Callable[[Any], Any]] = {
    each.__name__: each for each in (tuple, list, set, frozenset)
}


def _record(kind: Any, parts: list[Any]) -> Any:
    made = kind(*parts)
    if isinstance(made, Measurement):  # Compiled functions rely on its types and shapes.
        items, operators = made.operator_time_s.shape
        for array in (made.accuracy, made.size, made.allowance, made.items):
            if array.shape != (items,):
                raise ValueError
        numbers = made.accuracy, made.operator_time_s, made.size, made.allowance
        if not operators or any(each.dtype != np.float64 for each in numbers):
            raise ValueError
    return made
