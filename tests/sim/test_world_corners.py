"""Corner cases of worlds: booting, failing while loading, shifts, ties, abuse."""

import sys
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from worlds import Does, overhear, plan_in, queries_at, run, scenario

from hardware_models.devices import DeviceModel
from scenarios.applications.shipped import shipped_application
from scenarios.cluster import Node
from scenarios.drift import Drift, DriftEvent
from scenarios.queries import births
from sim import Allocation, PlannerError
from sim.catalogue.service_times import RefusalError, device_service
from sim.clock import NS_PER_S
from sim.controlplane.world import World
from sim.dataplane.base.interface import COMPLETED
from sim.dataplane.blocks.plane import BlocksPlane
from sim.metrics.results import SCHEMAS


def decisions(world, outcome="deployed"):
    rows = world.tables.take()["decisions"]
    return rows.filter(rows["outcome"] == outcome).to_dicts()


def test_every_deployment_waits_for_a_machine_that_boots():
    nodes = {"cloud": Node("cloud", "a2-highgpu-1g", boot_s=40.0)}

    def act(context):
        for query in context.waiting:
            context.deploy(query, plan_in(context, query, "cloud", 5 * query.id))

    made = run(scenario(100.0, nodes=nodes, workload=queries_at(1.0, 2.0)), Does(act))
    first, second = decisions(made)
    assert first["in_force_s"] >= 41.0
    assert second["in_force_s"] >= 41.0


def test_a_plan_is_audited_once_it_is_in_force():
    audited = []

    def act(context):
        for query in context.waiting:
            context.deploy(query, plan_in(context, query, "cloud", 0))
        for query in context.running:
            if context.world.active_since_s(query) is None:
                with pytest.raises(PlannerError, match="no plan is active"):
                    context.measure_live_accuracy(query, 4)
            else:
                audited.append((context.now_s, context.measure_live_accuracy(query, 4).count))

    nodes = {"cloud": Node("cloud", "a2-highgpu-1g", boot_s=30.0)}
    run(scenario(60.0, nodes=nodes, workload=queries_at(1.0, 5.0, 50.0)), Does(act))
    assert audited[0] == (50.0, 4)


def test_changes_of_one_time_are_the_same_in_any_order():
    events = [
        DriftEvent("machine_failure", at_s=20.0, node="edge", duration_s=60.0),
        DriftEvent("planner_crash", at_s=20.0, duration_s=15.0),
        DriftEvent("machine_failure", at_s=20.0, node="cloud", duration_s=60.0),
    ]

    def act(context):
        for query in context.waiting:
            places = (plan_in(context, query, node, 0) for node in ("edge", "cloud"))
            plan = next((each for each in places if context.fits(query, each)), None)
            if plan is not None:
                context.deploy(query, plan)

    def tables(order):
        drift = Drift([events[at] for at in order])
        nodes = {
            "edge": Node("edge", "g2-standard-8", standby=1),
            "cloud": Node("cloud", "a2-highgpu-1g", count=2),
        }
        world = scenario(60.0, nodes=nodes, workload=queries_at(1.0, 2.0), drift=drift)
        return run(world, Does(act)).tables.take()

    first = tables((0, 1, 2))
    for order in ((1, 0, 2), (2, 1, 0)):
        for name, table in tables(order).items():
            assert table.equals(first[name]), name


def test_a_machine_that_recovers_boots_again():
    nodes = {"cloud": Node("cloud", "a2-highgpu-1g", boot_s=40.0, standby=1)}
    drift = Drift([DriftEvent("machine_failure", at_s=10.0, node="cloud", duration_s=10.0)])

    def act(context):
        for query in context.waiting:
            if context.trigger == "recovery":
                context.deploy(query, plan_in(context, query, "cloud", 0))

    made = run(scenario(100.0, nodes=nodes, workload=queries_at(1.0), drift=drift), Does(act))
    (row,) = decisions(made)
    assert row["decided_s"] == 20.0
    assert row["in_force_s"] >= 60.0


