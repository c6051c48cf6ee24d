"""What audits show about a query's accuracy."""

from functools import partial

import numpy as np
import pytest
from compass_worlds import with_context
from hypothesis import given
from hypothesis import strategies as st
from worlds import queries_at

from planners.compass.profiling.estimates import simple_mean
from planners.compass.runtime.audits import (
    DRIFTED_S,
    NOTHING,
    TESTED,
    Audits,
    means_of_last,
    note_drift,
    others_drifted,
    with_more,
)
from planners.compass.state.records import ProfiledConfig

ITEMS = 48


def audits(*means, sd=0.4, seed=0):
    """Return audits of items with these means."""
    rng = np.random.default_rng(seed)
    sums = NOTHING
    for mean in means:
        sums = with_more(sums, rng.normal(mean, sd, ITEMS))
    return Audits(0, 0.0, sums)


def shown(accuracy, count=400, sd=0.4):
    return ProfiledConfig(accuracy, sd**2 / count, True, count, np.ones(2), 0.0, (1.0, 1.0))


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=50), st.integers(1, 49))
def test_property_sums_have_the_mean_of_all_items(accuracy, first):
    items = np.array(accuracy)
    first = min(first, len(items) - 1)
    sums = with_more(with_more(NOTHING, items[:first]), items[first:])
    assert means_of_last(sums)[-1] == pytest.approx(simple_mean(items), abs=1e-9)


def test_a_large_step_shows_in_one_audit_whatever_came_before():
    before = (0.8,) * 15
    assert not audits(*before).changed(shown(0.8), 0.001)
    assert audits(*before, 0.4).changed(shown(0.8), 0.001)
    assert audits(*before, 0.4).missed(0.7, 0.01)


def test_a_small_step_shows_in_many():
    before = (0.8,) * 8
    assert not audits(*before, 0.7).changed(shown(0.8), 0.001)
    assert audits(*before, *(0.7,) * 8).changed(shown(0.8), 0.001)


def test_audits_before_make_up_for_a_short_profile():
    """Sixteen items alone could not tell; the queries that were sure of it are in their place."""
    short = shown(0.8, count=16)
    assert not audits(0.6, 0.6).changed(short, 0.001)
    assert audits(*(0.8,) * 10, 0.6, 0.6).changed(short, 0.001)


def test_without_a_change_alarms_are_as_rare_as_told():
    many = [audits(*(0.8,) * TESTED[-1], seed=seed) for seed in range(400)]
    alarms = sum(each.changed(shown(0.8), 0.001) for each in many)
    assert alarms <= 6  # Five tests each, which see much of the same.


def test_without_audits_nothing_is_missed_or_changed():
    assert not Audits(0, 0.0).missed(0.5, 0.01)
    assert not Audits(0, 0.0).changed(shown(0.5), 0.01)


def test_the_last_audits_are_kept_and_one_without_items_tells_nothing():
    sums = audits(*(0.8,) * (TESTED[-1] + 3)).sums
    assert len(sums) == TESTED[-1]
    assert (with_more(sums, np.zeros(0)) == sums).all()
    more = with_more(sums, np.array([0.5, 1.0]))
    assert (more[:-1] == sums[1:]).all()
    assert more[-1].tolist() == [2.0, 1.5, 1.25]


@pytest.mark.parametrize(
    ("now_s", "found_s", "others"),
    [
        (3.0, (1.0, 2.0), True),
        (125.0, (), False),
        (125.0, (6.0,), False),
        (125.0, (1.0, 2.0), False),
        (125.0, (1.0, 120.0), False),
        (125.0, (6.0, 7.0), True),
        (245.0, (123.0, 124.0), False),
        (245.0, (126.0, 127.0), True),
    ],
)
def test_drift_is_common_if_two_alarms_came_within_two_minutes(now_s, found_s, others):
    told = []

    def act(context):
        for query in context.waiting:
            context.remember((DRIFTED_S, query.dataset), found_s)
            told.append(others_drifted(context, query))

    with_context(act, queries_at(now_s), horizon_s=now_s + 1)
    assert told == [others]


def test_alarms_are_forgotten_after_two_minutes():
    kept = []

    def act(context):
        for query in context.waiting:
            note_drift(context, query)
            kept.append(context.recall((DRIFTED_S, query.dataset)))

    made = with_context(act, queries_at(3.0, 100.0, 124.0, 250.0), horizon_s=251.0)
    assert made.planner_errors == []
    assert kept[0] == (3.0,)
    assert kept[-1][-1] == 250.0
    assert min(kept[-1]) > 130.0


@pytest.mark.parametrize(("above", "least", "most"), [(0.0, 0.6, 0.8), (0.02, 0.05, 0.2)])
def test_repeated_tests_of_the_floor_raise_as_many_false_alarms_as_the_docs_say(above, least, most):
    alarmed = [
        alarmed_once(seed, 0.8 + above, lambda found: found.missed(0.8, 0.01))
        for seed in range(150)
    ]
    assert least < np.mean(alarmed) < most


def test_repeated_tests_of_drift_raise_as_many_false_alarms_as_the_docs_say():
    alarmed = [
        alarmed_once(seed, 0.8, partial(Audits.changed, seen=profiled(seed), alpha=0.001))
        for seed in range(150)
    ]
    assert 0.15 < np.mean(alarmed) < 0.35


def profiled(seed):
    """Return what profiling shows of a configuration whose accuracy is 0.8."""
    items = np.random.default_rng((seed, 1)).normal(0.8, 0.2, 192)
    return shown(items.mean(), len(items), items.std(ddof=1))


def alarmed_once(seed, accuracy, alarms):
    """Return whether any of 120 audits of a query without a change raises an alarm."""
    rng, found = np.random.default_rng(seed), Audits(0, 0.0)
    for _ in range(120):
        found = found._replace(sums=with_more(found.sums, rng.normal(accuracy, 0.2, ITEMS)))
        if alarms(found):
            return True
    return False
