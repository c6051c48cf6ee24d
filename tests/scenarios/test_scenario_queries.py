"""Draws of queries: content, service levels, shares, links."""

import numpy as np
import pytest
from drawn_queries import drawn, near

from scenarios import queries
from scenarios.applications.shipped import shipped_application
from scenarios.link_traces import MOST_BPS
from scenarios.network import Network
from scenarios.queries import UNSEEN_S
from scenarios.slo import SLO


def shares(values, count):
    """Return each value's share."""
    names, counts = np.unique(values, return_counts=True)
    return dict(zip(names.tolist(), counts / count, strict=True))


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


def test_capacities_of_links_fit_their_integers_whatever_tables_say(monkeypatch):
    def huge(marginal, normals, autocorrelation):
        return np.full(len(normals) - 1, np.inf if autocorrelation else 1e300)

    monkeypatch.setattr(queries, "capacity_series_bps", huge)
    (_, truth), *_ = drawn(count=20, network=Network(capacity="speed_tests"))
    assert (truth.uplink_bytes_per_s == MOST_BPS / 8).all()
    assert (truth.downlink_bytes_per_s == MOST_BPS / 8).all()
