"""The world is rough by default: the shipped values, the page that tells them, what they change."""

from functools import cache

import polars as pl
import pytest
from omegaconf import OmegaConf

from lab.config.compose import compose
from lab.hardware_tools.world_parameters import SMOOTH, STRAIGHT, parameters
from lab.runs.api import run
from scenarios.applications.shipped import shipped_applications
from scenarios.cluster import NOMINAL, Cluster, Node
from scenarios.network import Network

ROUGH = {
    "network.capacity": "traces",
    "network.updown_correlation": None,
    "network.discipline": "fifo",
    "cluster.cloud_boot_s": 124.1,
    "cluster.edge_boot_s": 32.8,
    "cluster.mig_create_s": 43.4,
    "cluster.mig_destroy_s": 0.0,
    "cluster.load_bandwidth": "per_machine",
    "cluster.service_cv": 0.015,
    "cluster.speed_log_sd": 0.02,
    "application.size_scales": "work",
}
"""Shipped defaults of the rough world, whatever the application."""

IN_WORDS = {
    "network.updown_correlation": "null: fitted",
    "application.accuracy.spread": "measured, in speech recognition",
    "application.accuracy.rank_correlation": "0.87, or 0.94 within a stratum of VOiCES",
}
"""Defaults that the validation page tells in words."""

PLAN = ("experiment=speech_small", "planner=static_plan", "horizon_s=300", "requests=true")
"""A run whose plan does not depend on what planners see."""


@pytest.mark.parametrize("application", shipped_applications())
def test_every_shipped_application_is_in_the_rough_world(application):
    config = compose([f"application={application}"])
    assert {key: OmegaConf.select(config, key) for key in ROUGH} == ROUGH
    accuracy = config.application.accuracy
    if application == "speech_recognition":
        assert (accuracy.spread, accuracy.rank_correlation) == (
            "measured",
            "clips.rank_correlation",
        )
    else:
        assert accuracy.rank_correlation == 0.87


def test_worlds_made_in_python_are_as_rough_as_those_of_files():
    cluster, network = Cluster({"cloud": Node("cloud", "a2-highgpu-1g")}), Network()
    for key, value in ROUGH.items():
        group, _, name = key.partition(".")
        if group != "application":
            assert getattr(cluster if group == "cluster" else network, name) == value


def test_the_validation_page_tells_the_defaults_of_the_configuration():
    told = {each.key: each.default for each in parameters()}
    assert told == ROUGH | IN_WORDS


def test_the_smooth_options_give_what_the_validation_page_calls_smooth():
    words = [*sum(SMOOTH.values(), ()), STRAIGHT]
    config = compose(words)
    for each in parameters():
        if each.key != "network.updown_correlation":  # it has no effect there
            assert OmegaConf.select(config, each.key) == each.smooth, each.key
    assert {key: config.cluster[key] for key in NOMINAL} == NOMINAL


@cache
def made(*words):
    """Return a run of `PLAN` with changes."""
    return run([*PLAN, *words])


def compared(*words):
    """Return the completed requests of the default world, with their times under other options."""
    default, other = (one.requests.filter(outcome="completed") for one in (made(), made(*words)))
    joined = default.join(other, on=["query", "number"], suffix="_other")
    assert joined.height > 100
    return joined


def ratio(joined, operator):
    """Return how long an operator takes by default, relative to the other options."""
    return joined[f"{operator}_compute_s"] / joined[f"{operator}_compute_s_other"]


@pytest.mark.slow
def test_links_are_slower_than_in_speed_tests():
    default, tested = made(), made("network.capacity=speed_tests")
    rates = [one.queries["true_uplink_mean_bps"].median() for one in (default, tested)]
    assert 0 < rates[0] < 0.5 * rates[1]
    joined = compared("network.capacity=speed_tests")
    on_the_way = [joined[f"audio_sampler_transfer_s{which}"].mean() for which in ("", "_other")]
    assert on_the_way[0] > 1.5 * on_the_way[1]


def test_machines_of_the_cloud_boot_for_two_minutes():
    default, free = made(), made("switching=free")
    for one, boot_s in ((default, 124.1), (free, 0.0)):
        rented = one.machines.filter(pl.col("tier") == "cloud")
        assert rented.height > 0
        took_s = rented["ready_s"] - rented["from_s"]
        assert took_s.to_list() == pytest.approx([boot_s] * rented.height)
    completed = [one.queries["completed"].sum() for one in (default, free)]
    assert 0 < completed[0] < 0.8 * completed[1]


def test_cards_and_cores_have_hidden_speeds():
    joined = compared("cluster.speed_log_sd=0")
    for operator in ("decoder", "wave_to_text"):
        factors = ratio(joined, operator)
        assert factors.std() < 1e-3  # one machine and one card
        assert 1e-3 < abs(factors.mean() - 1) < 0.1
    assert ratio(joined, "decoder").mean() != pytest.approx(ratio(joined, "wave_to_text").mean())


def test_equal_services_spread():
    joined = compared("cluster.service_cv=0")
    for operator in ("decoder", "wave_to_text"):
        assert ratio(joined, operator).std() == pytest.approx(0.015, rel=0.2)


def test_launches_do_not_grow_with_the_size_of_a_request():
    joined = compared("application.size_scales=all")
    assert ratio(joined, "decoder").to_list() == pytest.approx([1.0] * joined.height)
    large = joined["size"] > 1
    factors = ratio(joined, "wave_to_text")
    assert (factors.filter(large) < 1).all()
    assert (factors.filter(~large) > 1).all()
