"""SLOs that nothing can meet, and drift that nobody will see: worth a warning before the run."""

from collections.abc import Iterator

from hardware_models.compute import (
    cpu_latency_factor,
    gpu_latency_factor,
    gpu_work_on_cpu_factor,
)
from hardware_models.devices import phones
from scenarios.application import Operator
from scenarios.cluster import Cluster
from scenarios.scenario import Scenario


def warnings(scenario: Scenario) -> Iterator[str]:
    """Yield one sentence for each bound that no plan can keep, and each event out of reach."""
    yield from _bounds(scenario)
    for i, event in enumerate(scenario.drift.events):
        if event.at_s >= scenario.horizon_s:
            yield (
                f"drift.events.{i}.at_s={event.at_s:g}: this {event.kind} changes nothing; the run "
                f"ends at horizon_s={scenario.horizon_s:g}"
            )


def _bounds(scenario: Scenario) -> Iterator[str]:
    """Yield one sentence for each tier's bound that no plan can keep on any data set."""
    shares = scenario.workload.datasets or dict.fromkeys(scenario.application.datasets, 1.0)
    names = [name for name, share in shares.items() if share > 0]
    fastest_s = min(_fastest_s(scenario, name) for name in names)
    for name, tier in scenario.workload.tiers.items():
        key = f"workload.tiers.{name}"
        if tier.latency_s is not None and tier.latency_s < fastest_s:
            yield (
                f"{key}.latency_s={tier.latency_s}: nothing can meet this; the fastest "
                f"configuration on the fastest place computes for {fastest_s:.3g} s, so its "
                "goodput will be 0"
            )
        if tier.accuracy_of_best is not None and tier.accuracy_of_best > 1:
            yield (
                f"{key}.accuracy_of_best={tier.accuracy_of_best}: nothing can meet this; no "
                "configuration is better than the best, 1, so its goodput will be 0"
            )


def _fastest_s(scenario: Scenario, dataset: str) -> float:
    """Return the least compute time of a mean request: every operator where it is fastest."""
    factors = [
        _least_factor(operator, scenario.cluster) for operator in scenario.application.operators
    ]
    times = scenario.application.datasets[dataset].service_time_s @ factors
    return float(times.min())


def _least_factor(operator: Operator, cluster: Cluster) -> float:
    speed = max(phone.relative_speed for phone in phones())
    if operator.kind == "cpu":
        speeds = [speed, *(node.cpu_relative_speed for node in cluster.nodes.values())]
        return min(cpu_latency_factor(one) for one in speeds)
    return min(
        [
            gpu_work_on_cpu_factor(speed),
            *(
                gpu_latency_factor(node.gpu_board, profile)
                for node in cluster.nodes.values()
                if node.gpu_board is not None
                for profile in node.gpu_profiles
            ),
        ]
    )
