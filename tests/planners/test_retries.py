"""When a query that was given up is searched for again, and what orders of one call leave."""

from itertools import pairwise

import pytest
from worlds import At, Does, queries_at, run, scenario

from planners.common.orders import Orders, due, give_up
from planners.common.windows import late_window
from planners.reference.ilp import ILP
from scenarios.cluster import DEVICE
from scenarios.slo import Tier
from scenarios.workload import Workload

NEVER_S = 1000.0


def lives(*times, latency_s=4.0, lifetime_s=900.0):
    """Return a workload of queries that arrive then, and of one length of life."""
    return Workload(
        arrivals=At(times),
        lifetime_mean_s=lifetime_s + 0.001,
        lifetime_min_s=lifetime_s,
        tiers={"any": Tier(latency_s=latency_s)},
    )


def off_the_device(context, query):
    """Return the cheapest plan that leaves the device alone, and so keeps up."""
    return next(plan for plan in context.candidates(query) if DEVICE not in plan.placement)


def test_a_query_that_was_given_up_is_due_once_something_was_given_back():
    calls = []

    def act(context):
        for query in context.waiting:
            if query.id == 0:
                context.deploy(query, off_the_device(context, query))
            else:
                calls.append(
                    (
                        context.trigger,
                        context.now_s,
                        context.world.last_release_s,
                        due(context, query, NEVER_S),
                    )
                )
                if calls[-1][-1]:
                    give_up(context, query)

    workload = lives(1.0, 15.0, lifetime_s=20.0)
    run(scenario(40.0, workload=workload), Does(act, replan_every_s=1.0))
    looked_at = [number for number, call in enumerate(calls) if call[-1]]
    [left] = [number for number, call in enumerate(calls) if call[0] == "departure"]
    assert calls[left][2] is None, "what drains holds its room"
    assert looked_at[0] == 0
    [again] = looked_at[1:]
    assert again > left
    assert calls[left][1] < calls[again][2] <= calls[again][1]


def test_after_the_pause_it_is_due_whatever_became_free():
    times = []

    def act(context):
        for query in context.waiting:
            if due(context, query, 7.0):
                times.append(context.now_s)
                give_up(context, query)

    run(scenario(20.0, workload=queries_at(1.0)), Does(act, replan_every_s=1.0))
    assert times[0] == 1.0
    assert [round(later - sooner) for sooner, later in pairwise(times)] == [7, 7]


def test_a_query_with_an_order_is_not_charged_for_questions_of_others():
    left = []

    def act(context):
        if len(context.waiting) < 2:
            return
        orders = Orders(context)
        first, second = context.waiting
        plan = next(iter(context.candidates(first)))
        assert orders.fits(first, plan)
        orders.deploy(first, plan)
        before = context.remaining(first), context.remaining(second)
        for _ in range(100):
            orders.fits(second, plan)
        left.append((before[0] - context.remaining(first), before[1] - context.remaining(second)))

    run(scenario(10.0, workload=queries_at(1.0, 2.0)), Does(act))
    assert left[0][0] == 0
    assert left[0][1] > 0


def test_a_late_window_that_counts_began_under_the_plan_in_force():
    found = []

    def act(context):
        for query in context.waiting:
            context.deploy(query, off_the_device(context, query))
        for query in context.running:
            report = late_window(context, query, 10.0)
            if report is not None:
                begun_s = context.telemetry(query)[-2].end_s
                found.append((context.world.active_since_s(query), begun_s))

    workload = lives(15.0, 35.0, latency_s=0.001)
    run(scenario(200.0, workload=workload), Does(act, replan_every_s=5.0))
    assert found
    assert all(begun_s >= since_s + 10.0 for since_s, begun_s in found)
    # Windows end at 40, 80, ...: that from 40 on began less than ten seconds after the second.
    assert {begun_s for _, begun_s in found} >= {40.0, 80.0}
    assert all(begun_s >= 80.0 for since_s, begun_s in found if since_s > 30.0)


@pytest.mark.slow
def test_a_plan_whose_models_are_being_loaded_is_not_ordered_again():
    made = run(scenario(90.0, rate=0.2, load_bytes_per_s=5e7), ILP())
    deployed = made.tables.take()["decisions"].filter(outcome="deployed").sort("decided_s")
    loading: dict[int, tuple[str, float]] = {}
    moves = 0
    for query, plan, decided_s, in_force_s in deployed.select(
        "query", "plan", "decided_s", "in_force_s"
    ).iter_rows():
        if query in loading:
            moves += 1
            assert loading[query][0] != plan or decided_s >= loading[query][1]
        loading[query] = plan, in_force_s
    assert moves
