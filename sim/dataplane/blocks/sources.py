"""The sources of requests of the block data plane, and the routes of new requests."""

from bisect import bisect_left
from collections.abc import Iterator
from heapq import heappop, heappush

import numpy as np

from scenarios.numerics import Floats, Ints
from scenarios.requests import RequestBlock
from sim._jit.id_pool import grown
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.request_rows import ALLOWANCE, LENGTH, SIZE, variability_columns
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.tables import RecordTable, Sources


class SourceBook:
    """All sources, with births generated in advance; ``active`` has open sources' rows by query."""

    def __init__(self) -> None:
        self.operators = 0
        self._state = RecordTable(tb.SOURCE)
        self._segments = RecordTable(tb.SEGMENT)
        self._blocks: dict[int, Iterator[RequestBlock]] = {}  # by row
        self._row_of: dict[int, int] = {}  # by query
        self._first_segment: dict[int, int] = {}  # by row, like the next
        self._last_segment: dict[int, int] = {}
        self._factor_columns: list[int] = []  # columns of rows that take factors
        self._births = np.empty((0, 0, 1), dtype=np.int64)
        self._columns: list[int] = []  # columns of rows in which factors other than 1 occur
        self._next_ns: Ints = np.empty(0, dtype=np.int64)
        self.active: Ints = np.empty(0, dtype=np.int64)
        # Time of each source's last drawn birth; NEVER if it has no more.
        self._drawn_ns: Ints = np.empty(0, dtype=np.int64)
        self._closing: list[tuple[int, int]] = []  # heap of (closing time, query)

    def open(self, query: int, blocks: Iterator[RequestBlock]) -> None:
        """Open a source."""
        row = self._state.take()
        self._row_of[query] = row
        self._blocks[row] = blocks
        state = self._state.rows[row]
        self._state.rows[row] = 0
        self._next_ns, self._drawn_ns = (
            grown(each, row + 1) for each in (self._next_ns, self._drawn_ns)
        )
        self._next_ns[row] = NEVER
        state["query"], state["close_ns"] = query, NEVER
        segment = self._segments.take()
        self._segments.rows[segment] = (-1, tb.NONE, tb.NONE, tb.NONE)
        state["segment"] = self._first_segment[row] = self._last_segment[row] = segment
        self.active = np.insert(self.active, self._place(query), row)
        self._draw(row)

    def _place(self, query: int) -> int:
        queries = self._state.rows["query"]
        return bisect_left(self.active, query, key=queries.__getitem__)

    def close(self, at_ns: int, query: int) -> None:
        """Stop creating requests of a query at ``at_ns``."""
        state = self._state.rows[self._row_of[query]]
        state["close_ns"] = min(int(state["close_ns"]), at_ns)
        heappush(self._closing, (at_ns, query))

    def direct(self, at_ns: int, query: int, visit: int, deployment: int) -> None:
        """Let a query's requests from ``at_ns`` on follow the route that begins at ``visit``."""
        row = self._row_of.get(query)
        if row is None:
            return  # the query has departed
        segment = self._segments.take()
        self._segments.rows[segment] = (at_ns, visit, deployment, tb.NONE)
        self._segments.rows["next"][self._last_segment[row]] = segment
        self._last_segment[row] = segment

    def directs(self, query: int, deployment: int, now_ns: int) -> bool:
        """Return whether a deployment serves any requests of a query from ``now_ns`` on."""
        row = self._row_of.get(query)
        if row is None:
            return False
        segments, segment = self._segments.rows, self._first_segment[row]
        following = int(segments["next"][segment])
        while following != tb.NONE and segments["at_ns"][following] <= now_ns:
            self._segments.give_back(segment)
            segment, following = following, int(segments["next"][following])
        self._state.rows["segment"][row] = self._first_segment[row] = segment
        while segment != tb.NONE:
            if segments["deployment"][segment] == deployment:
                return True
            segment = int(segments["next"][segment])
        return False

    def fill(self, until_ns: int) -> None:
        """Generate each source's births up to ``until_ns`` and, if there is one, its next birth."""
        used = self._state.count
        while len(due := np.flatnonzero(self._drawn_ns[:used] < until_ns)):
            for row in due.tolist():
                if self._drawn_ns[row] < self._state.rows["close_ns"][row]:
                    self._draw(row)
                else:
                    self._drawn_ns[row] = NEVER

    def _draw(self, row: int) -> None:
        for block in self._blocks[row]:
            if len(block.arrival_ns):
                self._append(row, block)
                self._drawn_ns[row] = block.arrival_ns[-1]
                return
        self._drawn_ns[row] = NEVER

    def _append(self, row: int, block: RequestBlock) -> None:
        """Append a block of births to those of a source."""
        if not self.operators:
            self.operators = block.variability.shape[1]
            varying = variability_columns(self.operators).tolist()
            self._factor_columns = [SIZE, LENGTH, ALLOWANCE, *varying]
        factors = {
            column: values
            for column, values in zip(
                self._factor_columns,
                (block.size, block.length, block.allowance, *block.variability.T),
                strict=True,
            )
            if not _is_one(values)
        }
        self._columns += [column for column in factors if column not in self._columns]
        state, more = self._state.rows[row], len(block.arrival_ns)
        done, count = state["position"].item(), state["count"].item()
        left = count - done
        self._make_room(left + more)
        births = self._births[row]
        births[:left] = births[done:count]
        births[left : left + more, 0] = block.arrival_ns
        for at, column in enumerate(self._columns, 1):
            births.view(np.float64)[left : left + more, at] = factors.get(column, 1.0)
        state["number"] += done
        state["position"], state["count"] = 0, left + more
        self._next_ns[row] = births[0, 0]

    def _make_room(self, births: int) -> None:
        sources, room, columns = self._births.shape
        rows = len(self._state.rows)
        if rows <= sources and births <= room and len(self._columns) < columns:
            return
        wider = room if births <= room else births + births // 8
        larger = np.full((rows, wider, 1 + len(self._columns)), tb.ONE_BITS)
        larger[:sources, :room, :columns] = self._births
        self._births = larger

    def retire(self, now_ns: int) -> None:
        """Remove sources that have no further births."""
        while self._closing and self._closing[0][0] <= now_ns:
            _, query = heappop(self._closing)
            row = self._row_of.pop(query, None)
            if row is None:
                continue  # the source was closed twice
            self.active = np.delete(self.active, self._place(query))
            segment = self._first_segment[row]
            while segment != tb.NONE:
                self._segments.give_back(segment)
                segment = int(self._segments.rows["next"][segment])
            self._drawn_ns[row] = NEVER
            del self._blocks[row], self._first_segment[row], self._last_segment[row]
            self._state.give_back(row)

    def arrays(self) -> Sources:
        """Return the sources in the format of compiled code."""
        return Sources(
            self._state.rows,
            self._next_ns,
            self.active,
            self._segments.rows,
            self._births,
            np.array(self._columns, dtype=np.int64),
        )


def _is_one(factors: Floats) -> bool:
    """Return whether all factors are 1; only the first factor of a broadcast array is read."""
    if factors.strides == (0,) and len(factors):
        return factors.item(0) == 1.0
    return bool((factors == 1.0).all())
