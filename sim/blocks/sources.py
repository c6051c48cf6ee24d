"""Where requests are born: the sources of the block data plane, and the routes that births take."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scenarios.requests import RequestBlock
from sim.blocks.tables import (
    NONE,
    SEGMENT,
    SOURCE,
    Floats,
    Ints,
    Sources,
    Table,
)
from sim.slots import grown
from sim.work import NEVER

Kind = TypeVar("Kind", bound=np.generic)

COLUMNS = ("size", "length", "allowance")


class SourceBook:
    """All sources, with births drawn ahead."""

    def __init__(self) -> None:
        self.operators = 0
        self._state = Table(SOURCE)
        self._segments = Table(SEGMENT)
        self._blocks: dict[int, Iterator[RequestBlock]] = {}  # by row
        self._row_of: dict[int, int] = {}  # by query
        self._last_segment: dict[int, int] = {}  # by row
        self._arrivals = np.empty((0, 0), dtype=np.int64)
        self._factors: dict[str, Floats] = {name: np.empty((0, 0)) for name in COLUMNS}
        self._variability: Floats = np.empty((0, 0, 0))
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
        self._make_room(left + more)
        columns = {"size": block.size, "length": block.length, "allowance": block.allowance}
        for name, values in columns.items():
            if not len(self._factors[name]) and not _is_one(values):
                self._factors[name] = np.ones(self._arrivals.shape, dtype=np.float64)
        if not len(self._variability) and not _is_one(block.variability):
            sources, room = self._arrivals.shape
            self._variability = np.ones((sources, self.operators, room))
        _replace(self._arrivals, row, slice(done, count), block.arrival_ns)
        for name in COLUMNS:
            if len(self._factors[name]):
                _replace(self._factors[name], row, slice(done, count), columns[name])
        if len(self._variability):
            self._variability[row, :, :left] = self._variability[row, :, done:count]
            self._variability[row, :, left : left + more] = block.variability.T
        state["number"] += done
        state["position"], state["count"] = 0, left + more
        if more:
            state["last_ns"] = block.arrival_ns[-1]
        if left + more:
            self._next_ns[row] = self._arrivals[row, 0]

    def _make_room(self, births: int) -> None:
        sources, room = self._arrivals.shape
        rows = len(self._state.rows)
        if rows <= sources and births <= room:
            return
        wider = max(room, births + births // 8)
        self._arrivals = _grown(self._arrivals, (rows, wider), 0)
        for name, values in self._factors.items():
            if len(values):
                self._factors[name] = _grown(values, (rows, wider), 1.0)
        if len(self._variability):
            self._variability = _grown(self._variability, (rows, self.operators, wider), 1.0)

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
            self._arrivals,
            self._factors["size"],
            self._factors["length"],
            self._factors["allowance"],
            self._variability,
        )


def _is_one(factors: Floats) -> bool:
    """Tell whether all factors are 1; a view that repeats its first row shows it by that alone."""
    return bool((factors[: 1 if factors.strides[0] == 0 else None] == 1.0).all())


def _replace(array: NDArray[Kind], row: int, kept: slice, more: NDArray[Kind]) -> None:
    """Move the part of a row that is kept to its start, and put more behind it."""
    left = kept.stop - kept.start
    array[row, :left] = array[row, kept]
    array[row, left : left + len(more)] = more


def _grown(array: NDArray[Kind], shape: tuple[int, ...], fill: float) -> NDArray[Kind]:
    larger: NDArray[Kind] = np.full(shape, fill, dtype=array.dtype)
    larger[tuple(slice(0, n) for n in array.shape)] = array
    return larger
