"""When a plan could serve, which planners can ask before they order it."""

import pytest
from worlds import At, Does, run, scenario, tables_of

from scenarios.cluster import Node
from scenarios.slo import Tier
from scenarios.workload import Workload

CLOUD = {"cloud": Node("cloud", "a2-highgpu-1g", count=1)}
SLOW = {"cloud_boot_s": 20.0, "mig_create_s": 5.0, "load_bytes_per_s": 2e8}


def test_a_plan_is_ready_when_it_was_said_to_be():
    """The first boots a machine; the second needs an instance or joins what is still loading."""
    workload = Workload(
        arrivals=At((1.0, 3.0, 3.0)),
        lifetime_mean_s=901.0,
        lifetime_min_s=900.0,
        tiers={"any": Tier(latency_s=4.0)},
    )
    told = {}

    def act(context):
        for query in context.waiting:
            plans = [plan for plan in context.candidates(query) if "cloud:1g" in str(plan)]
            plan = plans[-1] if query.id == 1 else plans[0]
            first = context.ready_s(query, plan)
            assert context.ready_s(query, plan) == first, "nothing is changed by asking"
            told[query.id] = context.now_s + first
            context.deploy(query, plan)

    tables = tables_of(scenario(100.0, workload=workload, nodes=CLOUD, **SLOW), Does(act))
    decisions = tables["decisions"].filter(outcome="deployed")
    in_force_s = dict(decisions.select("query", "in_force_s").iter_rows())
    assert told[0] > 25.0, "boot, instance and models"
    assert in_force_s == pytest.approx(told, abs=0.01)


def test_a_plan_without_room_is_never_ready():
    told = []

    def act(context):
        for query in context.waiting:
            whole = [plan for plan in context.candidates(query) if "cloud:7g" in str(plan)]
            told.append(context.ready_s(query, whole[-query.id]))
            context.deploy(query, whole[0])

    workload = Workload(
        arrivals=At((1.0, 3.0)),
        lifetime_mean_s=901.0,
        lifetime_min_s=900.0,
        tiers={"any": Tier(latency_s=4.0)},
    )
    run(scenario(10.0, workload=workload, nodes=CLOUD), Does(act))
    assert told[0] is not None
    assert told[1] is None
