"""Predictions in bulk equal those of single plans, and are slowed by what others load."""

from itertools import islice
from math import inf

import numpy as np
import pytest
from busy_desk import APPLICATIONS, SPACES, busy_desk, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BRANCHED, Does, run, scenario

from scenarios.cluster import DEVICE, FIFO
from scenarios.network import PROCESSOR_SHARING
from sim import Estimate, PlannerError


@pytest.mark.parametrize(("application", "choices"), SPACES)
@settings(max_examples=20, deadline=None)
@given(data=st.data(), samples=st.integers(2, 40))
def test_property_predictions_in_bulk_equal_those_of_single_plans(
    application, choices, samples, data
):
    context, _ = busy_desk(application)
    query, view, numbers = drawn(data, context, choices)
    plans = [view.plan(number) for number in numbers]
    bench = context._service.bench(query, 0)  # itself, as no budget would suffice for all examples
    measured = [Estimate(bench.measure(plan.configuration, np.arange(samples))) for plan in plans]
    mean_s, quantile_s = context.bulk.predict_many(
        query,
        view,
        np.array(numbers),
        np.array([each.measurement.operator_mean_s for each in measured]),
        np.array([each.measurement.time_cv for each in measured]),
        normalised=np.array([each.measurement.normalised for each in measured]),
    )
    for number, (plan, estimate) in enumerate(zip(plans, measured, strict=True)):
        one = context.predict(query, plan, estimate)
        assert mean_s[number] == pytest.approx(one.latency_mean_s, rel=1e-9)
        assert quantile_s[number] == pytest.approx(one.latency_quantile_s, rel=1e-9)


