"""Recorders of requests other than the SLO monitor."""

import numpy as np

from scenarios.numerics import Ints
from sim.dataplane.base.interface import Recorder
from sim.dataplane.base.request_rows import ENDED, NUMBER, QUERY, width


class Tee:
    """A recorder that forwards its calls to several other recorders, in order."""

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        """Forward the call to all recorders; see ``Recorder``."""
        for recorder in self._recorders:
            recorder.record(rows, born, ended)


class RequestLog:
    """A recorder that stores the rows of ended requests until ``take`` is called."""

    def __init__(self, operators: int) -> None:
        self.count = 0
        self._none = np.empty((0, width(operators)), np.int64)
        self._told: list[Ints] = []

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        """Store copies of the rows of requests that ended; see ``Recorder``."""
        if len(ended):
            self._told.append(rows[ended])
            self.count += len(ended)

    def take(self) -> Ints:
        """Return the rows of requests that ended since the last call, of shape (n, width).

        Rows are sorted by (end, query, number), because the data planes report them in different
        orders.
        """
        rows = np.concatenate([self._none, *self._told])
        self._told, self.count = [], 0
        return rows[np.lexsort((rows[:, NUMBER], rows[:, QUERY], rows[:, ENDED]))]
