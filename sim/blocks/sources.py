"""Where requests are born: the sources of the block data plane, and the routes that births take."""

from collections.abc import Iterator

import numpy as np

from scenarios.requests import RequestBlock
from sim.blocks.tables import (
    NONE,
    ONE_BITS,
    SEGMENT,
    SOURCE,
    Floats,
    Ints,
    Sources,
    Table,
)
from sim.request_rows import ALLOWANCE, LENGTH, SIZE, variability_columns
from sim.slots import grown
from sim.work import NEVER


class SourceBook:
    """All sources, with births drawn ahead."""

    def __init__(self) -> None:
        self.operators = 0
        self._state = Table(SOURCE)
        self._segments = Table(SEGMENT)
        self._blocks: dict[int, Iterator[RequestBlock]] = {}  # by row
        self._row_of: dict[int, int] = {}  # by query
        self._last_segment: dict[int, int] = {}  # by row
        self._births = np.empty((0, 0, 1), dtype=np.int64)
        self._columns: list[int] = []  # of rows, whose factors are not all 1
        self._next_ns: Ints = np.empty(0, dtype=np.int64)
        self._active: Ints | None = None
        self._filled_ns = 0  # up to when every open source has its births drawn
        self._closes_ns = NEVER  # when the first of them closes

    def open(self, query: int, blocks: Iterator[RequestBlock]) -> None:
        """Open a source."""
        row = self._state.take()
        self._row_of[query] = row
        self._blocks[row] = blocks
        state = self._state.rows[row]
        self._state.rows[row] = 0
        self._next_ns = grown(self._next_ns, row + 1)
        self._next_ns[row] = NEVER
        self._filled_ns = 0
        state["query"], state["close_ns"], state["last_ns"] = query, NEVER, -1
        segment = self._segments.take()
        self._segments.rows[segment] = (-1, NONE, NONE, NONE)
        state["segment"] = self._last_segment[row] = segment
        self._active = None
        if not self.operators:
            first = next(blocks, None)
            if first is None:
                state["exhausted"] = 1
                return
            self.operators = first.variability.shape[1]
            self._append(row, first)

    def close(self, at_ns: int, query: int) -> None:
        """Let no request be born at a time or later."""
        state = self._state.rows[self._row_of[query]]
        state["close_ns"] = min(int(state["close_ns"]), at_ns)
        self._closes_ns = min(self._closes_ns, at_ns)

    def direct(self, at_ns: int, query: int, visit: int, deployment: int) -> None:
        """Let births from a time on follow the route that begins at a visit."""
        row = self._row_of.get(query)
        if row is None:
            return  # It departed.
        segment = self._segments.take()
        self._segments.rows[segment] = (at_ns, visit, deployment, NONE)
        self._segments.rows["next"][self._last_segment[row]] = segment
        self._last_segment[row] = segment

    def directs(self, query: int, deployment: int, now_ns: int) -> bool:
        """Tell whether births of a query follow a deployment's route from now on, or will."""
        row = self._row_of.get(query)
        if row is None:
            return False
        segments = self._segments.rows
        segment = int(self._state.rows["segment"][row])
        while segment != NONE:
            following = int(segments["next"][segment])
            over = following != NONE and segments["at_ns"][following] <= now_ns
            if not over and segments["deployment"][segment] == deployment:
                return True
            segment = following
        return False

    def fill(self, until_ns: int) -> None:
        """Draw births until every open source has one at a time or later, or has no more."""
        if until_ns <= self._filled_ns:
            return
        state, active = self._state.rows, self.active
        for row in active[self._drawn_until_ns() < until_ns].tolist():
            while state["last_ns"][row] < until_ns and not state["exhausted"][row]:
                block = next(self._blocks[row], None)
                if block is None:
                    state["exhausted"][row] = 1
                else:
                    self._append(row, block)
        self._filled_ns = int(self._drawn_until_ns().min(initial=NEVER))

    def _drawn_until_ns(self) -> Ints:
        """Return up to when each open source has its births drawn; NEVER if it has no more."""
        state, active = self._state.rows, self.active
        last_ns = state["last_ns"][active]
        more = (state["exhausted"][active] == 0) & (state["close_ns"][active] > last_ns)
        return np.where(more, last_ns, NEVER)

    def _append(self, row: int, block: RequestBlock) -> None:
        """Put births behind those of a source that are still to come."""
        state, more = self._state.rows[row], len(block.arrival_ns)
        done, count = int(state["position"]), int(state["count"])
        left = count - done
        factors = {SIZE: block.size, LENGTH: block.length, ALLOWANCE: block.allowance}
        factors |= zip(
            variability_columns(self.operators).tolist(), block.variability.T, strict=True
        )
        self._columns += [
            column
            for column, values in factors.items()
            if column not in self._columns and not _is_one(values)
        ]
        self._make_room(left + more)
        births = self._births[row]
        births[:left] = births[done:count]
        births[left : left + more, 0] = block.arrival_ns
        for at, column in enumerate(self._columns, 1):
            births.view(np.float64)[left : left + more, at] = factors[column]
        state["number"] += done
        state["position"], state["count"] = 0, left + more
        if more:
            state["last_ns"] = block.arrival_ns[-1]
        if left + more:
            self._next_ns[row] = births[0, 0]

    def _make_room(self, births: int) -> None:
        sources, room, columns = self._births.shape
        rows = len(self._state.rows)
        if rows <= sources and births <= room and len(self._columns) < columns:
            return
        wider = room if births <= room else births + births // 8
        larger = np.full((rows, wider, 1 + len(self._columns)), ONE_BITS)
        larger[:sources, :room, :columns] = self._births
        self._births = larger

    def retire(self, now_ns: int) -> None:
        """Forget sources that will give birth no more."""
        if now_ns < self._closes_ns:
            return
        state, active = self._state.rows, self.active
        over = active[state["close_ns"][active] <= now_ns]
        for row in over.tolist():
            segment = int(state["segment"][row])
            while segment != NONE:
                self._segments.give_back(segment)
                segment = int(self._segments.rows["next"][segment])
            del self._row_of[int(state["query"][row])], self._blocks[row], self._last_segment[row]
            self._state.give_back(row)
        if len(over):
            self._active = None
        self._closes_ns = int(state["close_ns"][self.active].min(initial=NEVER))

    @property
    def active(self) -> Ints:
        """Rows of the open sources, by query."""
        if self._active is None:
            self._active = np.array(
                [row for _, row in sorted(self._row_of.items())], dtype=np.int64
            )
        return self._active

    def arrays(self) -> Sources:
        """Return what compiled code reads."""
        return Sources(
            self._state.rows,
            self._next_ns,
            self.active,
            self._segments.rows,
            self._births,
            np.array(self._columns, dtype=np.int64),
        )


def _is_one(factors: Floats) -> bool:
    """Tell whether all factors are 1; a view that repeats its first shows it by that alone."""
    if factors.strides == (0,) and len(factors):
        return factors.item(0) == 1.0
    return bool((factors == 1.0).all())
