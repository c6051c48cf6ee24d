"""Draws of queries: content, service levels, shares, drift."""

from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from worlds import scenario

from hardware_models.tables import TableSet, UserTable, using_tables
from scenarios import queries
from scenarios.applications.shipped import shipped_application
from scenarios.arrivals import ArrivalProcess, Poisson
from scenarios.cluster import Cluster, Node, Profiling
from scenarios.drift import Drift, DriftEvent
from scenarios.link_traces import MOST_BPS
from scenarios.network import Network
from scenarios.queries import UNSEEN_S, arrival_times_s, births
from scenarios.scenario import Scenario
from scenarios.slo import SLO, Tier
from scenarios.workload import Workload

TIERS = {
    "premium": Tier(1.0, latency_s=1.0, accuracy_of_best=0.95),
    "standard": Tier(2.0, latency_s=2.0),
    "economy": Tier(1.0, cost_usd_per_hour=0.5),
}


def drawn(*events, count=800, seed=1, network=None, **changes):
    workload = Workload(rate=1.0, tiers=TIERS, **changes)
    made = scenario(float(count), workload=workload, drift=Drift(list(events)))
    return list(births(replace(made, network=network or Network()), seed))


@pytest.fixture(scope="module")
def calm():
    return drawn()


def shares(values, count):
    """Return each value's share."""
    names, counts = np.unique(values, return_counts=True)
    return dict(zip(names.tolist(), counts / count, strict=True))


def near(share, expected, count):
    return abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / count)


def test_queries_are_numbered_in_order_of_arrival(calm):
    assert [query.id for query, _ in calm] == list(range(len(calm)))
    arrivals = [query.arrival_s for query, _ in calm]
    assert arrivals == sorted(arrivals)


def test_content_is_a_mixture_of_strata_around_the_data_sets_own(calm):
    datasets = shipped_application("speech_recognition").datasets
    for name, dataset in datasets.items():
        weights = np.array([truth.content[0][1] for query, truth in calm if query.dataset == name])
        assert weights.shape[1] == len(dataset.stratum_weights)
        assert (weights >= 0).all()
        assert weights.sum(axis=1) == pytest.approx(1)
        assert weights.mean(axis=0) == pytest.approx(dataset.stratum_weights, abs=0.03)


def test_concentration_makes_content_alike():
    def spread(concentration):
        queries = drawn(count=400, content_concentration=concentration, datasets={"VOiCES": 1.0})
        return np.std([truth.content[0][1] for _, truth in queries], axis=0).sum()

    assert spread(2.0) > 2 * spread(50.0)


def test_shares_of_tiers_data_sets_and_devices_are_as_wanted(calm):
    count = len(calm)
    tiers = shares([query.tier for query, _ in calm], count)
    assert near(tiers["standard"], 0.5, count)
    assert near(tiers["premium"], 0.25, count)
    datasets = shares([query.dataset for query, _ in calm], count)
    assert len(datasets) == 3
    assert all(near(share, 1 / 3, count) for share in datasets.values())
    devices = shares([query.device.name for query, _ in calm], count)
    assert len(devices) == 14
    assert all(near(share, 1 / 14, count) for share in devices.values())
    weighted = drawn(datasets={"VOiCES": 3.0, "TED-LIUM": 1.0})
    voices = shares([query.dataset for query, _ in weighted], len(weighted))
    assert set(voices) == {"VOiCES", "TED-LIUM"}
    assert near(voices["VOiCES"], 0.75, len(weighted))


def test_families_of_devices_are_drawn_by_their_shares_and_leave_the_rest_alone(calm):
    mixed = drawn(devices={"phone": 1.0, "jetson": 3.0})
    count = len(mixed)
    families = shares([query.device.family for query, _ in mixed], count)
    assert near(families["jetson"], 0.75, count)
    for (query, truth), (same, expected) in zip(mixed, calm, strict=True):
        if query.device.family == "phone":
            assert query == same
        assert truth.device_factor == expected.device_factor
        assert truth.access_rtt_s == expected.access_rtt_s


def test_lifetimes_have_their_mean_and_minimum(calm):
    lives = np.array([truth.departure_s - query.arrival_s for query, truth in calm])
    assert lives.min() >= 60
    assert abs(lives.mean() - 600) < 4 * 540 / np.sqrt(len(lives))


