"""What a search has profiled, as arrays."""

import numpy as np
import pytest
from worlds import asked, queries_at, scenario

from planners.common.trials import Trials


def with_desk(ask, budget_s=60.0, calls=1):
    return asked(ask, scenario(100.0, workload=queries_at(1.0)), budget_s, calls)


def test_what_is_known_costs_nothing_again():
    def ask(context, query):
        trials = Trials(context, query, 32)
        assert trials.run(3)
        left_s = context.remaining(query)
        assert trials.run(3)
        return trials.known, context.remaining(query) - left_s

    assert with_desk(ask) == [([3], 0.0)]


def test_the_next_search_knows_what_the_last_one_did():
    def ask(context, query):
        trials = Trials(context, query, 32)
        known = list(trials.known)
        trials.run(3 + len(known))
        return known, trials.accuracy[3], trials.operator_time_s[3].sum()

    first, second = with_desk(ask, calls=2)
    assert first[0] == []
    assert second[0] == [3]
    assert second[1:] == first[1:]


def test_a_run_that_the_budget_cuts_below_half_does_not_count():
    def ask(context, query):
        trials = Trials(context, query, 1000)
        return trials.run(0), trials.known

    assert with_desk(ask, budget_s=0.3) == [(False, [])]


def test_a_trial_that_is_cut_to_one_item_does_not_count():
    def ask(context, query):
        trials = Trials(context, query, 2)
        one = context.world.pipeline.configurations[0]
        assert context.profile(query, one, 1).count == 1
        context.charge(query, count=10**9)
        return trials.run(0), trials.known

    assert with_desk(ask) == [(False, [])]


def test_latencies_are_those_that_the_desk_predicts():
    def ask(context, query):
        trials, view = Trials(context, query, 32), context.bulk.view(query)
        trials.run(7)
        plans = np.flatnonzero(view.configuration == 7)
        predicted = [context.predict(query, view.plan(each)).latency_quantile_s for each in plans]
        return trials.latency_s(view, plans), predicted

    ((many, single),) = with_desk(ask)
    assert len(single) > 10
    assert many == pytest.approx(single)


def test_new_data_leave_nothing_known():
    def ask(context, query):
        trials = Trials(context, query, 32)
        trials.run(7)
        before = trials.accuracy[7]
        trials.renew()
        known, again = list(trials.known), list(Trials(context, query, 32).known)
        left_s = context.remaining(query)
        trials.run(7)
        return known, again, before != trials.accuracy[7], left_s - context.remaining(query) > 0.01

    assert with_desk(ask) == [([], [], True, True)]


def test_a_run_of_all_the_items_there_are_counts_even_if_more_were_asked_for():
    def ask(context, query):
        items = len(context.bulk.features(query))
        trials = Trials(context, query, 3 * items)
        return trials.run(0), trials.known

    assert with_desk(ask, budget_s=1000.0) == [(True, [0])]
