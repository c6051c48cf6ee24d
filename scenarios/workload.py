"""The workload: how many queries come, for how long, with what content and which SLO."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hardware_models.devices import devices
from scenarios.arrivals import ArrivalProcess, Poisson
from scenarios.slo import MOST_WEIGHT, Tier

MOST_ARRIVALS_PER_S = 10_000
"""A bound beyond which a rate is taken for a slip."""
MOST_LIFETIME_S = 1e9
"""The longest mean lifetime, thirty years: draws around it fit 64 bits of nanoseconds."""


@dataclass
class Workload:
    """What queries are drawn from.

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

    rate: float = 0.1
    arrivals: ArrivalProcess = field(default_factory=Poisson)
    lifetime_mean_s: float = 600.0
    lifetime_min_s: float = 60.0
    tiers: dict[str, Tier] = field(default_factory=dict)
    datasets: dict[str, float] = field(default_factory=dict)
    devices: dict[str, float] = field(default_factory=lambda: {"phone": 1.0})
    content_concentration: float = 20.0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= MOST_ARRIVALS_PER_S:
            raise ValueError(
                f"workload.rate={self.rate}: must lie between 0 and {MOST_ARRIVALS_PER_S} query "
                "arrivals per second"
            )
        if self.lifetime_mean_s <= self.lifetime_min_s or self.lifetime_min_s < 0:
            raise ValueError(
                f"workload.lifetime_mean_s={self.lifetime_mean_s}: must be above "
                f"workload.lifetime_min_s, {self.lifetime_min_s}, which must be 0 or more"
            )
        if self.lifetime_mean_s > MOST_LIFETIME_S:
            raise ValueError(
                f"workload.lifetime_mean_s={self.lifetime_mean_s}: must be {MOST_LIFETIME_S:g} s "
                "or less"
            )
        if self.tiers and sum(tier.weight for tier in self.tiers.values()) <= 0:
            raise ValueError("workload.tiers: name at least one tier with a weight above 0")
        weights = self.datasets.values()
        if not _are_weights(weights) or (weights and sum(weights) == 0):
            raise ValueError(
                f"workload.datasets={self.datasets}: weights must be 0 or more, and one above 0; "
                f"the largest can be {MOST_WEIGHT:g}"
            )
        self.devices = self.devices or {"phone": 1.0}
        for name in self.devices:
            try:
                devices(name)
            except ValueError as error:
                raise ValueError(f"workload.devices.{name}: {error}") from None
        shares = self.devices.values()
        if not _are_weights(shares) or not sum(shares) > 0:
            raise ValueError(
                f"workload.devices={self.devices}: weights must be 0 or more, and one above 0; "
                f"the largest can be {MOST_WEIGHT:g}"
            )
        if self.content_concentration <= 0:
            raise ValueError(
                f"workload.content_concentration={self.content_concentration}: must be above 0"
            )


def _are_weights(weights: Iterable[float]) -> bool:
    """Return whether all weights are from 0 to `MOST_WEIGHT`."""
    return all(0 <= weight <= MOST_WEIGHT for weight in weights)
