"""What a deployed service observes of its queries."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowReport:
    """One judged window of a query, as the service sees it; accuracy is not observable.

    Args:
        end_s: end of the window in seconds.
        born: requests born.
        good: completed within the latency bound.
        completed: completed, in time or late.
        latency_mean_s: mean sojourn of the completed ones; nan if there are none.
        latency_quantile_s: the SLO's quantile; requests not completed when the window was judged
            count as infinitely late.
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
