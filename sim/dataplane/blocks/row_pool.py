"""The rows of requests under way, and the room that compiled code needs beside them."""

import numpy as np

from sim._jit.id_pool import grown
from sim.dataplane.base.request_rows import OUTCOME, width
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.sorting import MOST_BITS

LEAST = 16_384
"""Rows at first: those of a whole block in most runs, so that it is not cut for want of rows."""


class RowPool:
    """Rows that are taken at a birth and given back once their end was reported.

    Its attributes are arrays of ``PlaneTables``, by their names there.
    """

    def __init__(self, operators: int) -> None:
        self.counts: tb.Ints = np.zeros(tb.COUNTS, dtype=np.int64)
        self.rows: tb.Ints = np.empty((0, width(operators)), dtype=np.int64)
        self.times: tb.Ints = np.empty(0, dtype=np.int64)
        self.chain: tb.Ints = np.empty(0, dtype=np.int64)
        self.jobs: tb.Records = np.zeros(0, dtype=tb.JOB)
        self.branches: tb.Records = np.zeros(0, dtype=tb.BRANCH)
        self.free: tb.Ints = np.empty(0, dtype=np.int64)
        self.born: tb.Ints = np.empty(0, dtype=np.int64)
        self.ended: tb.Ints = np.empty(0, dtype=np.int64)
        self.grow()

    def grow(self) -> None:
        """Double the rows; those in use keep their numbers."""
        old = len(self.rows)
        room = max(LEAST, 2 * old)
        self.rows = grown(self.rows, room)
        self.rows[old:, OUTCOME] = tb.NONE
        self.times, self.chain = grown(self.times, room), grown(self.chain, room)
        self.jobs = grown(self.jobs, room)
        if len(self.branches):
            self.allow_branches()
        self.born, self.ended = grown(self.born, room), grown(self.ended, room)
        self.free = grown(self.free, room)
        self._put_back(np.arange(old, room))
        self.out: tb.Ints = np.empty(room, dtype=np.int64)
        self.slots: tb.Ints = np.empty(2 * room, dtype=np.int64)
        self.keys: tb.Ints = np.empty(2 * room + (1 << MOST_BITS), dtype=np.int64)

    def allow_branches(self) -> None:
        """Let rows be branches of requests."""
        old = len(self.branches)
        self.branches = grown(self.branches, len(self.rows))
        self._forget_branches(np.arange(old, len(self.rows)))

    def _forget_branches(self, slots: tb.Ints) -> None:
        self.branches[slots] = (tb.NONE, tb.NONE, 0, tb.IS_COMPLETED)

    def told(self) -> None:
        """Take rows back whose end was told."""
        slots = self.ended[: self.counts[tb.ENDED_COUNT]]
        if len(self.branches):
            self._forget_branches(slots)
        self._put_back(slots)
        self.counts[tb.SETTLED] = 0
        self.counts[tb.BORN] = self.counts[tb.ENDED_COUNT] = 0

    def _put_back(self, slots: tb.Ints) -> None:
        count = int(self.counts[tb.FREE])
        self.free[count : count + len(slots)] = slots
        self.counts[tb.FREE] += len(slots)
