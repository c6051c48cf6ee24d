"""Machines that a planner keeps on standby: they boot once, and are billed from then on."""

import numpy as np
import pytest
from money import attributed_usd, bill_usd, idle_usd
from worlds import Does, Restless, queries_at, run, scenario

from scenarios.cluster import Cluster, Node
from scenarios.drift import Drift, DriftEvent
from sim import Planner, PlannerCheckError, PlannerError, check_planner
from sim.cluster.machines import Machines

HOUR = 3600.0
CLOUD = Node("cloud", "a2-highgpu-1g", count=2, boot_s=40.0)


def made(act, *times, nodes=None, horizon_s=200.0, **changes):
    workload = queries_at(*times)
    return run(
        scenario(horizon_s, nodes=nodes or {"cloud": CLOUD}, workload=workload, **changes),
        Does(act),
    )


def plan_in(context, query, node):
    plans = (each for each in context.candidates(query) if set(each.placement) == {node})
    return next(plans)


def rentals(world):
    table = world.tables.take()["machines"].sort("machine", "from_s")
    return table.select("machine", "standby", "from_s", "ready_s", "to_s", "ended").rows()


def test_invariant_money_a_machine_on_standby_boots_once_and_is_billed_from_the_order():
    served = {}

    def act(context):
        query = context.waiting[-1]
        served[query.id] = context.now_s
        context.keep_standby("cloud", 1)
        if query.id:
            context.deploy(query, plan_in(context, query, "cloud"))

    world = made(act, 10.0, 100.0)
    tables = world.tables.take()
    [deployed] = tables["decisions"].filter(outcome="deployed").to_dicts()
    assert deployed["in_force_s"] < 110.0
    [kept] = tables["decisions"].filter(outcome="standby").to_dicts()
    assert (kept["decided_s"], kept["trigger"], kept["reason"]) == (10.0, "arrival", "1 of cloud")
    [row] = tables["machines"].to_dicts()
    assert (row["from_s"], row["ready_s"], row["to_s"], row["standby"]) == (10.0, 50.0, 200.0, True)
    assert world.billing.bill_usd - tables["queries"]["egress_usd"].sum() == pytest.approx(
        190.0 / HOUR * CLOUD.price_usd_per_hour
    )


def test_a_query_waits_while_a_machine_on_standby_still_boots():
    def act(context):
        if context.now_s == 10.0:
            context.keep_standby("cloud", 1)
        else:
            context.deploy(context.waiting[-1], plan_in(context, context.waiting[-1], "cloud"))

    [deployed] = (
        made(act, 10.0, 30.0).tables.take()["decisions"].filter(outcome="deployed").to_dicts()
    )
    assert 50.0 <= deployed["in_force_s"] < 60.0


def test_machines_that_leave_standby_are_billed_while_they_are_used():
    def act(context):
        now_s = context.now_s
        if now_s == 10.0:
            context.deploy(context.waiting[0], plan_in(context, context.waiting[0], "cloud"))
        elif now_s == 20.0:
            context.keep_standby("cloud", 2)  # One is used already, the other begins to boot.
        elif now_s == 70.0:
            context.keep_standby("cloud", 1)
        elif now_s == 80.0:
            context.keep_standby("cloud", 0)
        elif now_s == 90.0:
            context.release(context.running[0])

    used, unused = rentals(made(act, 10.0, 20.0, 70.0, 80.0, 90.0))
    assert used[:2] == (0, True)
    assert used[2:4] == pytest.approx((10.0, 50.0), abs=0.1)
    assert used[4] >= 90.0
    assert used[5] == "released"
    assert unused == (1, True, 20.0, 60.0, 70.0, "released")


def test_the_order_is_carried_out_when_the_call_ends_and_the_last_one_counts():
    seen = []

    def act(context):
        def look():
            seen.append(
                (context.world.machines_on_standby("cloud"), context.world.machines_used("cloud"))
            )

        look()
        context.keep_standby("cloud", 2)
        context.keep_standby("cloud", np.int64(1))
        look()

    world = made(act, 10.0, 20.0)
    assert seen == [(0, 0), (0, 0), (1, 0), (1, 0)]
    assert world.tables.take()["decisions"]["reason"].to_list() == ["1 of cloud"]