def test_slo_comes_from_the_tier_and_its_floor_from_what_the_content_allows(calm):
    datasets = shipped_application("speech_recognition").datasets
    for query, truth in calm[:300]:
        best = datasets[query.dataset].expected_accuracy(truth.content[0][1]).max()
        expected = {
            "premium": SLO(latency_s=1.0, accuracy=0.95 * best),
            "standard": SLO(latency_s=2.0),
            "economy": SLO(cost_usd_per_hour=0.5),
        }[query.tier]
        assert query.slo == expected


def test_hidden_speeds_are_spread_around_nominal(calm):
    factors = np.log([truth.device_factor for _, truth in calm])
    assert abs(factors.mean()) < 4 * factors.std() / np.sqrt(len(factors))
    assert factors.std() > 0
    link = Network().link("4G-LTE")
    medians = [np.median(truth.uplink_bytes_per_s) * 8 for _, truth in calm]
    assert np.median(medians) == pytest.approx(link.nominal_uplink_bps, rel=0.1)
    assert min(truth.uplink_bytes_per_s.min() for _, truth in calm) >= 1


# Drift


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_drift_affects_its_share_of_queries(share):
    queries = drawn(DriftEvent("device_slowdown", at_s=5.0, factor=0.5, share=share))
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


def test_links_of_lives_of_years_are_drawn_little_beyond_the_horizon():
    usual, long = (drawn(count=10, lifetime_mean_s=mean) for mean in (600.0, 1e9))
    for (query, before), (_, after) in zip(usual, long, strict=True):
        assert after.departure_s > 1e5
        assert len(after.uplink_bytes_per_s) == np.ceil(10 + UNSEEN_S - query.arrival_s) + 1
        many = len(before.uplink_bytes_per_s)
        assert (before.uplink_bytes_per_s == after.uplink_bytes_per_s[:many]).all()


def test_capacity_of_traces_has_outages_and_correlated_directions():
    mobile = {"LTE-driving": 1.0}
    found = {}
    for given in (None, 0.0, 0.9):
        network = Network(mobile, capacity="traces", updown_correlation=given)
        drawn_truths = [truth for _, truth in drawn(count=80, network=network)]
        pairs = [(each.uplink_bytes_per_s, each.downlink_bytes_per_s) for each in drawn_truths]
        logs = [np.log([up, down]) for up, down in pairs if len(up) > 60]
        found[given] = np.mean([np.corrcoef(each)[0, 1] for each in logs])
    assert abs(found[0.0]) < 0.1
    assert 0.15 < found[None] < 0.6
    assert found[0.9] > found[None]


def test_the_source_of_capacity_moves_no_other_draw():
    one, other = (
        drawn(count=50, network=Network({"4G-LTE": 1.0}, capacity=capacity))
        for capacity in ("traces", "speed_tests")
    )
    for (query, truth), (same, differing) in zip(one, other, strict=True):
        assert query == same
        assert truth.departure_s == differing.departure_s
        assert truth.access_rtt_s == differing.access_rtt_s
        assert not np.array_equal(truth.uplink_bytes_per_s, differing.uplink_bytes_per_s)


def test_planners_know_the_medians_that_capacity_has():
    for capacity in ("traces", "speed_tests"):
        network = Network({"4G-LTE": 1.0}, capacity=capacity)
        found = drawn(count=400, network=network)
        starts = [truth.uplink_bytes_per_s[0] * 8 for _, truth in found]
        nominal = network.link("4G-LTE").nominal_uplink_bps
        assert np.mean(np.array(starts) < nominal) == pytest.approx(0.5, abs=0.07)


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


class At(ArrivalProcess):
    """Arrivals at given times of a process of rate 1."""

    def __init__(self, *times_s):
        self.times = np.array(times_s)

    def times_s(self, rate, horizon_s, rng):
        return self.times[self.times < horizon_s]


def arrivals(*events, horizon_s=60.0, process=None, rate=1.0, seed=1):
    workload = Workload(rate=rate, tiers=TIERS, arrivals=process or Poisson())
    made = scenario(horizon_s, workload=workload, drift=Drift(list(events)))
    return arrival_times_s(made, seed)


