"""Telemetry: what a deployed system reports of its queries, window by window."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from sim.clock import seconds
from sim.data_plane import RequestRecord
from sim.goodput import Verdict, latency_s


@dataclass(frozen=True, slots=True)
class WindowReport:
    """One judged window of a query, as the service sees it; accuracy is not observable.

    Args:
        end_s: end of the window in seconds.
        born: requests born.
        good: completed within the latency bound.
        completed: completed at all.
        latency_mean_s: mean sojourn of the completed ones; nan if there are none.
        latency_quantile_s: the SLO's quantile, failures counted as infinitely late.
        waiting_s: mean of queueing and batching, by operator.
        compute_s: mean service time, by operator.
        transfer_s: mean time on links towards each operator, and last of the answer.
        cost_usd: attributed cost.
    """

    end_s: float
    born: int
    good: int
    completed: int
    latency_mean_s: float
    latency_quantile_s: float
    waiting_s: tuple[float, ...]
    compute_s: tuple[float, ...]
    transfer_s: tuple[float, ...]
    cost_usd: float


def report(verdict: Verdict, window_ns: int) -> WindowReport:
    """Summarise a judged window."""
    window = verdict.window
    records = window.completed
    queueing, batching, compute, transfer = mean_parts_s(records)
    return WindowReport(
        end_s=seconds((verdict.index + 1) * window_ns),
        born=window.born,
        good=window.good,
        completed=len(records),
        latency_mean_s=mean_latency_s(records),
        latency_quantile_s=window.latency_quantile_s(verdict.query.slo.latency_quantile),
        waiting_s=tuple(a + b for a, b in zip(queueing, batching, strict=True)),
        compute_s=tuple(compute),
        transfer_s=tuple(transfer),
        cost_usd=window.cost_usd,
    )


def mean_latency_s(records: Sequence[RequestRecord]) -> float:
    """Return the mean sojourn over its allowance in seconds; nan if there are no records."""
    if not records:
        return float("nan")
    return fsum(map(latency_s, records)) / len(records)


def mean_parts_s(records: Sequence[RequestRecord]) -> tuple[list[float], ...]:
    """Return the mean queueing, batching, compute and transfer per operator, in seconds.

    Transfer has one entry more than there are operators: the answer's way back. Without records all
    four are empty.
    """
    parts = zip(
        *(
            (record.queueing_ns, record.batching_ns, record.compute_ns, record.transfer_ns)
            for record in records
        ),
        strict=True,
    )
    means = [
        [seconds(sum(column)) / len(records) for column in zip(*part, strict=True)]
        for part in parts
    ]
    return tuple(means) or ([], [], [], [])
