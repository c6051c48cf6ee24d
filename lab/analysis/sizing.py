"""Sizes of clusters, computed from application and workload before any planner runs.

The demand of a query is the GPU time that its requests take per second on cloud hardware, divided
by the highest allowed utilisation of stations. The *full* demand is that of the most accurate
configuration. The *least* demand is that of the configuration with the least GPU time among those
that reach the accuracy floor of the query's tier. Both are averages over data sets and tiers,
weighted by their shares.

The capacity of a machine is the number of reference GPUs (A100-80GB) that would do the same work: a
GPU on which the application's configurations take twice as long in the median counts half.
"""

from dataclasses import dataclass
from math import fsum, inf

import numpy as np
from numpy.typing import NDArray

from lab.config.compose import compose, set_up
from scenarios.applications.application import Application
from scenarios.applications.dataset import Dataset
from scenarios.cluster import Node
from scenarios.random_streams import stream
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from sim import Allocation
from sim.catalogue.service_times import RefusalError, node_service

LOOKED_AT = 100
"""Number of configurations that give the speed of a GPU; they are drawn at random."""


@dataclass(frozen=True)
class ClusterDemand:
    """Average number of cloud GPUs that a query needs, usually a fraction of one GPU."""

    full_gpus: float  # at full quality
    least_gpus: float  # with the least GPU time that is accurate enough


def demand(overrides: tuple[str, ...]) -> ClusterDemand:
    """Return the average demand of a query in the scenario that the overrides define."""
    scenario = set_up(compose(list(overrides)), list(overrides)).scenario()
    return demand_in(scenario)


def demand_in(scenario: Scenario) -> ClusterDemand:
    """Return the average demand of a query in a scenario."""
    application, workload = scenario.application, scenario.workload
    tiers = workload.tiers or dict(application.tiers)
    datasets = workload.datasets or dict.fromkeys(application.datasets, 1.0)
    gpu = np.array([operator.kind != "cpu" for operator in application.operators])
    parts = [
        (share * tier.weight, *_gpu_times(application.datasets[name], tier, gpu))
        for name, share in datasets.items()
        for tier in tiers.values()
    ]
    weights = fsum(datasets.values()) * fsum(tier.weight for tier in tiers.values())
    per_s = application.requests_per_s / scenario.cluster.max_utilisation / weights
    return ClusterDemand(*(per_s * fsum(part[0] * part[k] for part in parts) for k in (1, 2)))


def reference_gpus(application: Application, machine: str) -> float:
    """Return the capacity of one machine of a type for an application, in reference GPUs."""
    node = Node(machine=machine)
    return node.gpus / _slowness(application, node) if node.gpus else 0.0


def limited_gpus(queries: int, each: ClusterDemand) -> int:
    """Return the number of cloud GPUs of a limited cluster: the queries' least demand, rounded.

    The best planner can then serve nearly all queries in the cloud. With the most accurate
    configurations, the queries would need several times as many GPUs.
    """
    return max(1, round(queries * each.least_gpus))


def _gpu_times(dataset: Dataset, tier: Tier, gpu: NDArray[np.bool_]) -> tuple[float, float]:
    """Return a request's GPU seconds at full and at least demand; `gpu` has shape (N,)."""
    gpu_s = dataset.service_time_s[:, gpu].sum(axis=1)
    accuracy = dataset.expected_accuracy(dataset.stratum_weights)
    best = int(accuracy.argmax())
    floor = tier.slo(float(accuracy[best])).accuracy
    enough = accuracy >= (0.0 if floor is None else floor)
    return float(gpu_s[best]), float(np.where(enough, gpu_s, np.inf).min())


def _slowness(application: Application, node: Node) -> float:
    """Return the median time on a whole GPU of a node over the time on the reference GPU.

    The median is over `LOOKED_AT` configurations, apart from those that cannot run there; it is
    infinite if none can.
    """
    dataset = next(iter(application.datasets.values()))
    whole = Allocation(node.gpu_profiles[-1])
    ratios = []
    every = application.pipeline.configurations
    chosen = stream(0, "sizing").permutation(len(every))[:LOOKED_AT]
    for configuration in (every[index] for index in chosen):
        here_s = reference_s = 0.0
        try:
            for at, operator in enumerate(application.operators):
                if operator.kind != "cpu":
                    served = node_service(application, at, configuration, node, whole)
                    time_s = float(dataset.service_time_s[configuration.index, at])
                    here_s += time_s * served.factor * served.work_factor
                    reference_s += time_s
        except RefusalError:
            continue
        if reference_s:
            ratios.append(here_s / reference_s)
    return float(np.median(ratios)) if ratios else inf