def test_a_surge_compresses_the_time_of_arrivals():
    surge = DriftEvent("rate_change", at_s=10.0, factor=3.0, duration_s=10.0)
    process = At(5.0, 16.0, 40.0, 41.0, 79.0, 81.0)
    # From 10 to 20 s, 30 s of the process pass; until 60 s, 80 s.
    assert arrivals(surge, process=process).tolist() == [5.0, 12.0, 20.0, 21.0, 59.0]
    slump = DriftEvent("rate_change", at_s=10.0, factor=0.5)
    assert arrivals(slump, process=process).tolist() == [5.0, 22.0]
    assert arrivals(surge, slump, process=process, horizon_s=20.0).tolist() == [5.0, 14.0]


def test_a_ramp_of_arrivals_has_the_area_of_its_steps():
    ramp = DriftEvent("rate_change", at_s=10.0, factor=3.0, ramp_s=20.0)
    # The steps of 1 s from 11 s on have the levels 1 / 20, 2 / 20, ...; by 21 s, 10 of them passed.
    passed_s = 21 + 2 * sum(range(1, 11)) / 20
    found = arrivals(ramp, process=At(passed_s, passed_s + 2.1))
    assert found.tolist() == pytest.approx([21.0, 22.0])


@hypothesis.given(
    at_s=st.floats(0, 500),
    factor=st.floats(0.1, 5),
    shape=st.sampled_from(
        [
            {},
            {"duration_s": 100.0},
            {"ramp_s": 50.0},
            {"ramp_s": 50.0, "duration_s": 80.0},
            {"period_s": 200.0},
            {"period_s": 200.0, "duration_s": 300.0},
        ]
    ),
)
def test_changes_of_the_rate_leave_earlier_arrivals_alone(at_s, factor, shape):
    calm = arrivals(horizon_s=600.0)
    changed = arrivals(
        DriftEvent("rate_change", at_s=at_s, factor=factor, **shape), horizon_s=600.0
    )
    assert np.array_equal(changed[changed <= at_s], calm[calm <= at_s])
    assert (np.diff(changed) >= 0).all() and changed.max() < 600  # noqa: PT018


def test_a_cycle_of_the_rate_has_its_trough_at_its_start_and_its_peak_in_its_middle():
    cycle = DriftEvent("rate_change", factor=3.0, period_s=1200.0)
    counts, _ = np.histogram(
        np.concatenate([arrivals(cycle, horizon_s=2400.0, seed=seed) for seed in range(20)]),
        bins=np.arange(0, 2401, 100),
    )
    each = (counts[:12] + counts[12:]) / 2 / 20 / 100
    middle_s = np.arange(50, 1200, 100)
    expected = 1 + 2 * (1 - np.cos(2 * np.pi * middle_s / 1200)) / 2
    assert each == pytest.approx(expected, abs=0.3)
    assert each.mean() == pytest.approx(2, abs=0.05)


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


def test_a_surge_of_too_many_queries_and_too_many_periods_are_refused():
    with pytest.raises(ValueError, match=r"workload.rate=1000.0: of horizon_s=100000.0 that makes"):
        arrivals(DriftEvent("rate_change", factor=3.0), rate=1000.0, horizon_s=1e5)
    with pytest.raises(ValueError, match=r"drift.events.0.period_s=60.0: horizon_s=1000000.0 may"):
        arrivals(DriftEvent("rate_change", period_s=60.0), horizon_s=1e6)


def test_machine_failure_leaves_queries_alone(calm):
    failing = drawn(DriftEvent("machine_failure", at_s=5.0, node="edge"))
    assert [query for query, _ in failing] == [query for query, _ in calm]
    assert all(truth.slowdowns == () and len(truth.content) == 1 for _, truth in failing)


def test_capacities_of_links_fit_their_integers_whatever_tables_say(monkeypatch):
    def huge(marginal, normals, autocorrelation):
        return np.full(len(normals) - 1, np.inf if autocorrelation else 1e300)

    monkeypatch.setattr(queries, "capacity_series_bps", huge)
    (_, truth), *_ = drawn(count=20, network=Network(capacity="speed_tests"))
    assert (truth.uplink_bytes_per_s == MOST_BPS / 8).all()
    assert (truth.downlink_bytes_per_s == MOST_BPS / 8).all()


# What is refused


