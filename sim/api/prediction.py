"""Predictions of what a plan does for a query under the present load."""

from dataclasses import dataclass
from math import inf

from scenarios.slo import SLO


@dataclass(frozen=True, slots=True)
class DagPath:
    """What a request meets on one way through the operators of a plan.

    Args:
        operators: the operators on it.
        access_s: transmission time of its messages on the access uplink, in seconds.
        backhaul_s: transmission time on the backhaul, and of the answer, in seconds.
        backhaul_up_s: the part of ``backhaul_s`` on the way up to the cloud, in seconds.
        fixed_s: propagation delays and batching waits, in seconds.
    """

    operators: tuple[int, ...]
    access_s: float
    backhaul_s: float
    backhaul_up_s: float
    fixed_s: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a plan is believed to do for a query under the present load.

    Args:
        latency_mean_s: mean sojourn in seconds; infinite if a station or link would be overloaded.
        latency_quantile_s: the SLO's quantile of it.
        utilisation: that of each operator's station, the query included.
        accuracy_mean: mean accuracy of the configuration as profiled.
        cost_usd_per_hour: list price of the plan, and egress.
    """

    latency_mean_s: float
    latency_quantile_s: float
    utilisation: tuple[float, ...]
    accuracy_mean: float
    cost_usd_per_hour: float

    def meets(self, slo: SLO) -> bool:
        """Return whether every part of an SLO would be met.

        Without a latency bound, an infinite latency still fails: requests must be answered.
        """
        bound_s = inf if slo.latency_s is None else slo.latency_s
        return (
            (self.latency_quantile_s <= bound_s and self.latency_quantile_s < inf)
            and (slo.accuracy is None or self.accuracy_mean >= slo.accuracy)
            and (slo.cost_usd_per_hour is None or self.cost_usd_per_hour <= slo.cost_usd_per_hour)
        )
