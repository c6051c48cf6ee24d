"""The sources of requests of the block data plane, and the routes of new requests."""

from bisect import bisect_left
from collections.abc import Iterator
from heapq import heappop, heappush

import numpy as np

from scenarios.compiled import in_place
from scenarios.numerics import Floats, Ints
from scenarios.requests import RequestBlock
from sim._jit.hints import index
from sim._jit.id_pool import grown
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.request_rows import ALLOWANCE, LENGTH, SIZE, variability_columns
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.tables import RecordArray, RecordTable, Sources

AT_ONCE = 8192
"""Number of births from which they are stored, while caches still hold them."""

NOT_DRAWN = -1


class SourceBook:
    """All sources, with births generated in advance; ``active`` has open sources' rows by query."""

    def __init__(self) -> None:
        self.operators = 0
        self._state = RecordTable(tb.SOURCE)
        self._segments = RecordTable(tb.SEGMENT)
        self._blocks: dict[int, Iterator[RequestBlock]] = {}  # by row
        self._row_of: dict[int, int] = {}  # by query
        self._first_segment: Ints = np.empty(0, dtype=np.int64)  # by row, like the next
        self._last_segment: Ints = np.empty(0, dtype=np.int64)
        self._varying: list[int] = []  # columns of rows that take factors of service times
        self._births = np.empty((0, 0, 1), dtype=np.int64)
        self._columns: list[int] = []  # columns of rows in which factors other than 1 occur
        self._next_ns: Ints = np.empty(0, dtype=np.int64)
        self.active: Ints = np.empty(0, dtype=np.int64)
        # Time of each source's last drawn birth; NOT_DRAWN before the first, NEVER without more.
        self._drawn_ns: Ints = np.empty(0, dtype=np.int64)
        self._closing: list[tuple[int, int]] = []  # heap of (closing time, query)

    def open(self, query: int, blocks: Iterator[RequestBlock]) -> None:
        """Open a source."""
        row = self._state.take()
        self._row_of[query] = row
        self._blocks[row] = blocks
        state = self._state.rows[row]
        self._state.rows[row] = 0
        self._next_ns, self._drawn_ns, self._first_segment, self._last_segment = (
            grown(each, row + 1)
            for each in (self._next_ns, self._drawn_ns, self._first_segment, self._last_segment)
        )
        self._next_ns[row] = NEVER
        state["query"], state["close_ns"] = query, NEVER
        segment = self._segments.take()
        self._segments.rows[segment] = (-1, tb.NONE, tb.NONE, tb.NONE)
        state["segment"] = self._first_segment[row] = self._last_segment[row] = segment
        self.active = np.insert(self.active, self._place(query), row)
        self._drawn_ns[row] = NOT_DRAWN
        if not self.operators:  # its first block tells their number
            self._draw(np.array([row]))

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
        segments, segment = self._segments.rows, int(self._first_segment[row])
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
            open_ = self._drawn_ns[due] < self._state.rows["close_ns"][due]
            self._drawn_ns[due[~open_]] = NEVER
            self._draw(due[open_])

    def _draw(self, rows: Ints) -> None:
        """Draw the next block of each of these sources that is not empty."""
        sources: list[int] = []
        drawn: list[RequestBlock] = []
        births = 0
        for row in rows.tolist():
            for block in self._blocks[row]:
                if len(block.arrival_ns):
                    sources.append(row)
                    drawn.append(block)
                    births += len(block.arrival_ns)
                    break
            else:
                self._drawn_ns[row] = NEVER
            if births >= AT_ONCE:
                self._append(np.array(sources), drawn)
                sources, drawn, births = [], [], 0
        if drawn:
            self._append(np.array(sources), drawn)

    def _append(self, rows: Ints, blocks: list[RequestBlock]) -> None:
        """Append a block of births to those of each of these sources."""
        if not self.operators:
            self.operators = blocks[0].variability.shape[1]
            self._varying = variability_columns(self.operators).tolist()
        columns = zip(*blocks, strict=True)
        arrivals, sizes, lengths, allowances, variabilities = (list(each) for each in columns)
        factors = {
            column: values
            for column, values in ((SIZE, sizes), (LENGTH, lengths), (ALLOWANCE, allowances))
            if not _are_one(values)
        }
        if not _are_one(variabilities):
            for at, column in enumerate(self._varying):
                values = [each[:, at] for each in variabilities]
                if not _are_one(values):
                    factors[column] = values
        self._columns += [column for column in factors if column not in self._columns]
        more = np.array([len(each) for each in arrivals])
        state = self._state.rows
        self._make_room(int((state["count"][rows] - state["position"][rows] + more).max()))
        births = np.empty((1 + len(self._columns), more.sum()), np.int64)
        np.concatenate(arrivals, out=births[0])
        for values, column in zip(births.view(np.float64)[1:], self._columns, strict=True):
            if column in factors:
                np.concatenate(factors[column], out=values)
            else:
                values[:] = 1.0
        _store(state, self._births, self._next_ns, self._drawn_ns, rows, more, births)

    def _make_room(self, births: int) -> None:
        sources, room, columns = self._births.shape
        rows = len(self._state.rows)
        if rows <= sources and births <= room and len(self._columns) < columns:
            return
        wider = room if births <= room else births + births // 8
        larger = np.empty((rows, wider, 1 + len(self._columns)), np.int64)
        larger[:sources, :room, :columns] = self._births
        larger[:sources, :room, columns:] = tb.ONE_BITS
        self._births = larger

    def retire(self, now_ns: int) -> None:
        """Remove sources that have no further births."""
        while self._closing and self._closing[0][0] <= now_ns:
            _, query = heappop(self._closing)
            row = self._row_of.pop(query, None)
            if row is None:
                continue  # the source was closed twice
            self.active = np.delete(self.active, self._place(query))
            segment = int(self._first_segment[row])
            while segment != tb.NONE:
                self._segments.give_back(segment)
                segment = int(self._segments.rows["next"][segment])
            self._drawn_ns[row] = NEVER
            del self._blocks[row]
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


@in_place
def _store(
    state: RecordArray,
    births: Ints,
    next_ns: Ints,
    drawn_ns: Ints,
    rows: Ints,
    more: Ints,
    drawn: Ints,
) -> None:
    """Append to the ``births`` of each source in ``rows`` the next ``more`` of ``drawn``."""
    first = 0
    for i in range(len(rows)):
        row = index(rows[i])
        done, left = index(state[row].position), index(state[row].count - state[row].position)
        for column in range(births.shape[2]):
            for at in range(left):
                births[row, at, column] = births[row, index(done + at), column]
            for at in range(more[i]):
                births[row, index(left + at), column] = drawn[column, index(first + at)]
        first += more[i]
        state[row].number += done
        state[row].position, state[row].count = 0, left + more[i]
        next_ns[row], drawn_ns[row] = births[row, 0, 0], drawn[0, first - 1]


def _are_one(factors: list[Floats]) -> bool:
    """Return whether all factors of all arrays are 1; most arrays are the same broadcast array."""
    return all(map(_is_one, {id(each): each for each in factors}.values()))


def _is_one(factors: Floats) -> bool:
    """Return whether all factors are 1; each factor of a broadcast array is read only once."""
    if not factors.strides[0] and len(factors):
        factors = factors[0]
    return bool((factors == 1.0).all())
