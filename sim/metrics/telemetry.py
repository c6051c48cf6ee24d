"""Telemetry: what a deployed system reports of its queries, window by window."""

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import compiled
from sim._jit.id_pool import IdPool, grown, slot_of
from sim.api.window_report import WindowReport
from sim.clock import NS_PER_S
from sim.metrics.goodput import Verdicts

REPORTS_KEPT = 10


class Telemetry:
    """The last judged windows of every living query, kept as figures."""

    def __init__(self, operators: int) -> None:
        self._operators = operators
        self._slots = IdPool()
        # By slot: how many windows were judged, and the last of them, each where its number falls.
        self._judged: NDArray[np.int64] = np.zeros(0, np.int64)
        self._figures: NDArray[np.float64] = np.zeros((0, REPORTS_KEPT, 8 + 3 * operators))
        self._reports: dict[int, tuple[int, tuple[WindowReport, ...]]] = {}

    def arrive(self, query: int) -> None:
        """Begin to keep the windows of a query."""
        slot = self._slots.add(query)
        self._judged = grown(self._judged, slot + 1)
        self._figures = grown(self._figures, slot + 1)
        self._judged[slot] = 0

    def forget(self, query: int) -> None:
        """Drop what is kept of a query."""
        self._slots.remove(query)
        self._reports.pop(query, None)

    def note(self, verdicts: Verdicts, window_ns: int) -> None:
        """Keep windows that were judged; all of their queries must be known."""
        means_s = verdicts.mean_s(verdicts.parts_ns)
        queues, batches, computes, transfers = np.moveaxis(means_s, 2, 0)
        figures = np.column_stack(
            [
                (verdicts.index + 1) * window_ns / NS_PER_S,
                verdicts.born,
                verdicts.good,
                verdicts.completed,
                verdicts.mean_s(verdicts.sojourn_ns),
                verdicts.latencies_s[:, 0],
                queues + batches,
                computes,
                transfers,
                verdicts.mean_s(verdicts.answer_ns),
                verdicts.cost_usd,
            ]
        )
        keep(
            self._slots.table,
            np.array([query.id for query in verdicts.queries]),
            figures,
            self._judged,
            self._figures,
        )

    def reports(self, query: int) -> tuple[WindowReport, ...]:
        """Return the last windows of a query that were judged, the latest last."""
        slot = self._slots.find(query)
        if slot < 0:
            return ()
        judged = int(self._judged[slot])
        before, reports = self._reports.get(query, (0, ()))
        if judged > before:
            new = range(max(before, judged - REPORTS_KEPT), judged)
            rows = self._figures[slot, [number % REPORTS_KEPT for number in new]]
            reports = (*reports, *map(self._report, rows.tolist()))[-REPORTS_KEPT:]
            self._reports[query] = judged, reports
        return reports

    def last_counts(self, queries: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the requests born and the good ones in each query's last window, shape (Q, 2).

        0 where no window was judged.
        """
        slots = self._slots.find_each(queries)
        judged = self._judged[slots]
        counts = self._figures[slots, (judged - 1) % REPORTS_KEPT, 1:3]
        return np.where(judged[:, None] > 0, counts, 0).astype(np.int64)

    def _report(self, figures: list[float]) -> WindowReport:
        end_s, born, good, completed, mean_s, quantile_s, *parts_s, cost_usd = figures
        n = self._operators if completed else 0
        return WindowReport(
            end_s=end_s,
            born=int(born),
            good=int(good),
            completed=int(completed),
            latency_mean_s=mean_s,
            latency_quantile_s=quantile_s,
            waiting_s=tuple(parts_s[:n]),
            compute_s=tuple(parts_s[n : 2 * n]),
            transfer_s=tuple(parts_s[2 * n :] if n else ()),
            cost_usd=cost_usd,
        )


@compiled
def keep(
    table: NDArray[np.int64],
    queries: NDArray[np.int64],
    figures: NDArray[np.float64],
    judged: NDArray[np.int64],
    kept: NDArray[np.float64],
) -> None:
    """Put each row of figures in place of the oldest that is kept of its query."""
    for row in range(len(queries)):
        slot = slot_of(table, queries[row])
        kept[slot, judged[slot] % kept.shape[1]] = figures[row]
        judged[slot] += 1
