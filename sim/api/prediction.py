"""Predictions of a plan's latency, accuracy and cost for a query under the present load."""

from dataclasses import dataclass
from math import inf

from scenarios.slo import SLO


@dataclass(frozen=True, slots=True)
class DagPath:
    """The times of a request on links along one path through the operators of a plan.

    Args:
        operators: the operators on the path.
        access_s: transmission time of the request's messages on the access uplink, in seconds.
        backhaul_s: transmission time of the answer and of the messages on the backhaul, in seconds.
        backhaul_up_s: the part of ``backhaul_s`` for messages sent up to the cloud, in seconds.
        fixed_s: propagation delays and batching waits, in seconds.
    """

    operators: tuple[int, ...]
    access_s: float
    backhaul_s: float
    backhaul_up_s: float
    fixed_s: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted latency, accuracy and cost of a plan for a query under the present load.

    Args:
        latency_mean_s: mean latency in seconds; infinite if a station or link would be overloaded.
        latency_quantile_s: the SLO's quantile of latency, in seconds.
        utilisation: utilisation of each operator's station, including the load of the query.
        accuracy_mean: mean accuracy of the configuration as profiled.
        cost_usd_per_hour: list price of the plan plus egress.
    """

    latency_mean_s: float
    latency_quantile_s: float
    utilisation: tuple[float, ...]
    accuracy_mean: float
    cost_usd_per_hour: float

    def meets(self, slo: SLO) -> bool:
        """Return whether the plan is predicted to meet every part of an SLO.

        An infinite latency violates even an SLO without a latency bound, because requests must be
        answered.
        """
        bound_s = inf if slo.latency_s is None else slo.latency_s
        return (
            (self.latency_quantile_s <= bound_s and self.latency_quantile_s < inf)
            and (slo.accuracy is None or self.accuracy_mean >= slo.accuracy)
            and (slo.cost_usd_per_hour is None or self.cost_usd_per_hour <= slo.cost_usd_per_hour)
        )
