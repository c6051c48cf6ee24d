"""Every planner keeps the contract where operators fork and join, as it does on a chain."""

import pytest
from worlds import BRANCHED, declared, run, smooth, smooth_network, tables_of

from planners import (
    ILP,
    Chameleon,
    CheapestFeasible,
    CherryPick,
    Compass,
    Greedy,
    INFaaS,
    JellyBean,
    RandomFeasible,
    StaticPlan,
    VideoStorm,
    Vulcan,
)
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.scenario import Scenario
from scenarios.workload import Workload
from sim import PlannerError, check_planner
from sim.conformance import worlds as check_worlds

PLANNERS = [
    pytest.param(ILP, marks=pytest.mark.slow),
    pytest.param(Chameleon, marks=pytest.mark.slow),
    pytest.param(CheapestFeasible, marks=pytest.mark.slow),
    pytest.param(CherryPick, marks=pytest.mark.slow),
    Compass,
    pytest.param(Greedy, marks=pytest.mark.slow),
    pytest.param(INFaaS, marks=pytest.mark.slow),
    pytest.param(JellyBean, marks=pytest.mark.slow),
    pytest.param(RandomFeasible, marks=pytest.mark.slow),
    VideoStorm,
    pytest.param(Vulcan, marks=pytest.mark.slow),
]
NODES = {
    "edge": Node("edge", "g2-standard-8", standby=1),
    "cloud": Node("cloud", "a2-highgpu-1g", count=2),
}


@pytest.mark.usefixtures("short_worlds")
@pytest.mark.parametrize("planner", PLANNERS, ids=lambda each: each.__name__)
def test_it_keeps_the_contract(planner, monkeypatch):
    monkeypatch.setattr(
        check_worlds, "shipped_application", lambda _, **changes: declared(BRANCHED, **changes)
    )
    check_planner(planner(), other_process=False)


@pytest.mark.parametrize(
    "planner",
    [
        pytest.param(ILP(), marks=pytest.mark.slow),
        Compass(budget_s=15.0),
        Greedy(),
        VideoStorm(),
        pytest.param(Vulcan(budget_s=15.0), marks=pytest.mark.slow),
    ],
    ids=lambda each: type(each).__name__,
)
def test_it_serves_requests(planner):
    workload = Workload(0.02, lifetime_mean_s=300.0, lifetime_min_s=60.0)
    world = Scenario(
        smooth(BRANCHED), Cluster(NODES, **NOMINAL), smooth_network(), workload, horizon_s=400.0
    )
    made = run(world, planner)
    assert made.planner_errors == []
    assert made.monitor.outcomes["completed"] > 20


@pytest.mark.parametrize(
    ("placement", "goes_up"),
    [
        (("edge", "edge", "cloud", "edge", "cloud"), True),
        (("edge", "edge", "cloud", "edge", "edge"), False),
    ],
)
def test_a_static_plan_may_leave_one_branch_below_another(placement, goes_up):
    pipeline, cluster = declared(BRANCHED).pipeline, Cluster(NODES, **NOMINAL)
    planner = StaticPlan(placement=placement)
    if goes_up:
        planner.check_parameters(pipeline, cluster)
        workload = Workload(0.02, lifetime_mean_s=300.0, lifetime_min_s=60.0)
        tables = tables_of(
            Scenario(declared(BRANCHED), cluster, workload=workload, horizon_s=200.0), planner
        )
        decisions = tables["decisions"]
        assert set(decisions["placement"].drop_nulls()) == {" > ".join(placement)}
    else:
        with pytest.raises(PlannerError, match="data move up only"):
            planner.check_parameters(pipeline, cluster)
