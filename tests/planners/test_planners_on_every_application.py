"""Every shipped planner serves, or at least survives, every shipped application."""

import pytest
from worlds import BRANCHED, run, smooth, smooth_network

from planners import CheapestFeasible, VideoStorm
from scenarios.applications.shipped import shipped_applications
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.scenario import Scenario
from scenarios.workload import Workload

NODES = {
    "edge": Node("edge", "g2-standard-8", standby=1),
    "cloud": Node("cloud", "a2-highgpu-1g", count=2),
}
PLANNERS = [CheapestFeasible(samples=16, budget_s=300.0), VideoStorm(samples=16, budget_s=300.0)]


@pytest.mark.parametrize(
    ("name", "planner"),
    [
        pytest.param(
            *(name, planner),
            marks=[] if (at + number) % 2 == 0 else pytest.mark.slow,
            id=f"{name}-{type(planner).__name__}",
        )
        for at, name in enumerate([*shipped_applications(), BRANCHED])
        for number, planner in enumerate(PLANNERS)
    ],
)
def test_a_planner_with_time_enough_serves_queries_of_every_application(name, planner):
    workload = Workload(0.005, lifetime_mean_s=900.0, lifetime_min_s=300.0)
    made = run(
        Scenario(
            smooth(name), Cluster(NODES, **NOMINAL), smooth_network(), workload, horizon_s=1200.0
        ),
        planner,
    )
    assert made.planner_errors == []
    frames = made.tables.take()
    served = frames["decisions"].filter(frames["decisions"]["outcome"] == "deployed")
    assert served.height > 0
    assert made.monitor.outcomes["completed"] > 0
    total = made.billing.idle_usd + sum(made.billing.attributed_usd.values())
    assert total == pytest.approx(made.billing.bill_usd)
    assert sum(made.monitor.outcomes.values()) == made.monitor.born_total
