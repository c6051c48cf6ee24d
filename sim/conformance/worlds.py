"""The small worlds of ``check_planner``: two minutes of speech recognition.

Each part of an SLO is absent in at least one service tier.
"""

from scenarios.applications.shipped import shipped_application
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.drift import Drift, DriftEvent
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from scenarios.workload import Workload

SERVICE = {
    "standard": Tier(2.0, latency_s=2.0, accuracy_of_best=0.9),
    "economy": Tier(1.0, latency_s=4.0, cost_usd_per_hour=1.0),
    "patient": Tier(0.5, accuracy_of_best=0.9),
}


def usual_world() -> Scenario:
    """Return a small world with an edge machine, two A100s and three service tiers."""
    return _scenario(rate=0.08)


def empty_world() -> Scenario:
    """Return a world without queries."""
    return _scenario(rate=0.0)


def overloaded_world() -> Scenario:
    """Return a world whose only machine has room for only a few of the queries."""
    nodes = {"edge": Node(tier="edge", machine="g2-standard-4")}
    return _scenario(rate=0.5, horizon_s=24.0, requests_per_s=2.0, nodes=nodes)


def failing_world() -> Scenario:
    """Return a world where the planner's process crashes, and then a machine fails."""
    events = [
        DriftEvent("planner_crash", at_s=45.0, duration_s=10.0),
        DriftEvent("machine_failure", at_s=60.0, node="edge", duration_s=30.0),
    ]
    return _scenario(rate=0.08, events=events, tiers=SERVICE | {"anything": Tier(0.5)})


def _scenario(
    rate: float,
    horizon_s: float = 120.0,
    requests_per_s: float = 0.5,
    nodes: dict[str, Node] | None = None,
    events: list[DriftEvent] | None = None,
    tiers: dict[str, Tier] | None = None,
) -> Scenario:
    return Scenario(
        shipped_application("speech_recognition", window_s=40.0, requests_per_s=requests_per_s),
        Cluster(
            nodes
            or {
                "edge": Node(tier="edge", machine="g2-standard-4", standby=1),
                "cloud": Node(tier="cloud", machine="a2-highgpu-1g", count=2),
            },
            **NOMINAL,
        ),
        workload=Workload(
            rate=rate, lifetime_mean_s=60.0, lifetime_min_s=20.0, tiers=tiers or SERVICE
        ),
        drift=Drift(events or []),
        horizon_s=horizon_s,
    )
