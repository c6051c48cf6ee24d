"""How Compass judges plans before they run: what it allows for, and what it assumes."""

from dataclasses import dataclass, field

from planners.common.ranges import within
from sim import Choices

MOST_SPREAD = 10.0
"""Beyond, devices would be millions of times faster or slower than the catalogue says."""


@dataclass(frozen=True)
class PlanningModel:
    """How plans are judged before they run.

    Args:
        choices: shares, batches and replicas that are considered, besides slices.
        load: utilisation that stations are planned for; see ``context.bulk.predict_many``.
        headroom: part of the latency bound that is planned for; plans beyond it, but within the
            bound, are for queries that have no others.
        waste: share of a new station's spare capacity charged to a query; see `share_taken`.
        device_spread: standard deviation of the logarithm of devices' speeds about the
            catalogue's, until telemetry has shown a device's.

    Raises:
        ValueError: a parameter is out of range.
    """

    choices: Choices = field(default_factory=Choices)
    load: float = 0.7
    headroom: float = 0.85
    waste: float = 0.5
    device_spread: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.load < 1:
            raise ValueError(f"load={self.load}: must be 0 or more, and below 1")
        if not 0 < self.headroom <= 1:
            raise ValueError(f"headroom={self.headroom}: must be above 0 and at most 1")
        within(0, 1, waste=self.waste)
        if not 0 <= self.device_spread <= MOST_SPREAD:
            raise ValueError(
                f"device_spread={self.device_spread}: must lie between 0 and {MOST_SPREAD:g}"
            )