def test_a_machine_that_fails_again_stays_away_until_the_later_end():
    nodes = {"cloud": Node("cloud", "a2-highgpu-1g", standby=1)}
    events = [
        DriftEvent("machine_failure", at_s=10.0, node="cloud", duration_s=10.0),
        DriftEvent("machine_failure", at_s=15.0, node="cloud", duration_s=30.0),
    ]
    seen = []
    made = scenario(100.0, nodes=nodes, workload=queries_at(1.0), drift=Drift(events))
    run(made, Does(lambda context: seen.append((context.trigger, context.now_s))))
    assert [at for trigger, at in seen if trigger == "recovery"] == [45.0]


def test_a_failure_of_the_machine_that_loads_leaves_the_deployment_in_force_alone():
    drift = Drift([DriftEvent("machine_failure", at_s=10.5, node="cloud", duration_s=30.0)])

    def act(context):
        for query in context.waiting:
            context.deploy(query, plan_in(context, query, "edge", 0))
        for query in context.running:
            if context.trigger == "arrival" and context.now_s == 9.0 and query.id == 0:
                context.deploy(query, plan_in(context, query, "cloud", 0))

    nodes = {
        "edge": Node("edge", "g2-standard-8", standby=1),
        "cloud": Node("cloud", "a2-highgpu-1g", boot_s=20.0),
    }
    made = run(scenario(60.0, nodes=nodes, workload=queries_at(1.0, 9.0), drift=drift), Does(act))
    state = made.registry.living[0]
    assert state.active is not None
    assert set(state.active.plan.placement) == {"edge"}
    assert state.loading is None
    assert decisions(made, "ended") == [
        dict.fromkeys(SCHEMAS["decisions"])
        | {"query": 0, "deployment": 1, "decided_s": 10.5}
        | {"outcome": "ended", "reason": "machine 0 of cloud failed"}
    ]


def test_a_query_born_after_a_shift_is_profiled_and_judged_on_the_shifted_content():
    drift = Drift([DriftEvent("content_shift", at_s=5.0, factor=0.9)])
    seen = {}

    def act(context):
        for query in context.waiting:
            estimate = context.profile(query, context.world.pipeline.configurations[0], 400)
            seen[query.id] = (query, estimate)
            context.deploy(query, plan_in(context, query, "edge", 0))

    a_scenario = scenario(120.0, workload=queries_at(10.0, dataset="VOiCES"), drift=drift)
    made = run(a_scenario, Does(act, budget_s=100.0))
    _, estimate = seen[0]
    tables = made.tables.take()
    served = tables["windows"].drop_nans("accuracy")["accuracy"].mean()
    assert estimate.accuracy_mean == pytest.approx(served, abs=0.06)
    assert tables["profiling"]["true_accuracy"][0] == pytest.approx(served)
    assert tables["queries"]["true_accuracy"][0] == pytest.approx(served)
    assert tables["decisions"]["true_accuracy"][0] == pytest.approx(served)


def test_accuracy_of_a_query_is_that_of_each_configuration_by_the_requests_it_served():
    """It includes late answers, and is nan if nothing was answered."""
    drift = Drift([DriftEvent("content_shift", at_s=20.0, factor=0.5)])

    def act(context):
        for query in (*context.waiting, *context.running):
            if query.id == 0 and context.trigger == "arrival":
                context.deploy(query, plan_in(context, query, "cloud", 7 * len(context.running)))

    queries = queries_at(1.0, 11.0, dataset="VOiCES")
    a_scenario = scenario(60.0, workload=queries, drift=drift)
    made = World(a_scenario, Does(act), 1, BlocksPlane)
    recording = overhear(made)
    made.run(60.0)
    tables = made.tables.take()
    decisions = tables["decisions"].filter(outcome="deployed")
    assert decisions["deployment"].to_list() == [0, 1]
    dataset = a_scenario.application.datasets["VOiCES"]
    (_, before), (_, after) = next(iter(births(a_scenario, 1)))[1].content
    assert decisions["true_accuracy"].to_list() == [
        dataset.expected_accuracy(before)[each] for each in (0, 7)
    ]
    served = [
        (dataset.accuracy @ (before if each.arrival_ns < 20 * NS_PER_S else after))[
            7 * each.deployment
        ]
        for each in recording.records
        if each.query == 0 and each.outcome == COMPLETED
    ]
    assert len(set(served)) == 3
    one, other = tables["queries"].sort("query")["true_accuracy"]
    assert one == pytest.approx(np.mean(served), abs=1e-9)
    assert isnan(other)


