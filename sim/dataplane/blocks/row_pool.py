"""The rows of requests under way, and the room that compiled code needs beside them."""

import numpy as np

from sim._jit.id_pool import grown
from sim.dataplane.base.request_rows import OUTCOME, width
from sim.dataplane.blocks.sorting import MOST_BITS
from sim.dataplane.blocks.tables import (
    BORN,
    BRANCH,
    COUNTS,
    ENDED_COUNT,
    FREE,
    IS_COMPLETED,
    IS_IN_FLIGHT,
    JOB,
    NONE,
    SETTLED,
    Floats,
    Ints,
    Records,
)

LEAST = 16_384
"""Rows at first: those of a whole block in most runs, so that it is not cut for want of rows."""


class RowPool:
    """Rows that are taken at a birth, and given back when an end was told.

    Beside the rows lie arrays with an entry for each, and room to work in; see ``Tables``.

    Args:
        operators: operators of the application.
    """

    def __init__(self, operators: int) -> None:
        self.counts: Ints = np.zeros(COUNTS, dtype=np.int64)
        self.rows: Ints = np.empty((0, width(operators)), dtype=np.int64)
        self.times: Ints = np.empty(0, dtype=np.int64)
        self.chain: Ints = np.empty(0, dtype=np.int64)
        self.jobs: Records = np.zeros(0, dtype=JOB)
        self.branches: Records = np.zeros(0, dtype=BRANCH)
        self.free: Ints = np.empty(0, dtype=np.int64)
        self.born: Ints = np.empty(0, dtype=np.int64)
        self.ended: Ints = np.empty(0, dtype=np.int64)
        self.grow()

    def grow(self) -> None:
        """Double the rows; those in use keep their numbers."""
        old = len(self.rows)
        room = max(LEAST, 2 * old)
        self.rows = grown(self.rows, room)
        self.rows[old:, OUTCOME] = NONE
        self.times, self.chain = grown(self.times, room), grown(self.chain, room)
        self.jobs = grown(self.jobs, room)
        if len(self.branches):
            self.allow_branches()
        self.born, self.ended = grown(self.born, room), grown(self.ended, room)
        self.free = grown(self.free, room)
        self._put_back(np.arange(old, room))
        self.out: Ints = np.empty(room, dtype=np.int64)
        self.slots: Ints = np.empty(2 * room, dtype=np.int64)
        self.keys: Ints = np.empty(2 * room + (1 << MOST_BITS), dtype=np.int64)

    def allow_branches(self) -> None:
        """Let rows be branches of requests."""
        old = len(self.branches)
        self.branches = grown(self.branches, len(self.rows))
        self._forget_branches(np.arange(old, len(self.rows)))

    def _forget_branches(self, slots: Ints) -> None:
        self.branches[slots] = (NONE, NONE, 0, IS_COMPLETED)

    @property
    def rows_f(self) -> Floats:
        """The same memory as floats."""
        return self.rows.view(np.float64)

    def under_way(self) -> Ints:
        """Return the rows of requests under way."""
        return np.nonzero(self.rows[:, OUTCOME] == IS_IN_FLIGHT)[0]

    def end(self, slots: Ints) -> None:
        """Note that requests have ended."""
        count = int(self.counts[ENDED_COUNT])
        self.ended[count : count + len(slots)] = slots
        self.counts[ENDED_COUNT] += len(slots)

    def told(self) -> None:
        """Take rows back whose end was told."""
        slots = self.ended[: self.counts[ENDED_COUNT]]
        if len(self.branches):
            self._forget_branches(slots)
        self._put_back(slots)
        self.counts[SETTLED] = 0
        self.counts[BORN] = self.counts[ENDED_COUNT] = 0

    def _put_back(self, slots: Ints) -> None:
        count = int(self.counts[FREE])
        self.free[count : count + len(slots)] = slots
        self.counts[FREE] += len(slots)
