"""Beliefs about a query's plans after telemetry has shown how slow things are."""

from dataclasses import replace

import numpy as np
import pytest
from compass_worlds import market, with_context
from worlds import queries_at

from planners.compass.runtime.watch import active_record
from planners.compass.search.history import WarmStart
from planners.compass.search.planning_model import PlanningModel
from planners.compass.search.query_plans import ProfiledSizes, QueryPlans
from planners.compass.search.search import CmboSearch
from planners.compass.state.records import ProfiledConfig, SearchState, Slowness
from sim import Choices

LINKS = 3.0


def at_query(action):
    """Act once at the planning context, for a query that waits."""
    acted = []

    def act(context):
        if context.waiting and not acted:
            acted.append(True)
            action(context, context.waiting[0])

    with_context(act, queries_at(1.0))
    assert acted


def shown(context, query):
    """Return what profiling the first configuration shows."""
    measured = context.profile(query, context.world.pipeline.configurations[0], 32).measurement
    return ProfiledConfig(0.9, 0.0, None, 32, measured.operator_mean_s, 0.2, measured.normalised)


def test_slow_links_are_believed_slow_in_all_that_was_observed_of_them():
    """Windows tell of transmission and propagation together, and the uplink is a queue."""

    def act(context, query):
        view, seen = context.bulk.view(query, Choices()), shown(context, query)
        sizes = ProfiledSizes.of([seen], len(seen.operator_time_s))
        plans = np.flatnonzero(view.configuration == 0)
        usual, slow = (
            QueryPlans(context, query, market(context), view, 1.0, Slowness(links=links))
            for links in (1.0, LINKS)
        )
        at = np.zeros(len(plans), dtype=np.int64)
        before_s, after_s = (each.latency_s(plans, at, sizes, 0.5) for each in (usual, slow))
        nominal_s = (view.access_s + view.backhaul_s + view.fixed_s)[plans]
        expected_s = context.bulk.predict_many(
            query,
            view,
            plans,
            sizes.operator_time_s,
            sizes.time_cv,
            0.5,
            sizes.normalised,
            at,
            links_slower=LINKS,
        )[1]
        np.testing.assert_array_equal(after_s, expected_s)
        assert (after_s[nominal_s > 0] > before_s[nominal_s > 0]).all()
        np.testing.assert_allclose((slow.sent_s + slow.fixed_s)[plans], LINKS * nominal_s)
        on_device = (view.station[plans] < 0).all(axis=1)
        assert (view.fixed_s[plans] > 0).any()
        np.testing.assert_array_equal(after_s[on_device], before_s[on_device])

    at_query(act)


def test_a_plan_ordered_after_that_is_expected_to_be_as_slow():
    """Or its first window would show the same slowness once more."""

    def act(context, query):
        view, pools = context.bulk.view(query, Choices()), market(context).pools
        remote = (view.configuration == 0) & (view.station >= 0).any(axis=1)
        number = int(np.flatnonzero(remote)[0])
        plan, seen = view.plan(number), {0: shown(context, query)}
        usual, slow = (
            active_record(
                context,
                query,
                pools,
                view,
                number,
                plan,
                SearchState(seen, slowness=Slowness(links=links)),
                0.5,
            )
            for links in (1.0, LINKS)
        )
        assert slow.links_s == LINKS * usual.links_s > 0
        assert (slow.device_s, slow.elsewhere_s) == (usual.device_s, usual.elsewhere_s)

    at_query(act)


def test_slow_devices_and_stations_are_believed_slow_where_they_compute():
    def act(context, query):
        view, made = context.bulk.view(query, Choices()), market(context)
        usual, device, elsewhere = (
            QueryPlans(context, query, made, view, 1.0, Slowness(**slow))
            for slow in ({}, {"device": 2.0}, {"elsewhere": 3.0})
        )
        for load in (0.0, 0.5):
            factors, here = usual.factors(load), view.station < 0
            assert here.any()
            assert not here.all()
            np.testing.assert_allclose(device.factors(load), np.where(here, 2, 1) * factors)
            np.testing.assert_allclose(elsewhere.factors(load), np.where(here, 1, 3) * factors)

    at_query(act)


def test_an_unknown_variance_counts_as_the_largest_possible_one():
    """Accuracies lie between 0 and 1."""

    def act(context, query):
        search, made, seen = CmboSearch(), market(context), shown(context, query)
        unknown, largest, small = (
            search.beliefs(
                context,
                query,
                made,
                SearchState({0: replace(seen, variance=variance)}),
            )
            .configurations.history()
            .accuracy
            for variance in (np.inf, 1.0, 0.01)
        )
        np.testing.assert_array_equal(unknown, largest)
        assert (small != largest).any()

    at_query(act)


def test_others_are_not_told_of_an_infinite_variance():
    """A shared model of accuracy would have no finite beliefs any more."""

    def act(context, query):
        search, seen = CmboSearch(warm_start=WarmStart(sharing="pooled")), shown(context, query)
        one = SearchState({0: replace(seen, variance=np.inf, count=1)})
        told = search.beliefs(context, query, market(context), one).configurations.history()
        assert told.seen.variance.tolist() == [1.0]
        assert np.isfinite(told.accuracy).all()

    at_query(act)


def test_devices_differ_from_the_catalogue_by_no_more_than_a_millionfold():
    assert PlanningModel(device_spread=10.0).device_spread == 10.0
    with pytest.raises(ValueError, match=r"device_spread=10\.1: must"):
        PlanningModel(device_spread=10.1)