def test_the_best_accuracy_of_a_query_is_that_of_the_content_it_came_with():
    drift = Drift([DriftEvent("content_shift", at_s=5.0, factor=0.9)])
    a_scenario = scenario(10.0, workload=queries_at(1.0, 6.0, dataset="VOiCES"), drift=drift)
    rows = run(a_scenario, Does(lambda context: None)).tables.take()["queries"]
    truths = [truth for _, truth in births(a_scenario, 1)]
    accuracy = a_scenario.application.datasets["VOiCES"].accuracy
    expected = [(accuracy @ truth.content[0][1]).max() for truth in truths]
    assert [len(truth.content) for truth in truths] == [2, 1]
    assert rows["true_best_accuracy"].to_list() == pytest.approx(expected)


def test_trials_of_queries_that_left_are_forgotten():
    def act(context):
        for query in context.waiting:
            context.deploy(query, plan_in(context, query, "edge", 0))

    a_scenario = scenario(20.0, workload=queries_at(1.0, 2.0))
    made = World(a_scenario, Does(act), 1, BlocksPlane)
    made.run(19.0)
    assert [made.monitor.trial(number).met for number in (0, 1)] == [True, True]
    made.run(20.0)
    assert [made.monitor.trial(number) for number in (0, 1)] == [None, None]


def test_a_world_without_queries_calls_no_planner():
    made = run(scenario(100.0, workload=queries_at()), Does(lambda context: 1 / 0))
    assert made.planner_errors == []
    assert made.planning_wall_s == 0
    tables = made.tables.take()
    assert tables.pop("machines")["standby"].to_list() == [True]
    assert all(table.is_empty() for table in tables.values())


def test_profiling_after_a_shift_sees_the_new_content():
    drift = Drift([DriftEvent("content_shift", at_s=30.0, factor=0.9)])
    means = []

    def act(context):
        query = context.waiting[0]
        best = context.world.pipeline.configurations[0]
        means.append(context.profile(query, best, 400).accuracy_mean)
        if context.now_s > 30.0:
            context.resample(query)
            means.append(context.profile(query, best, 400).accuracy_mean)

    a_scenario = scenario(60.0, workload=queries_at(1.0, 40.0, dataset="VOiCES"), drift=drift)
    run(a_scenario, Does(act, budget_s=100.0))
    before, still, after = means
    assert still == before, "what was measured stays as it is until new data are taken"
    assert after < before - 0.05


def test_prediction_for_a_running_query_is_about_the_station_that_it_uses():
    utilisation = {}

    def act(context):
        for query in context.waiting:
            context.deploy(query, plan_in(context, query, "edge", 0))
        for query in context.running:
            context.profile(query, context.plan_of(query), 50)
            utilisation[query.id] = context.predict(query, context.plan_of(query)).utilisation

    run(scenario(60.0, workload=queries_at(1.0, 2.0, 3.0, 30.0)), Does(act))
    ours, theirs = utilisation[0], utilisation[1]
    assert ours == pytest.approx(theirs, rel=0.5), "one station, one load"
    alone = 0.5 * 0.15
    assert max(ours) > 2 * alone


def test_orders_that_are_due_together_are_carried_out_by_query():
    """Query 1 orders first, for the moment at which query 0 orders at once; query 0 gets it."""
    nodes = {"edge": Node("edge", "g2-standard-8", standby=1)}

    def act(context):
        if context.trigger == "arrival":
            return
        for query in context.waiting:
            late = query.id == 1 and context.now_s == 3.0
            prompt = query.id == 0 and context.now_s == 4.0
            if late:
                context.charge(query, "step", 1_000_000)  # one second
            if late or prompt:
                context.deploy(query, plan_in(context, query, "edge", 5 * query.id))

    planner = Does(act, replan_every_s=1.0)
    made = run(scenario(20.0, nodes=nodes, workload=queries_at(1.0, 1.5)), planner)
    rows = made.tables.take()["decisions"]
    assert rows.select("query", "decided_s", "outcome").rows() == [
        (0, 4.0, "deployed"),
        (1, 4.0, "refused"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_batch": 2000}, "max_batch=2000; it can be a whole number from 1 to"),
        ({"max_wait_s": float("inf")}, "max_wait_s=inf"),
        ({"max_wait_s": float("nan")}, "max_wait_s=nan"),
        ({"replicas": 1.5}, "replicas=1.5"),
        ({"replicas": 0}, "replicas=0"),
    ],
)
def test_an_impossible_allocation_is_contained(change, reason):
    def act(context):
        for query in context.waiting:
            plan = plan_in(context, query, "edge", 0)
            first = replace(plan.allocation[0], **change)
            context.deploy(query, replace(plan, allocation=(first, *plan.allocation[1:])))

    made = run(scenario(5.0, workload=queries_at(1.0)), Does(act))
    assert reason in made.planner_errors[0]