def test_a_call_that_fails_keeps_nothing_on_standby():
    def act(context):
        context.keep_standby("cloud", 2)
        raise ValueError("no")

    assert rentals(made(act, 10.0)) == []


@pytest.mark.parametrize(
    ("node", "machines", "said"),
    [
        ("clod", 1, "keep_standby: node 'clod': choose one of cloud"),
        (["cloud"], 1, r"keep_standby: node \['cloud'\]: choose one of cloud"),
        ("cloud", 3, r"keep_standby\('cloud', 3\): must be a whole number from 0 to 2"),
        ("cloud", -1, r"keep_standby\('cloud', -1\): must be a whole number from 0 to 2"),
        ("cloud", 1.0, r"keep_standby\('cloud', 1.0\): must be a whole number from 0 to 2"),
    ],
)
def test_a_wrong_order_is_refused_in_one_sentence(node, machines, said):
    def act(context):
        with pytest.raises(PlannerError, match=f"^{said}$"):
            context.keep_standby(node, machines)

    assert made(act, 10.0, horizon_s=11.0).planner_errors == []


def test_a_failed_machine_boots_again_and_stays_on_standby():
    failure = DriftEvent("machine_failure", at_s=70.0, node="cloud", duration_s=10.0)
    world = made(lambda context: context.keep_standby("cloud", 1), 10.0, drift=Drift([failure]))
    assert rentals(world) == [
        (0, True, 10.0, 50.0, 70.0, "failed"),
        (0, True, 80.0, 120.0, 200.0, "horizon"),
    ]


def test_working_machines_join_before_failed_ones_and_used_ones_leave_last():
    machines = Machines(Cluster({"cloud": Node("cloud", "a2-highgpu-1g", count=3, standby=1)}))
    machines.fail(machines.pools["cloud"][1], 0)

    def numbers(count):
        return [each.number for each in machines.keep_standby("cloud", count)]

    assert [numbers(count) for count in (2, 3, 3, 2, 0)] == [[2], [1], [], [2], [1, 0]]


class Keeps(Planner):
    """Keeps machines of every node on standby, and plans nothing."""

    def __init__(self, machines=1):
        self.machines = machines

    def plan(self, context):
        for node in context.world.cluster.nodes:
            context.keep_standby(node, self.machines)


@pytest.mark.usefixtures("short_worlds")
def test_planners_that_set_standby_are_checked():
    check_planner(Keeps(), other_process=False)
    with pytest.raises(
        PlannerCheckError, match=r"keep_standby\('edge', 2\): must be a whole number"
    ):
        check_planner(Keeps(2), other_process=False)


class Unsteady(Restless):
    """As `Restless`, and changes the number of machines on standby at random."""

    def plan(self, context):
        super().plan(context)
        turn = int(context.now_s * 7)
        for number, (name, node) in enumerate(context.world.cluster.nodes.items()):
            context.keep_standby(name, (turn + number) % (node.count + 1))


def test_invariant_money_holds_from_tables_while_standby_changes():
    nodes = {
        "edge": Node("edge", "g2-standard-8", count=2, standby=1, boot_s=3.0),
        "cloud": Node("cloud", "a2-highgpu-1g", count=3, boot_s=12.0),
    }
    failures = [
        DriftEvent("machine_failure", at_s=20.0, node="edge", duration_s=15.0),
        DriftEvent("machine_failure", at_s=50.0, node="cloud", machine=1, duration_s=20.0),
    ]
    world = run(scenario(100.0, rate=0.15, nodes=nodes, drift=Drift(failures)), Unsteady())
    assert world.planner_errors == []
    tables = world.tables.take()
    assert tables["decisions"].filter(outcome="standby").height > 20
    assert tables["machines"].filter("standby")["ended"].n_unique() == 3
    assert bill_usd(tables) == pytest.approx(world.billing.bill_usd, rel=1e-12)
    assert idle_usd(tables) == pytest.approx(world.billing.idle_usd, rel=1e-10)
    assert attributed_usd(tables) == pytest.approx(world.billing.attributed_usd, rel=1e-10)
