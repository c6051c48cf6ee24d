"""The memory of planners, in which a record becomes visible at the time at which it was learned."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any


class Memory:
    """A planner's records, each of which becomes visible at the time at which it was learned.

    The time of a record is the clock time of the search that wrote it. This search sees the record
    at once; other searches see it from that time on. Reading a key returns its visible record with
    the latest time, and among equal times the one written last. Records in the last checkpoint are
    kept for ``fall_back``.
    """

    def __init__(self) -> None:
        self._records: dict[Hashable, tuple[tuple[int, int, Any], ...]] = {}
        self._checkpoint_ns: int | None = None

    def write(self, key: Hashable, value: Any, at_ns: int, author: int, now_ns: int) -> None:
        """Add a record learned at ``at_ns``; drop records that are superseded at ``now_ns``."""
        records = self._records.get(key, ())
        settled_ns = now_ns if self._checkpoint_ns is None else self._checkpoint_ns
        visible = [i for i, (since_ns, _, _) in enumerate(records) if since_ns <= settled_ns]
        records = records[visible[-1] if visible else 0 :]
        place = len(records)
        while place and records[place - 1][0] > at_ns:
            place -= 1
        # Planners recall far more often than they remember, and tuples read less memory.
        self._records[key] = (*records[:place], (at_ns, author, value), *records[place:])

    def read(self, key: Hashable, now_ns: int, author: int | None) -> Any | None:
        """Return the latest visible value of a key, or None."""
        for at_ns, writer, value in reversed(self._records.get(key, ())):
            if at_ns <= now_ns or writer == author:
                return value
        return None

    def read_each(self, keys: Iterable[Hashable], now_ns: int) -> Iterator[Any | None]:
        """Yield, for each key, what `read` would return without an author."""
        for records in map(self._records.get, keys):
            # Nearly always, the last record is visible.
            if not records or records[-1][0] <= now_ns:
                yield records[-1][2] if records else None
            else:
                visible = (value for at_ns, _, value in reversed(records) if at_ns <= now_ns)
                yield next(visible, None)

    def settled(self, keys: Sequence[Hashable], now_ns: int) -> list[bool]:
        """Return, for each key, whether all of its records are visible to all searches."""
        every = [self._records.get(key) for key in keys]
        return [records is None or records[-1][0] <= now_ns for records in every]

    def forget(self, keys: Iterable[Hashable]) -> None:
        """Drop all records of some keys."""
        for key in keys:
            self._records.pop(key, None)

    def clear(self) -> None:
        """Drop all records."""
        self._records.clear()

    def checkpoint(self, now_ns: int) -> None:
        """Save the records that are visible to all searches now, for ``fall_back``."""
        self._checkpoint_ns = now_ns

    def fall_back(self) -> None:
        """Drop the records that are not in the last checkpoint, which must exist."""
        assert self._checkpoint_ns is not None, "there is no checkpoint to fall back to"
        for key, records in list(self._records.items()):
            kept = tuple(record for record in records if record[0] <= self._checkpoint_ns)
            if kept:
                self._records[key] = kept
            else:
                del self._records[key]
