"""What planners remember: records that become visible at the time at which they were learned."""

from collections.abc import Hashable
from typing import Any


class Memory:
    """A planner's records. No call learns from the future.

    A record is stamped with the clock of the search that wrote it, and other searches see it from
    that time on; the search that wrote it sees it at once. Values must be picklable, and are not
    to be changed once written: write a new record instead.
    """

    def __init__(self) -> None:
        self._records: dict[Hashable, list[tuple[int, int, Any]]] = {}

    def write(self, key: Hashable, value: Any, at_ns: int, author: int, now_ns: int) -> None:
        """Add a record, and drop those that it or another visible one supersedes.

        Args:
            key: what it is about.
            value: what was learned.
            at_ns: when it was learned.
            author: number of the search that learned it.
            now_ns: time of the call; records up to then are visible to everybody.
        """
        records = self._records.setdefault(key, [])
        visible = [i for i, (since_ns, _, _) in enumerate(records) if since_ns <= now_ns]
        if visible:
            del records[: visible[-1]]
        records.append((at_ns, author, value))

    def read(self, key: Hashable, now_ns: int, author: int | None) -> Any | None:
        """Return the latest visible value of a key, or None."""
        for at_ns, writer, value in reversed(self._records.get(key, ())):
            if at_ns <= now_ns or writer == author:
                return value
        return None
