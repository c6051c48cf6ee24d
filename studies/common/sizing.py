"""How large clusters are, worked out from the application and the workload before any planner runs.

The demand of a query is the compute of its requests by a configuration, on cloud hardware, over the
share of it that stations may use. Two demands matter: at *full quality*, by the most accurate
configuration, and the *least*, by the configuration that takes least GPU time of those that reach
the accuracy floor of its tier. Both are means over data sets and tiers as queries are drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum

import numpy as np

from lab.config.compose import compose, set_up
from scenarios.scenario import Scenario
from scenarios.slo import Tier


@dataclass(frozen=True)
class ClusterDemand:
    """What a query takes on average.

    Args:
        full_gpus: whole cloud GPUs, at full quality.
        least_gpus: whole cloud GPUs, by the least configuration that is accurate enough.
        full_cores: cores of a server, at full quality.
        least_cores: cores of a server, by that configuration.
    """

    full_gpus: float
    least_gpus: float
    full_cores: float
    least_cores: float


def demand(overrides: tuple[str, ...]) -> ClusterDemand:
    """Return the mean demand of a query of a scenario.

    Args:
        overrides: what sets up the scenario.
    """
    scenario = set_up(compose(list(overrides)), list(overrides)).scenario()
    parts = [(weight, *_times(scenario, name, tier)) for weight, name, tier in _kinds(scenario)]
    per_s = scenario.application.requests_per_s / scenario.cluster.max_utilisation
    return ClusterDemand(*(per_s * fsum(part[0] * part[k] for part in parts) for k in range(1, 5)))


def limited_gpus(queries: int, each: ClusterDemand) -> int:
    """Return how many cloud GPUs make a cluster scarce: about as many as the least demand takes.

    Rounded to the nearest, so that in small scenes a part of a GPU may lack. A planner that finds
    the least configuration of every query, and loses nothing to partitions, can then serve nearly
    all of them in the cloud; at full quality they ask for several times as much.
    """
    return max(1, round(queries * each.least_gpus))


def _kinds(scenario: Scenario) -> Iterator[tuple[float, str, Tier]]:
    """Yield share, data set and tier of each kind of query."""
    workload, application = scenario.workload, scenario.application
    tiers = workload.tiers or dict(application.tiers)
    datasets = workload.datasets or dict.fromkeys(application.datasets, 1.0)
    every_tier = fsum(tier.weight for tier in tiers.values())
    every_dataset = fsum(datasets.values())
    for name, share in datasets.items():
        for tier in tiers.values():
            yield share / every_dataset * tier.weight / every_tier, name, tier


def _times(scenario: Scenario, name: str, tier: Tier) -> tuple[float, float, float, float]:
    """Return seconds of GPU and of cores for a request, each at full quality and at least."""
    application = scenario.application
    dataset = application.datasets[name]
    gpu = np.array([operator.kind != "cpu" for operator in application.operators])
    gpu_s = dataset.service_time_s[:, gpu].sum(axis=1)
    cpu_s = dataset.service_time_s[:, ~gpu].sum(axis=1)
    accuracy = dataset.expected_accuracy(dataset.stratum_weights)
    best = int(accuracy.argmax())
    floor = tier.slo(float(accuracy[best])).accuracy
    enough = accuracy >= (0.0 if floor is None else floor)
    least = int(np.where(enough, gpu_s, np.inf).argmin())
    return float(gpu_s[best]), float(gpu_s[least]), float(cpu_s[best]), float(cpu_s[least])
