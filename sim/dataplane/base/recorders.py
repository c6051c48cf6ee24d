"""Recorders of requests other than the monitor."""

import numpy as np

from scenarios.numerics import Ints
from sim.dataplane.base.interface import Recorder
from sim.dataplane.base.request_rows import ENDED, NUMBER, QUERY, width


class Tee:
    """A recorder that passes requests on to several others, in order."""

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        """Pass requests on; see ``Recorder``."""
        for recorder in self._recorders:
            recorder.record(rows, born, ended)


class RequestLog:
    """A recorder that keeps ``count`` rows of requests that ended until they are taken."""

    def __init__(self, operators: int) -> None:
        self.count = 0
        self._none = np.empty((0, width(operators)), np.int64)
        self._told: list[Ints] = []

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        """Keep copies of the rows that ended; see ``Recorder``."""
        if len(ended):
            self._told.append(rows[ended])
            self.count += len(ended)

    def take(self) -> Ints:
        """Return the rows that ended since the last call, shape (n, width).

        They are sorted by (end, query, number), because data planes report in different orders.
        """
        rows = np.concatenate([self._none, *self._told])
        self._told, self.count = [], 0
        return rows[np.lexsort((rows[:, NUMBER], rows[:, QUERY], rows[:, ENDED]))]
