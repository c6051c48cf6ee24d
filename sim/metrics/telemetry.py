"""Telemetry: the reports of a deployed system about its queries, by window."""

from collections import deque
from collections.abc import Collection
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from sim.api.window_report import WindowReport
from sim.clock import NS_PER_S
from sim.metrics.goodput import Verdicts

REPORTS_KEPT = 10


class Telemetry:
    """The last judged windows of every living query."""

    def __init__(self) -> None:
        self._reports: dict[int, deque[WindowReport]] = {}
        self._counts: dict[int, tuple[int, int]] = {}  # requests born and good in the last window

    def arrive(self, query: int) -> None:
        """Begin to store the windows of a query."""
        self._reports[query] = deque(maxlen=REPORTS_KEPT)
        self._counts[query] = 0, 0

    def forget(self, query: int) -> None:
        """Drop the stored windows of a query."""
        del self._reports[query], self._counts[query]

    def note(self, verdicts: Verdicts, window_ns: int) -> None:
        """Store windows that were judged; `arrive` must have been called for their queries."""
        queues, batches, computes, transfers = np.moveaxis(verdicts.mean_s(verdicts.parts_ns), 2, 0)
        answers = verdicts.mean_s(verdicts.answer_ns)
        columns = (
            (verdicts.index + 1) * window_ns / NS_PER_S,
            verdicts.born,
            verdicts.good,
            verdicts.completed,
            verdicts.mean_s(verdicts.sojourn_ns),
            verdicts.latencies_s[:, 0],
            queues + batches,
            computes,
            np.column_stack([transfers, answers]),
            verdicts.cost_usd,
        )
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for query, (end_s, born, good, completed, mean_s, last_s, *parts_s, usd) in zip(
            verdicts.queries, rows, strict=True
        ):
            waits, times, moves = (tuple(each) if completed else () for each in parts_s)
            self._reports[query.id].append(
                WindowReport(end_s, born, good, completed, mean_s, last_s, waits, times, moves, usd)
            )
            self._counts[query.id] = born, good

    def reports(self, query: int) -> tuple[WindowReport, ...]:
        """Return the last judged windows of a query, oldest first."""
        return tuple(self._reports[query])

    def last_counts(self, queries: Collection[int]) -> NDArray[np.int64]:
        """Return each query's numbers of requests and of good requests in its last window.

        The shape is (Q, 2). Both numbers are 0 if no window of the query has been judged.
        """
        counts = chain.from_iterable(map(self._counts.__getitem__, queries))
        return np.fromiter(counts, np.int64, 2 * len(queries)).reshape(-1, 2)
