"""Drift of queries: which of them an event affects, and how."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_queries import drawn, near

from scenarios.applications.shipped import shipped_application
from scenarios.drift import DriftEvent


@pytest.mark.parametrize(("share", "count"), [(0.0, 200), (0.3, 800), (1.0, 200)])
def test_drift_affects_its_share_of_queries(share, count):
    event = DriftEvent("device_slowdown", at_s=5.0, factor=0.5, share=share)
    queries = drawn(event, count=count)
    hit = sum(truth.slowdowns == ((5.0, 0.5),) for _, truth in queries)
    assert sum(truth.slowdowns != () for _, truth in queries) == hit
    assert near(hit / len(queries), share, len(queries))


def test_two_events_affect_queries_independently():
    events = [DriftEvent("device_slowdown", at_s=5.0 + i, factor=0.5, share=0.5) for i in range(2)]
    queries = drawn(*events)
    both = sum(len(truth.slowdowns) == 2 for _, truth in queries)
    assert near(both / len(queries), 0.25, len(queries))
    assert all(list(t.slowdowns) == sorted(t.slowdowns) for _, t in queries)


def test_the_queries_of_an_event_depend_on_no_other_event_and_no_order():
    slow = DriftEvent("device_slowdown", at_s=20.0, factor=0.5, share=0.5)
    again = DriftEvent("device_slowdown", at_s=40.0, factor=0.3, share=0.3)
    shift = DriftEvent("content_shift", at_s=10.0, factor=0.5, share=0.5)
    failure = DriftEvent("machine_failure", at_s=5.0, node="cloud")
    alone = [truth.slowdowns for _, truth in drawn(slow, again, count=300)]
    assert 50 < sum(map(len, alone)) < 300
    for events in ((again, slow), (failure, slow, shift, again), (shift, again, slow, failure)):
        assert [truth.slowdowns for _, truth in drawn(*events, count=300)] == alone
    one, other = (
        [bool(truth.slowdowns) for _, truth in drawn(slow, count=300)],
        [len(truth.content) > 1 for _, truth in drawn(replace(shift, at_s=290.0), count=300)],
    )
    assert one != other


def test_link_degradation_scales_capacity_from_its_time_on():
    calm = drawn(count=300)
    worse = drawn(DriftEvent("link_degradation", at_s=200.0, factor=0.25), count=300)
    for (query, before), (_, after) in zip(calm, worse, strict=True):
        # The first step of a second that begins at the event or after it.
        begins_s = query.arrival_s + np.arange(len(before.uplink_bytes_per_s))
        from_step = int((begins_s < 200.0).sum())
        for name in ("uplink_bytes_per_s", "downlink_bytes_per_s"):
            old, new = getattr(before, name), getattr(after, name)
            assert (old[:from_step] == new[:from_step]).all()
            assert np.abs(new[from_step:] - old[from_step:] * 0.25).max(initial=0) <= 1


def test_content_shift_moves_towards_the_hardest_stratum_and_stays_a_mixture():
    shift = DriftEvent("content_shift", at_s=100.0, factor=0.4)
    application = shipped_application("speech_recognition")
    calm = drawn(count=300, datasets={"VOiCES": 1.0})
    shifted = drawn(shift, count=300, datasets={"VOiCES": 1.0})
    assert any(query.arrival_s > 100 for query, _ in calm)
    for (query, old), (_, truth) in zip(calm, shifted, strict=True):
        dataset = application.datasets[query.dataset]
        hardest = dataset.accuracy.mean(axis=0).argmin()
        ((_, before),) = old.content
        at_s, after = truth.content[-1]
        assert at_s == max(100.0, query.arrival_s)
        assert len(truth.content) == (2 if query.arrival_s < 100.0 else 1)
        assert after.sum() == pytest.approx(1)
        assert (after >= 0).all()
        assert after[hardest] == pytest.approx(0.6 * before[hardest] + 0.4)
        assert (dataset.expected_accuracy(after) <= dataset.expected_accuracy(before) + 0.2).all()
        assert dataset.expected_accuracy(after).mean() < dataset.expected_accuracy(before).mean()


def test_content_ramps_towards_the_hardest_stratum_and_returns():
    event = DriftEvent("content_shift", at_s=100.0, factor=0.4, ramp_s=20.0, duration_s=30.0)
    later = DriftEvent("content_shift", at_s=120.0, factor=0.5)
    calm = drawn(count=80, datasets={"VOiCES": 1.0}, lifetime_min_s=200.0, lifetime_mean_s=300.0)
    changed = drawn(
        event,
        later,
        count=80,
        datasets={"VOiCES": 1.0},
        lifetime_min_s=200.0,
        lifetime_mean_s=300.0,
    )
    accuracy = shipped_application("speech_recognition").datasets["VOiCES"].accuracy
    hardest = accuracy.mean(axis=0).argmin()
    for (_, old), (_, new) in zip(calm, changed, strict=True):
        before = old.content[0][1][hardest]
        at = {time_s: weights[hardest] for time_s, weights in new.content}
        assert len(at) == len(new.content) == 1 + 20 + 20
        assert at[110.0] == pytest.approx(1 - (1 - 0.2) * (1 - before))
        # At the top of the ramp, the second event takes half of the rest.
        assert at[120.0] == pytest.approx(1 - 0.5 * (1 - 0.4) * (1 - before))
        assert at[140.0] == pytest.approx(1 - 0.5 * (1 - 0.2) * (1 - before))
        assert at[150.0] == pytest.approx(1 - 0.5 * (1 - before))
        assert list(at) == sorted(at)


def test_links_and_devices_follow_a_cycle_whenever_their_query_arrives():
    events = [
        DriftEvent(kind, at_s=7.0, factor=0.4, period_s=96.0, duration_s=400.0)
        for kind in ("link_degradation", "device_slowdown")
    ]
    for (query, before), (_, after) in zip(
        drawn(count=300), drawn(*events, count=300), strict=True
    ):
        times_s = query.arrival_s + np.arange(len(before.uplink_bytes_per_s))
        step = np.floor((times_s - 7) / 2)  # 48 steps of 2 s
        level = (1 - np.cos(2 * np.pi * step / 48)) / 2 * ((times_s >= 7) & (times_s < 407))
        expected = before.uplink_bytes_per_s * (1 - 0.6 * level)
        assert np.abs(after.uplink_bytes_per_s - expected).max() <= 1
        for time_s, each in list(zip(times_s, level, strict=True))[::17]:
            speed = np.prod([factor for at_s, factor in after.slowdowns if at_s <= time_s])
            assert speed == pytest.approx(1 - 0.6 * each)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"kind": "rate_change", "factor": -3.0}, "factor=-3.0: must be above 0, and 100 or less"),
        ({"factor": 1.5}, "factor=1.5: must be above 0, and 1 or less"),
        ({"kind": "rate_change", "share": 0.5}, "share=0.5: has no effect on a rate_change"),
        ({"ramp_s": 9.0, "duration_s": 5.0}, "ramp_s=9.0: must be at most duration_s, 5.0"),
        ({"ramp_s": 9.0, "period_s": 90.0}, "ramp_s=9.0: give this or period_s, not both"),
        ({"period_s": 1.0}, "period_s=1.0: must lie between 60 and"),
        ({"kind": "planner_crash", "ramp_s": 1.0}, "ramp_s=1.0: has no effect on a planner_crash"),
    ],
)
def test_shapes_without_sense_are_refused(values, reason):
    with pytest.raises(ValueError, match=reason):
        DriftEvent(**values)


def test_events_that_affect_no_query_change_nothing():
    events = [
        DriftEvent("planner_crash", at_s=100.0),
        DriftEvent("machine_failure", at_s=100.0, node="edge"),
        DriftEvent("mps_fault", at_s=100.0, node="edge"),
    ]
    changes = {"count": 300, "datasets": {"VOiCES": 1.0}}
    alone, among = drawn(**changes), drawn(*events, **changes)
    for (query, truth), (other, its) in zip(alone, among, strict=True):
        assert query == other
        assert truth.slowdowns == ()
        for one, another in zip(truth.content, its.content, strict=True):
            assert one[0] == another[0]
            np.testing.assert_array_equal(one[1], another[1])
        assert (truth.slowdowns, truth.departure_s) == (its.slowdowns, its.departure_s)
        np.testing.assert_array_equal(truth.uplink_bytes_per_s, its.uplink_bytes_per_s)
