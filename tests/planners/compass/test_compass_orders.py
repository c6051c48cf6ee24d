"""Orders that are not in force yet: what the context does not show of them."""

from dataclasses import replace
from itertools import pairwise

from compass_worlds import ONE_CLOUD, arriving, with_context
from worlds import run, scenario

from planners import Compass
from planners.compass.runtime.orders import fit, order, orders_of
from planners.compass.runtime.watch import Watch, serving
from planners.compass.state.records import ActivePlan


def test_an_order_counts_until_it_is_carried_out():
    """The second query arrives while the first is searched for; by the first look both run."""
    seen = []

    class Ordering(Compass):
        def plan(self, context):
            before = orders_of(context)
            super().plan(context)
            seen.append((context.trigger, set(before), set(orders_of(context))))

    world = run(scenario(12.0, workload=arriving(1.0, 1.05), nodes=ONE_CLOUD), Ordering())
    assert world.planner_errors == []
    first, second = (each for each in seen if each[0] == "arrival")
    assert first[1:] == (set(), {0})
    assert second[1:] == ({0}, {0, 1})
    assert seen[-1] == ("tick", set(), set())


def test_what_was_ordered_is_not_promised_again():
    """Neither in the same call, nor while the search goes on, at whose end it is carried out."""
    told = []

    def act(context):
        if len(context.waiting) + len(context.bulk.searching) < 2:
            return
        plans = [plan for plan in context.candidates(context.waiting[0]) if "cloud:7g" in str(plan)]
        first, other = plans[0], plans[-1]
        if not context.bulk.searching:
            one, two = context.waiting
            told.append((context.fits(two, other), fit(context, [(two, other)])))
            context.charge(one, "step", 500_000)
            order(context, one, ActivePlan(first, context.now_s, 0.0, 0.0, 0.0, None, 0))
            told.append((context.fits(two, other), fit(context, [(two, other)])))
            assert fit(context, [(one, other)]) == [True], "in place of its own order"
        else:
            [two, *_] = context.waiting
            told.append((context.fits(two, other), fit(context, [(two, other)])))

    with_context(act, arriving(1.0, 1.0, 1.2), nodes=ONE_CLOUD)
    assert told == [(True, [True]), (True, [False]), (True, [False])]


def test_no_order_overtakes_a_plan_that_is_being_loaded():
    """Though better ones are found meanwhile, and are ordered as soon as it serves."""
    workload = arriving(1.0, latency_s=2.0, accuracy=0.97, datasets={"VOiCES": 1.0})
    world = run(scenario(120.0, workload=workload, load_bytes_per_s=1.2e8), Compass())
    assert world.planner_errors == []
    decisions = world.tables.take()["decisions"].sort("decided_s")
    first, *others = decisions.select("decided_s", "in_force_s").rows()
    assert first[1] > first[0] + 10.0
    assert others
    for (_, in_force_s), (decided_s, _) in pairwise([first, *others]):
        assert decided_s >= in_force_s


class Moving(Compass):
    """Lets a query arrive, and later orders a plan for it whose models have to be loaded."""

    def plan(self, context):
        super().plan(context)
        if context.now_s < ORDERED_S:
            return
        [query] = context.running
        if context.now_s == ORDERED_S:
            known, view = (
                serving(context, query),
                context.bulk.view(query, self.search.model.choices),
            )
            plans = map(view.plan, range(len(view)))
            other = next(plan for plan in plans if "cloud" in plan.placement[2])
            order(context, query, replace(known, plan=other, since_s=context.now_s, before=known))
        else:
            SEEN.append((context.now_s, set(orders_of(context)), serving(context, query)))


ORDERED_S = 81.0
SEEN = []


def test_a_move_counts_while_its_models_are_loading_and_is_remembered():
    """A look falls into that time, at which it is learned how fast the device is."""
    SEEN.clear()
    planner = Moving(runtime=Watch(audit_every_s=0.0), improve_s=0.0)
    slow = {"load_bytes_per_s": 1.2e8}
    world = run(scenario(130.0, workload=arriving(1.0), nodes=ONE_CLOUD, **slow), planner)
    assert world.planner_errors == []
    first, moved = world.tables.take()["decisions"].filter(outcome="deployed").rows(named=True)
    assert ORDERED_S + 20 < moved["in_force_s"] < 130
    for now_s, orders, record in SEEN:
        loading = now_s < moved["in_force_s"]
        assert orders == ({0} if loading else set())
        assert str(record.plan) == (first if loading else moved)["plan"]
