"""Service-level objectives, and the tiers that they are drawn from."""

from dataclasses import dataclass, replace
from typing import Annotated

from scenarios.ranges import WEIGHT, Range, check_ranges

MOST_LATENCY_S = 1e8
"""The longest latency bound, three years: many such times fit 64 bits of nanoseconds."""
BOUND = Range(gt=0, nullable=True)


@dataclass(frozen=True, slots=True)
class SLO:
    """The promise to a query. An absent part is None and always holds, except latency.

    Args:
        latency_s: bound on a request's sojourn, from its birth to the answer's return. Without one,
            a request must be answered within a window's length, so that windows end.
        latency_quantile: share of the requests of a window that must keep the bound.
        accuracy: least request-weighted expected accuracy of what is served.
        cost_usd_per_hour: most that the query may cost.
    """

    latency_s: float | None = None
    latency_quantile: float = 0.95
    accuracy: float | None = None
    cost_usd_per_hour: float | None = None


@dataclass
class Tier:
    """A class of service that queries are drawn from.

    Args:
        weight: relative share of queries; weights need not sum to 1.
        latency_s: latency bound in seconds, or None.
        accuracy_of_best: accuracy floor as a fraction of the best accuracy that any configuration
            reaches on the query's own content, or None. It is relative because the content limits
            accuracy: a floor that suits clean speech is out of reach in a noisy room.
        cost_usd_per_hour: cost ceiling in dollars per hour, or None.
    """

    weight: Annotated[float, WEIGHT] = 1.0
    latency_s: Annotated[float | None, replace(BOUND, le=MOST_LATENCY_S, unit="s")] = None
    accuracy_of_best: Annotated[float | None, BOUND] = None
    cost_usd_per_hour: Annotated[float | None, BOUND] = None

    def __post_init__(self) -> None:
        check_ranges(self)

    def slo(self, best_accuracy: float) -> SLO:
        """Return this tier's SLO for content with this best reachable accuracy."""
        floor = None if self.accuracy_of_best is None else self.accuracy_of_best * best_accuracy
        return SLO(self.latency_s, accuracy=floor, cost_usd_per_hour=self.cost_usd_per_hour)