@pytest.mark.parametrize("application", [APPLICATIONS[0], BRANCHED])
def test_predictions_in_bulk_equal_those_of_single_plans_where_messages_share_links(application):
    context, _ = busy_desk(application, links=PROCESSOR_SHARING)
    query, bench = context.waiting[0], context._service.bench(context.waiting[0], 0)
    view = context.bulk.view(query)
    numbers = range(0, len(view), len(view) // 30)
    plans = [view.plan(number) for number in numbers]
    measured = [Estimate(bench.measure(plan.configuration, np.arange(9))) for plan in plans]
    many = context.bulk.predict_many(
        query,
        view,
        np.array(numbers),
        np.array([each.measurement.operator_mean_s for each in measured]),
        np.array([each.measurement.time_cv for each in measured]),
        normalised=np.array([each.measurement.normalised for each in measured]),
    )
    ones = [context.predict(query, *each) for each in zip(plans, measured, strict=True)]
    assert any(0 < each.latency_mean_s < inf for each in ones)
    np.testing.assert_allclose(many[0], [each.latency_mean_s for each in ones], rtol=1e-9)
    np.testing.assert_allclose(many[1], [each.latency_quantile_s for each in ones], rtol=1e-9)


def test_latency_without_queueing_is_that_of_the_slowest_way():
    context, world = busy_desk(BRANCHED)
    query = context.waiting[0]
    view, nominal = context.bulk.view(query), world.planning_service.nominal
    slowest = set()
    for number in range(0, len(view), len(view) // 50):
        plan = view.plan(number)
        crossings = list(nominal.crossings(query, plan))
        estimate = context.profile(query, plan, 16)
        times_s = estimate.measurement.operator_time_s * estimate.latency_factors
        ways_s = []
        for path in context.world.pipeline.paths:
            met = [crossing for crossing in crossings if crossing.edge in path.edges]
            moved_s = sum(
                8 * crossing.mean_bytes / nominal.capacity_bps(query, crossing) for crossing in met
            )
            fixed_s = sum(nominal.propagation_s(query, crossing) for crossing in met)
            served_s = times_s[:, list(path.operators)].sum(axis=1)
            ways_s.append(fixed_s + served_s + moved_s * estimate.measurement.size)
        assert estimate.latency_s == pytest.approx(np.max(ways_s, axis=0))
        slowest.update(np.argmax(ways_s, axis=0).tolist())
    assert slowest == {0, 1}


def test_plans_may_be_named_by_any_sequence_and_times_by_one_row():
    context, _ = busy_desk(APPLICATIONS[0])
    query = context.waiting[0]
    view = context.bulk.view(query)
    row = np.full(view.station.shape[1], 0.1)
    expected = context.bulk.predict_many(
        query, view, np.arange(9), np.tile(row, (9, 1)), np.full(9, 0.5)
    )
    for indices in (range(9), list(range(9))):
        given = context.bulk.predict_many(
            query, view, indices, row.tolist(), 0.5, normalised=(1, 1)
        )
        assert [each.tolist() for each in given] == [each.tolist() for each in expected]


@pytest.mark.parametrize("load", ["present", 0.5])
def test_plans_may_share_rows_and_be_slower_on_the_device_or_elsewhere(load):
    context, _ = busy_desk(APPLICATIONS[0])
    query = context.waiting[0]
    view = context.bulk.view(query)
    rng = np.random.default_rng(5)
    times_s, cv = rng.uniform(0.01, 0.2, (3, view.station.shape[1])), rng.uniform(0.1, 1.0, 3)
    factors, row = rng.uniform(0.5, 2.0, (3, 2)), rng.integers(3, size=len(view))
    slower = np.where(view.station < 0, 2.0, 3.0)
    every = np.arange(len(view))
    expected = context.bulk.predict_many(
        query, view, every, slower * times_s[row], cv[row], load, factors[row]
    )
    given = context.bulk.predict_many(
        query, view, every, times_s, cv, load, factors, row=row, slower=(2.0, 3.0)
    )
    assert [each.tolist() for each in given] == [each.tolist() for each in expected]


@pytest.mark.parametrize(("links", "share"), [(FIFO, 0.5), (PROCESSOR_SHARING, 1.0)])
def test_links_may_be_slower_in_transmission_propagation_and_as_a_queue(links, share):
    """As on an uplink of a third of the bandwidth, with messages that delay each other.

    Equal messages that share a link delay each other twice as much as if they wait (M/G/1).
    """
    context, _ = busy_desk(APPLICATIONS[0], links=links)
    query = context.waiting[0]
    view = context.bulk.view(query)
    every = np.arange(len(view))
    times_s = np.full((len(view), view.station.shape[1]), 1e-9)
    usual_s, slow_s = (
        context.bulk.predict_many(query, view, every, times_s, 0.0, 0.0, links_slower=slower)[0]
        for slower in (1.0, 3.0)
    )
    sent = query.requests_per_s * view.access_s
    used = sent > 0
    wait_s = share * view.access_s * sent / (1 - sent)
    slow_wait_s = share * 3 * view.access_s * 3 * sent / (1 - 3 * sent)
    assert used.any()
    assert (3 * sent[used] < 1).all()
    links_s = view.access_s + view.backhaul_s + view.fixed_s
    more_s = 2 * links_s + slow_wait_s - wait_s
    rtol = 1e-6 if links == FIFO else 1e-4  # Others slow the query's own messages on the backhaul.
    np.testing.assert_allclose((slow_s - usual_s)[used], more_s[used], rtol=rtol)
    np.testing.assert_array_equal(slow_s[~used & (links_s == 0)], usual_s[~used & (links_s == 0)])
    jammed = context.bulk.predict_many(
        query, view, every, times_s, 0.0, 0.0, links_slower=1.01 / sent[used].min()
    )[0]
    assert np.isinf(jammed[used]).all()


@pytest.mark.parametrize("application", APPLICATIONS)
def test_load_of_other_queries_slows_predictions_for_shared_stations(application):
    """Without it, the equality above could hold for an idle cluster only."""
    context, world = busy_desk(application)
    query = context.waiting[0]
    view = context.bulk.view(query)
    times_s = world.scenario.application.datasets[query.dataset].service_time_s[view.configuration]
    everything = np.arange(len(view))
    now, _ = context.bulk.predict_many(query, view, everything, times_s, 0.5)
    alone, _ = context.bulk.predict_many(query, view, everything, times_s, 0.5, load=0.0)
    shared = [context.bulk.view(query).plan(int(number)) for number in np.flatnonzero(now != alone)]
    keys = {key for key in world.machines.stations if key[2] != DEVICE}
    assert shared
    for plan in shared[:50]:
        stations = {
            (
                at,
                context.world.pipeline.operator_key(at, plan.configuration),
                place,
                plan.allocation[at],
            )
            for at, place in enumerate(plan.placement)
        }
        assert stations & keys


def test_a_design_load_is_slower_than_none_and_never_below_the_own_load():
    context, world = busy_desk("speech_recognition")
    query = context.waiting[0]
    view = context.bulk.view(query)
    times_s = world.scenario.application.datasets[query.dataset].service_time_s[view.configuration]
    everything = np.arange(len(view))
    light, _ = context.bulk.predict_many(query, view, everything, times_s, 0.5, load=0.0)
    heavy, tail = context.bulk.predict_many(query, view, everything, times_s, 0.5, load=0.7)
    finite = np.isfinite(light)
    off_device = (view.station >= 0).any(axis=1)
    assert np.isfinite(heavy[finite]).all()
    assert (heavy[finite & off_device] > light[finite & off_device]).all()
    assert heavy[~off_device] == pytest.approx(light[~off_device], nan_ok=True)
    assert (tail[finite] > heavy[finite]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"load": 1.0},
        {"load": "average"},
        {"operator_time_s": np.ones(3)},
        {"time_cv": np.ones(5)},
        {"operator_time_s": np.ones((2, 4)), "row": np.zeros(6, dtype=np.int64)},
    ],
)
def test_predictions_of_what_does_not_fit_together_are_refused(wrong):
    context, _ = busy_desk("speech_recognition")
    query = context.waiting[0]
    usual = {"operator_time_s": np.ones(4), "time_cv": 0.5}
    with pytest.raises(PlannerError):
        context.bulk.predict_many(query, context.bulk.view(query), np.arange(7), **usual | wrong)


@pytest.mark.parametrize("wrong", [{"indices": [-1]}, {"indices": [10**9]}, {"row": [2]}])
def test_predictions_of_plans_or_rows_that_are_not_there_are_refused(wrong):
    context, _ = busy_desk("speech_recognition")
    query = context.waiting[0]
    usual = {"indices": [0], "operator_time_s": np.ones((2, 4)), "time_cv": 0.5, "load": 0.0}
    with pytest.raises(IndexError, match="no such plan, or no such row"):
        context.bulk.predict_many(query, context.bulk.view(query), **usual | {"row": [1]} | wrong)


def test_predictions_in_bulk_are_charged_by_the_thousand():
    charged = []

    def act(context):
        for query in islice(context.waiting, 1):
            view = context.bulk.view(query)
            for many in (1, 1000, 1001):
                before = context.remaining(query)
                context.bulk.predict_many(query, view, np.arange(many), np.ones(4), 0.5)
                charged.append(before - context.remaining(query))

    run(scenario(horizon_s=30.0), Does(act))
    assert charged[:3] == pytest.approx([20e-6, 20e-6, 40e-6])