def test_counts_of_an_allocation_may_be_numpys():
    def act(context):
        for query in context.waiting:
            plan = plan_in(context, query, "cloud", 0)
            allocation = tuple(
                replace(each, replicas=np.int64(2), max_batch=np.int64(1))
                for each in plan.allocation
            )
            context.deploy(query, replace(plan, allocation=allocation))

    made = run(scenario(30.0, workload=queries_at(1.0)), Does(act))
    assert made.planner_errors == []
    assert len(made.registry.running) == 1


def test_a_device_has_no_replicas():
    def act(context):
        for query in context.waiting:
            plan = plan_in(context, query, "device", 4)
            many = (Allocation("device", replicas=64),) * 4
            context.deploy(query, replace(plan, allocation=many))

    made = run(scenario(5.0, workload=queries_at(1.0)), Does(act))
    assert (
        "on device has replicas=64; it can be a whole number from 1 to 1"
        in (made.planner_errors[0])
    )


@pytest.mark.parametrize("act", [lambda d, q: d.charge(q, count=-5), lambda d, q: sys.exit(3)])
def test_charges_are_never_given_back_and_exits_are_contained(act):
    made = run(
        scenario(5.0, workload=queries_at(1.0)),
        Does(lambda context: [act(context, query) for query in context.waiting]),
    )
    assert len(made.planner_errors) >= 1


def test_what_planners_reach_of_the_cluster_is_a_copy():
    def act(context):
        context.world.cluster.nodes["edge"].standby = 0

    made = run(scenario(20.0, workload=queries_at(1.0)), Does(act))
    assert made.planner_errors == []
    assert made.scenario.cluster.nodes["edge"].standby == 1


def test_what_planners_write_into_the_cluster_changes_no_charge_and_no_price():
    def planning(spoil):
        found = []

        def act(context):
            spoil(context.world.cluster)
            for query in context.waiting:
                plan = plan_in(context, query, "cloud", 0)
                context.profile(query, plan, 400)
                found.append(
                    (context.remaining(query), context.predict(query, plan).cost_usd_per_hour)
                )
                context.deploy(query, plan)

        made = run(scenario(20.0, workload=queries_at(1.0)), Does(act, budget_s=100.0))
        assert made.planner_errors == []
        return found, made.planning_service.planning_charged_s, decisions(made)

    def spoil(cluster):
        cluster.profiling.workers = 10**6
        for node in cluster.nodes.values():
            node.purchase = "spot"

    assert planning(spoil) == planning(lambda _: None)


def test_an_accelerator_that_is_not_known_is_no_place_to_run():
    application = shipped_application("visual_tracking")
    operator = next(at for at, one in enumerate(application.operators) if one.kind == "gpu")
    mine = DeviceModel("Mine", 5.0, "jetson", 10**12, "Nothing")
    with pytest.raises(RefusalError, match=r"on a Mine: unknown .*'Nothing'"):
        device_service(application, operator, application.pipeline.configurations[0], mine)


def test_times_of_a_network_on_a_device_are_assumed_those_of_code_are_scaled():
    application = shipped_application("visual_tracking")
    first = application.pipeline.configurations[0]
    by_kind = {one.kind: at for at, one in enumerate(application.operators)}
    mine = DeviceModel("Mine", 5.0, "phone", 10**12)
    assert device_service(application, by_kind["cpu"], first, mine).basis == "scaled"
    assert device_service(application, by_kind["gpu"], first, mine).basis == "assumed"
