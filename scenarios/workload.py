"""The workload: rate, lifetimes, content and SLOs of queries."""

from dataclasses import dataclass, field
from typing import Annotated

from hardware_models.devices import devices
from scenarios.arrivals import ArrivalProcess, Poisson
from scenarios.ranges import Range, check_ranges, check_weights
from scenarios.slo import Tier

RATE = Range(ge=0, le=10_000, unit="queries/s")
"""A larger one counts as a mistake."""
LIFETIME = Range(ge=0, le=1e9, unit="s")
"""At most thirty years, so that draws around it fit 64 bits of nanoseconds."""


@dataclass
class Workload:
    """The distributions of queries.

    Args:
        rate: query arrivals per second.
        arrivals: when queries arrive.
        lifetime_mean_s: mean lifetime of a query; lifetimes are exponential.
        lifetime_min_s: shortest lifetime, added to the exponential part.
        tiers: classes of service by name; empty for those of the application.
        datasets: relative share of queries by data set of their content; empty for equal shares.
        devices: relative share of queries by family of their device, empty for phones alone;
            within a family all models are equally frequent.
        content_concentration: how alike the content of queries is: the sum of the parameters of
            the Dirichlet distribution around the data set's own mixture of strata.
    """

    rate: Annotated[float, RATE] = 0.1
    arrivals: ArrivalProcess = field(default_factory=Poisson)
    lifetime_mean_s: Annotated[float, LIFETIME] = 600.0
    lifetime_min_s: Annotated[float, LIFETIME] = 60.0
    tiers: dict[str, Tier] = field(default_factory=dict)
    datasets: dict[str, float] = field(default_factory=dict)
    devices: dict[str, float] = field(default_factory=lambda: {"phone": 1.0})
    content_concentration: Annotated[float, Range(gt=0)] = 20.0

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
