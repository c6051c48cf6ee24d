"""The workload: arrival rate, lifetimes, content and SLOs of queries."""

from dataclasses import dataclass, field
from typing import Annotated

from hardware_models.devices import devices
from scenarios.arrivals import ArrivalProcess, Poisson
from scenarios.ranges import Range, check_ranges, check_weights
from scenarios.slo import Tier

RATE = Range(ge=0, le=10_000, unit="queries/s")
"""Allowed arrival rates; a higher one is probably a mistake."""
LIFETIME = Range(ge=0, le=1e9, unit="s")
"""Allowed lifetimes, up to thirty years, so that random lifetimes fit 64 bits of nanoseconds."""


@dataclass
class Workload:
    """The distributions from which the properties of queries are drawn.

    Args:
        rate: mean number of query arrivals per second.
        arrivals: the process of arrival times.
        lifetime_mean_s: mean lifetime of a query in seconds, including the minimum.
        lifetime_min_s: shortest lifetime in seconds, to which an exponential time is added.
        tiers: classes of service by name; if empty, those of the application are used.
        slo_scale: factor of all latency bounds; below 1, SLOs are tighter than their classes state.
            Floors of accuracy and ceilings of cost stay as they are.
        datasets: relative share of queries by data set; if empty, all have equal shares.
        devices: relative share of queries by family of their device; if empty, all devices are
            phones. Within a family, all models are equally frequent.
        content_concentration: measure of how similar the content of queries is, for all data sets;
            if it is None, each data set has its own. See ``Dataset.content_concentration``.
    """

    rate: Annotated[float, RATE] = 0.1
    arrivals: ArrivalProcess = field(default_factory=Poisson)
    lifetime_mean_s: Annotated[float, LIFETIME] = 600.0
    lifetime_min_s: Annotated[float, LIFETIME] = 60.0
    tiers: dict[str, Tier] = field(default_factory=dict)
    slo_scale: Annotated[float, Range(gt=0, le=1000)] = 1.0
    datasets: dict[str, float] = field(default_factory=dict)
    devices: dict[str, float] = field(default_factory=lambda: {"phone": 1.0})
    content_concentration: Annotated[float | None, Range(gt=0, nullable=True)] = None

    def __post_init__(self) -> None:
        check_ranges(self, "workload.")
        if self.lifetime_mean_s <= self.lifetime_min_s:
            raise ValueError(
                f"workload.lifetime_mean_s={self.lifetime_mean_s}: must be above "
                f"workload.lifetime_min_s, {self.lifetime_min_s}"
            )
        if self.tiers:
            weights = {name: tier.weight for name, tier in self.tiers.items()}
            check_weights("workload.tiers", weights, "tier")
        if self.datasets:
            check_weights("workload.datasets", self.datasets, "data set")
        self.devices = self.devices or {"phone": 1.0}
        for name in self.devices:
            try:
                devices(name)
            except ValueError as error:
                raise ValueError(f"workload.devices.{name}: {error}") from None
        check_weights("workload.devices", self.devices, "family of devices")
