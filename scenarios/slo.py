"""Service-level objectives (SLOs), and the classes of service that define them."""

from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

from scenarios.applications.values import value
from scenarios.ranges import WEIGHT, Range, check_ranges

MOST_LATENCY_S = 1e8
"""The longest allowed latency bound, three years: many such times fit 64 bits of nanoseconds."""
BOUND = Range(gt=0, nullable=True)


@value
class SLO(NamedTuple):
    """The service-level objective of a query. A part that is None is always met, except latency.

    Args:
        latency_s: bound on the time from a request's creation to the arrival of its answer. If it
            is None, a request must be answered within a window's length, so that windows can be
            judged.
        latency_quantile: share of a window's requests that must meet the latency bound.
        accuracy: lower bound on the expected accuracy, averaged over the requests of a window.
        cost_usd_per_hour: upper bound on the query's cost in dollars per hour.
    """

    latency_s: float | None = None
    latency_quantile: float = 0.95
    accuracy: float | None = None
    cost_usd_per_hour: float | None = None


@dataclass
class Tier:
    """A class of service; each query's class is drawn at random.

    Args:
        weight: relative share of queries in this class; weights need not sum to 1.
        latency_s: latency bound in seconds, or None.
        accuracy_of_best: accuracy floor as a fraction of the best accuracy that any configuration
            reaches on the query's own content, or None. It is relative because content limits
            accuracy: a floor that is right for clean speech cannot be reached in a noisy room.
        cost_usd_per_hour: cost ceiling in dollars per hour, or None.
    """

    weight: Annotated[float, WEIGHT] = 1.0
    latency_s: Annotated[float | None, replace(BOUND, le=MOST_LATENCY_S, unit="s")] = None
    accuracy_of_best: Annotated[float | None, BOUND] = None
    cost_usd_per_hour: Annotated[float | None, BOUND] = None

    def __post_init__(self) -> None:
        check_ranges(self)

    def slo(self, best_accuracy: float) -> SLO:
        """Return this class's SLO for content on which ``best_accuracy`` can be reached."""
        floor = None if self.accuracy_of_best is None else self.accuracy_of_best * best_accuracy
        return SLO(self.latency_s, accuracy=floor, cost_usd_per_hour=self.cost_usd_per_hour)
