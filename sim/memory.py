"""What planners remember: records that become visible at the time at which they were learned."""

from collections.abc import Hashable, Iterator
from typing import Any


class Memory:
    """A planner's records. No call learns from the future.

    A record is stamped with the clock of the search that wrote it, and other searches see it from
    that time on; the search that wrote it sees it at once. Values must be picklable, and are not
    to be changed once written: write a new record instead.
    """

    def __init__(self) -> None:
        self._records: dict[Hashable, list[tuple[int, int, Any]]] = {}

    def write(self, key: Hashable, value: Any, at_ns: int, author: int) -> None:
        """Add a record.

        Args:
            key: what it is about.
            value: what was learned.
            at_ns: when it was learned.
            author: number of the search that learned it.
        """
        self._records.setdefault(key, []).append((at_ns, author, value))

    def read(self, key: Hashable, now_ns: int, author: int | None) -> Any | None:
        """Return the latest visible value of a key, or None."""
        for at_ns, writer, value in reversed(self._records.get(key, ())):
            if at_ns <= now_ns or writer == author:
                return value
        return None

    def keys(self, now_ns: int, author: int | None) -> Iterator[Hashable]:
        """Yield the keys that have a visible value, in the order in which they were first used."""
        for key in self._records:
            if self.read(key, now_ns, author) is not None:
                yield key
