"""Orders that are not in force yet: what the context does not show of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from compass_worlds import ONE_CLOUD, market, with_context
from worlds import queries_at, run, scenario, tables_of

from planners import Compass
from planners.compass.runtime.orders import Wanted, first_that_fits, order, orders_of
from planners.compass.runtime.watch import Watch, serving
from planners.compass.state.pools import Uses
from planners.compass.state.records import ActivePlan
from scenarios.cluster import Node


def uses(backhaul=0.0):
    """Return the use of no station, and of so much of the backhaul."""
    return Uses(np.array([-1]), np.array([0]), np.array([0.0]), backhaul)


def recorded(context, plan, backhaul=0.0):
    """Return the record of an order given now."""
    return ActivePlan(plan, context.now_s, 0.0, 0.0, 0.0, uses(backhaul), 0)


def fit(context, wanted):
    """Return whether each plan fits, if none uses the backhaul."""
    asked = [Wanted(query, [plan], [0.0]) for query, plan in wanted]
    return [at == 0 for at in first_that_fits(context, market(context), asked)]


def test_an_order_counts_until_it_is_carried_out():
    """The second query arrives while the first is searched for; by the first look both run."""
    seen = []

    class Ordering(Compass):
        def plan(self, context):
            before = orders_of(context)
            super().plan(context)
            seen.append((context.trigger, set(before), set(orders_of(context))))

    world = run(scenario(12.0, workload=queries_at(1.0, 1.05), nodes=ONE_CLOUD), Ordering())
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
            order(context, one, recorded(context, first))
            told.append((context.fits(two, other), fit(context, [(two, other)])))
            assert fit(context, [(one, other)]) == [True], "in place of its own order"
        else:
            [two, *_] = context.waiting
            told.append((context.fits(two, other), fit(context, [(two, other)])))

    with_context(act, queries_at(1.0, 1.0, 1.2), nodes=ONE_CLOUD)
    assert told == [(True, [True]), (True, [False]), (True, [False])]


def test_no_order_overtakes_a_plan_that_is_being_loaded():
    """Though better ones are found meanwhile, and are ordered as soon as it serves."""
    workload = queries_at(1.0, latency_s=2.0, accuracy=0.97, datasets={"VOiCES": 1.0})
    tables = tables_of(scenario(120.0, workload=workload, load_bytes_per_s=1.2e8), Compass())
    decisions = tables["decisions"].sort("decided_s")
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
    tables = tables_of(scenario(130.0, workload=queries_at(1.0), nodes=ONE_CLOUD, **slow), planner)
    first, moved = tables["decisions"].filter(outcome="deployed").rows(named=True)
    assert ORDERED_S + 20 < moved["in_force_s"] < 130
    for now_s, orders, record in SEEN:
        loading = now_s < moved["in_force_s"]
        assert orders == ({0} if loading else set())
        assert str(record.plan) == (first if loading else moved)["plan"]


class TestBackhaul:
    """The world never refuses a plan for the backhaul, so Compass counts what is sent over it."""

    def found(self, *asked, active=None, ordered=None):
        """Return the index of the plan that each query gets.

        ``asked`` has the shares of the backhaul that each query's plans use, ``active`` those of
        active plans by number of the query, and ``ordered`` those of orders under way.
        """
        told = []

        def act(context):
            if len(context.waiting) < 4:
                return
            plan = next(plan for plan in context.candidates(context.waiting[0], "enumeration"))
            for number, share in (ordered or {}).items():
                order(context, context.waiting[number], recorded(context, plan, share))
            of = {context.waiting[at].id: uses(share) for at, share in (active or {}).items()}
            wanted = [
                Wanted(query, [plan] * len(shares), shares)
                for query, shares in zip(context.waiting, asked, strict=False)
            ]
            told.append(first_that_fits(context, market(context, of), wanted))

        roomy = {"edge": Node("edge", "g2-standard-8", count=4, standby=4)}
        with_context(act, queries_at(1.0, 1.0, 1.0, 1.0), nodes=roomy)
        return told[0]

    def test_a_link_that_carries_one_of_two_is_given_once(self):
        assert self.found([0.6], [0.6]) == [0, None]

    def test_the_second_takes_its_thin_plan(self):
        assert self.found([0.6], [0.6, 0.3]) == [0, 1]

    def test_the_thin_plans_of_others_still_fit(self):
        assert self.found([0.6], [0.6], [0.3], [0.3]) == [0, None, 0, None]

    def test_a_single_query_waits_if_the_link_is_full(self):
        assert self.found([0.2], active={1: 0.5, 2: 0.3}) == [None]
        assert self.found([0.15], active={1: 0.5, 2: 0.3}) == [0]

    def test_an_order_under_way_counts(self):
        assert self.found([0.6], ordered={1: 0.6}) == [None]

    def test_its_own_order_and_plan_do_not_count(self):
        assert self.found([0.9], ordered={0: 0.6}) == [0]
        assert self.found([0.9], active={0: 0.6}) == [0]

    def test_a_query_can_always_send_less(self):
        assert self.found([0.5, 0.3], active={0: 0.4, 1: 0.7}) == [1]

    def test_room_counts_only_when_a_move_is_carried_out(self):
        assert self.found([0.6], ordered={1: 0.1}, active={1: 0.5}) == [None]
