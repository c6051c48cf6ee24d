"""Views of many plans have the figures of single plans, and choices add plans to them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from busy_desk import SPACES, WIDE, busy_desk, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BRANCHED

from scenarios.cluster import DEVICE
from sim import Choices, PlannerError
from sim.api.plan_view import AT_ONCE, CAPACITY, CROWDED, KEY, LATENCY, SERVERS, STATION

OTHERS = Choices((25,), (2,), (3,), cores=(5,))


@pytest.mark.parametrize(("application", "choices"), SPACES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_property_a_view_has_the_figures_of_its_plans(application, choices, data):
    context, _ = busy_desk(application)
    query, view, numbers = drawn(data, context, choices)
    for number in numbers:
        plan = view.plan(number)
        assert view.index_of(plan) == number
        elsewhere = context.bulk.view(query, OTHERS).index_of(plan)
        assert (elsewhere is None) == any(place != DEVICE for place in plan.placement)
        estimate = context.profile(query, plan, 0)
        assert (
            context.world.pipeline.configurations[view.configuration[number]] == plan.configuration
        )
        assert view.latency_factors[number] == pytest.approx(estimate.latency_factors)
        assert view.capacity_factors[number] == pytest.approx(
            context.world.capacity_factors(query, plan)
        )
        assert view.access_s[number] + view.backhaul_s[number] == pytest.approx(estimate.transfer_s)
        assert view.fixed_s[number] == pytest.approx(estimate.fixed_s)
        assert view.cost_usd_per_hour[number] == pytest.approx(estimate.cost_usd_per_hour)
        for operator, station in enumerate(view.station[number].tolist()):
            share, place = plan.allocation[operator], plan.placement[operator]
            assert view.servers[number, operator] == share.servers
            if place == DEVICE:
                assert station == -1
                continue
            kind = view.stations[station]
            assert (kind.operator, kind.node, kind.profile) == (operator, place, share.profile)
            assert (kind.replicas, kind.max_batch) == (share.replicas, share.max_batch)
            assert (kind.servers, kind.thread_percent) == (share.servers, share.thread_percent)


def test_branches_may_part_on_their_way_up_and_no_message_may_move_down():
    context, _ = busy_desk(BRANCHED)
    query = context.waiting[0]
    view, places = context.bulk.view(query), ("device", "edge", "cloud")
    seen = {view.plan(number).placement for number in range(0, len(view), 37)}
    ranks = {tuple(map(places.index, placement)) for placement in seen}
    assert all(a <= b <= c <= e and a <= d <= e for a, b, c, d, e in ranks)
    assert any(c > d for _, _, c, d, _ in ranks)
    plan = next(
        view.plan(number)
        for number in range(len(view))
        if view.plan(number).placement[2:] == ("cloud", "edge", "cloud")
    )
    back = replace(
        plan,
        placement=(*plan.placement[:4], "edge"),
        allocation=(*plan.allocation[:4], plan.allocation[3]),
    )
    with pytest.raises(PlannerError, match="data move up only"):
        context.fits(query, back)


def test_operator_keys_and_kinds_agree_between_views_where_plans_can_share():
    context, _ = busy_desk("speech_recognition")
    first, other = context.waiting[0], context.running[0]
    rng = np.random.default_rng(3)
    one, two = context.bulk.view(first), context.bulk.view(other)
    shared = 0
    for a, b in zip(
        rng.integers(len(one), size=400), rng.integers(len(two), size=400), strict=True
    ):
        for operator in range(one.station.shape[1]):
            plans = one.plan(int(a)), two.plan(int(b))
            keys = [
                (
                    context.world.pipeline.operator_key(operator, plan.configuration),
                    plan.placement[operator],
                    plan.allocation[operator],
                )
                for plan in plans
            ]
            if DEVICE in (keys[0][1], keys[1][1]):
                continue
            same = (
                one.stations[one.station[a, operator]] == two.stations[two.station[b, operator]]
                and one.operator_key[a, operator] == two.operator_key[b, operator]
            )
            assert same == (keys[0] == keys[1])
            shared += same
    assert shared


def test_a_view_has_the_candidates_and_choices_add_to_them():
    context, _ = busy_desk("speech_recognition")
    query = context.waiting[0]
    view = context.bulk.view(query)
    plans = [view.plan(number) for number in range(len(view))]
    assert plans == list(context.candidates(query, "enumeration"))
    wide = context.bulk.view(query, WIDE)
    assert set(plans) < {wide.plan(number) for number in range(len(wide))}
    assert view.latency_factors.flags.writeable is False


@pytest.mark.parametrize(("application", "choices"), SPACES)
def test_records_are_the_figures_in_order_of_configurations(application, choices):
    context, _ = busy_desk(application)
    view = context.bulk.view(context.waiting[0], choices)
    records = view.records
    assert records.order[records.place].tolist() == list(range(len(view)))
    for index, (begin, end) in enumerate(pairwise(records.ends.tolist())):
        assert (view.configuration[records.order[begin:end]] == index).all()
    assert records.ends[-1] == len(view)
    for each in (view, view.at_speed(np.full(view.station.shape, 2.0))):
        figures = {
            STATION: each.station,
            KEY: each.operator_key,
            SERVERS: each.servers,
            AT_ONCE: each.at_once,
            LATENCY: each.latency_factors,
            CAPACITY: each.capacity_factors,
            CROWDED: each.crowded_factors,
        }
        for column, figure in figures.items():
            np.testing.assert_array_equal(each.records.served[records.place, :, column], figure)
        for number, way in enumerate((each, *each.ways)):
            links = (way.access_s, way.backhaul_s, way.backhaul_up_s, way.fixed_s)
            np.testing.assert_array_equal(
                each.records.met[records.place, number], np.column_stack(links)
            )


@pytest.mark.parametrize(
    "wrong",
    [
        {"thread_percents": (0,)},
        {"thread_percents": (101,)},
        {"max_batches": ()},
        {"replicas": (1, 1)},
        {"replicas": (1.5,)},
        {"max_wait_s": -1.0},
    ],
)
def test_choices_that_no_machine_offers_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Choices(**wrong)


def test_choices_given_as_lists_are_those_given_as_tuples():
    assert Choices([100, 50]) == Choices((100, 50))
    assert hash(Choices([100, 50])) == hash(Choices((100, 50)))
