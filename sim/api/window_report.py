"""The reports of a deployed service about its queries."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowReport:
    """One judged window of a query, as the service sees it; accuracy is not observable.

    Args:
        end_s: end of the window in seconds.
        born: number of requests created in the window.
        good: number of requests completed within the latency bound.
        completed: number of requests completed, in time or late.
        latency_mean_s: mean latency of the completed requests; nan if there are none.
        latency_quantile_s: the SLO's quantile of latency; requests that were not completed when the
            window was judged count as infinitely late.
        waiting_s: mean time of queueing and batching at each operator; like the next two fields, it
            is of the completed requests, and empty if there are none.
        compute_s: mean service time at each operator.
        transfer_s: mean time on the links to each operator; the last element is that of the answer.
        cost_usd: cost attributed to the query, in dollars.
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