def test_devices_that_do_not_fit_the_tables_are_refused_before_any_is_drawn(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "name,family,chip,device,relative_speed,n_models,memory_bytes,memory_kind,accelerator\n"
        "Mine,phone,mine,mine,50,5,8000000000,assumption,Jetson Xavier\n",
        encoding="utf-8",
    )
    reason = "workload.devices.phone: unknown accelerator of Mine in table device_models"
    mine = TableSet({"device_models": UserTable(str(path), "merge")})
    with using_tables(mine), pytest.raises(ValueError, match=reason):
        Workload()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Workload(rate=-1), r"workload.rate=-1: must lie between 0 and"),
        (lambda: Workload(lifetime_mean_s=10), "workload.lifetime_mean_s=10: must be above"),
        (
            lambda: Workload(tiers={"free": Tier(weight=0)}),
            "workload.tiers: name at least one tier",
        ),
        (lambda: Workload(content_concentration=0), "workload.content_concentration=0"),
        (
            lambda: Workload(lifetime_mean_s=1e300),
            r"lifetime_mean_s=1e\+300: must lie between 0 and 1e\+09 s",
        ),
        # Sums of such weights are infinite.
        (
            lambda: Workload(devices={"phone": 1e308, "jetson": 1e308}),
            r"workload.devices\.phone=1e\+308: must lie between 0 and 1e\+09",
        ),
        (
            lambda: Workload(datasets={"VOiCES": 1e308, "LibriSpeech": 1e308}),
            r"workload.datasets\.VOiCES=1e\+308: must lie between 0 and 1e\+09",
        ),
        (
            lambda: Network({"WiFi": 1e308, "4G-LTE": 1e308}),
            r"network.technologies.WiFi=1e\+308: must lie between 0 and 1e\+09",
        ),
        (lambda: Tier(weight=1e308), r"weight=1e\+308: must lie between 0 and 1e\+09"),
        (
            lambda: scenario(1e9, workload=Workload(rate=10_000)),
            r"workload.rate=10000: of horizon_s=1000000000.0 that makes 1e\+13 queries",
        ),
        (
            lambda: Workload(datasets={"VOiCES": -1}),
            "workload.datasets.VOiCES=-1: must lie between",
        ),
        (
            lambda: Workload(devices={"phones": 1}),
            "workload.devices.phones: .*did you mean 'phone'",
        ),
        (lambda: Workload(devices={"phone": -1}), "workload.devices.phone=-1: must lie between"),
        (
            lambda: Network(capacity="trace"),
            r"network.capacity=trace: no such capacity; .*did you mean 'traces'",
        ),
        (
            lambda: Network(capacity="traces", autocorrelation=0.5),
            r"network.autocorrelation=0.5: needs network.capacity=speed_tests",
        ),
        (
            lambda: Network(capacity="speed_tests", updown_correlation=0.5),
            r"network.updown_correlation=0.5: needs network.capacity=traces",
        ),
        (
            lambda: Network(autocorrelation=1.0),
            r"network.autocorrelation=1.0: must be 0 or more, and below 1, or null",
        ),
        (lambda: Tier(latency_s=0), "latency_s=0: must be above 0"),
        (lambda: Tier(weight=-1), "weight=-1"),
        (
            lambda: Tier(latency_s=1e11),
            "latency_s=.*: must be above 0, and 1e\\+08 s or less, or null",
        ),
        (
            lambda: Network(backhaul_bps=1e30),
            r"network\.backhaul_bps=1e\+30: must lie between 8 and 1e\+15 bit/s",
        ),
        (lambda: Node(boot_s=1e300), r"^boot_s=1e\+300: must lie between 0 and 1e\+08 s"),
        (lambda: Node(cpu_relative_speed=1e-9), "cpu_relative_speed=1e-09: must lie between 0.001"),
        (lambda: Profiling(checkpoint_every_s=1e300), "checkpoint_every_s=.* 0.001 and 1e.08 s"),
        *(
            (
                lambda key=key: Cluster({"a": Node()}, **{key: 1e300}),
                f"cluster.{key}=.* must lie between .* and 1e.08 s",
            )
            for key in ("tick_s", "mig_create_s", "mig_destroy_s", "drain_timeout_s")
        ),
        (
            lambda: Cluster({"a": Node()}, load_bytes_per_s=1e-300),
            "cluster.load_bytes_per_s=1e-300: must be 1000 bytes/s or more",
        ),
        (lambda: Cluster({}), "an empty cluster can run nothing"),
        (lambda: Cluster({"device": Node()}), "this name is taken"),
        (lambda: Cluster({"a": Node("cloud"), "b": Node("edge")}), "edge nodes before cloud"),
        (lambda: Node(count=0), "count=0: must be 1 machine or more"),
        (lambda: Node("fog"), "tier=fog: no such tier; choose from edge, cloud"),
        (lambda: Node(machine="a2-highgpu-1"), "did you mean 'a2-highgpu-1g'"),
        (lambda: Node(standby=2), "standby=2: must lie between 0 and the node's count, 1"),
        (lambda: DriftEvent("flood"), "kind=flood: no such kind; choose from"),
        (lambda: DriftEvent(factor=0), r"factor=0: must be above 0, and 1 or less"),
        (lambda: DriftEvent("machine_failure"), "needs the node's name"),
        (lambda: Network({}), "network.technologies: name at least one"),
        (lambda: Network({"WiFi": 0.0}), "network.technologies: name at least one"),
        (
            lambda: Network({"WiFi": 1.0, "4G-LTE": -1.0}),
            "network.technologies.4G-LTE=-1.0: must lie between 0 and",
        ),
        (lambda: Network({"4G": 1.0}), "did you mean"),
        (
            lambda: shipped_application("speech_recognition", requests_per_s=0),
            "application.requests_per_s=0",
        ),
        (
            lambda: shipped_application("speech_recognition", requests_per_s=1e12),
            r"application\.requests_per_s=1000000000000\.0: must be above 0, and 10000 req",
        ),
        (
            lambda: shipped_application("speech_recognition", window_s=1e300),
            r"application\.window_s=1e\+300: must lie between 0 and 1e\+08 s",
        ),
        (
            lambda: shipped_application("speech_recognition", answer_bytes=1e300),
            r"application\.answer_bytes=1e\+300: must lie between 0 and 1e\+09 bytes",
        ),
        (
            lambda: shipped_application("speech_recognition", window_s=10),
            "too short to judge a query by",
        ),
        (lambda: scenario(-1.0), "horizon_s=-1.0: must be above 0"),
        (lambda: scenario(tick_s=0.3), "cluster.tick_s=0.3: must divide application.window_s, 40"),
        # A third of a second is no whole number of nanoseconds, though 120 of them make a window.
        (lambda: scenario(tick_s=1 / 3), "cluster.tick_s=0.33.*: must divide"),
        (lambda: scenario(workload=Workload(datasets={"Voices": 1.0})), r"did you mean 'VOiCES'"),
        (
            lambda: scenario(drift=Drift([DriftEvent("machine_failure", node="moon")])),
            "drift.events.0.node=moon: the cluster has the nodes edge, cloud; did you mean ",
        ),
        (
            lambda: scenario(drift=Drift([DriftEvent("machine_failure", node="edge", machine=1)])),
            "drift.events.0.machine=1: node edge has the machines 0 to 0",
        ),
    ],
)
def test_nonsense_is_refused_in_one_sentence(make, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_scenario_defaults_run():
    made = Scenario(shipped_application("speech_recognition"), Cluster({"cloud": Node()}))
    assert made.horizon_s == 3600


@pytest.mark.parametrize(
    "event",
    [
        DriftEvent("planner_crash", at_s=100.0),
        DriftEvent("machine_failure", at_s=100.0, node="edge"),
        DriftEvent("mps_fault", at_s=100.0, node="edge"),
    ],
    ids=lambda event: event.kind,
)
def test_an_event_that_affects_no_query_changes_nothing(event):
    changes = {"count": 300, "datasets": {"VOiCES": 1.0}}
    for (query, truth), (other, its) in zip(drawn(**changes), drawn(event, **changes), strict=True):
        assert query == other
        for one, another in zip(truth.content, its.content, strict=True):
            assert one[0] == another[0]
            np.testing.assert_array_equal(one[1], another[1])
        assert (truth.slowdowns, truth.departure_s) == (its.slowdowns, its.departure_s)
        np.testing.assert_array_equal(truth.uplink_bytes_per_s, its.uplink_bytes_per_s)
