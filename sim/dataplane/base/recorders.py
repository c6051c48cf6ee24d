"""Recorders of requests, beside the monitor that counts them."""

import numpy as np
from numpy.typing import NDArray

from sim.dataplane.base.interface import Recorder
from sim.dataplane.base.request_rows import ENDED, NUMBER, QUERY, width

Ints = NDArray[np.int64]


class Tee:
    """A recorder that tells several others.

    Args:
        recorders: who is told, in this order.
    """

    def __init__(self, *recorders: Recorder) -> None:
        self._recorders = recorders

    def record(self, rows: Ints, born: Ints, ended: Ints) -> None:
        """Tell all of them; see ``Recorder``."""
        for recorder in self._recorders:
            recorder.record(rows, born, ended)


class RequestLog:
    """A recorder that keeps the rows of requests that ended until they are taken.

    Args:
        operators: operators of the application.

    Attributes:
        count: rows that it holds.
    """

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
        """Return the rows of all that ended since the last call, and forget them.

        Returns:
            Rows as ``sim.dataplane.base.request_rows`` lays them out, shape (n, width), by (end,
            query, number), so that they do not depend on when a data plane tells of an end between
            two cuts.
        """
        rows = np.concatenate([self._none, *self._told])
        self._told, self.count = [], 0
        return rows[np.lexsort((rows[:, NUMBER], rows[:, QUERY], rows[:, ENDED]))]
