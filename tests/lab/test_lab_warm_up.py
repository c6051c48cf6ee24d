"""The first runs of a user, before anything is compiled."""

import pytest

from lab.config.compose import compose, set_up
from lab.runs import runner
from lab.runs.warm_up import ready, warm_up
from scenarios import compiled
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

SMALL = ("experiment=speech_small", "figures=false")
LARGE = (*SMALL, "planner=greedy", "workload.rate=100")


@pytest.fixture
def cold(monkeypatch, tmp_path):
    """Let nothing be compiled, as far as a run can see."""
    monkeypatch.setattr(compiled, "HOME", tmp_path)


@pytest.fixture
def simulated(monkeypatch):
    """Note the planners and horizons of runs, in place of running them."""
    runs = []
    monkeypatch.setattr(
        runner, "simulate", lambda setup, name, *_: runs.append((name, setup.config.horizon_s))
    )
    return runs


def made_ready(overrides):
    config = compose(overrides)
    setup = ready(set_up(config, overrides), overrides, config)
    return getattr(setup.data_plane, "func", setup.data_plane)


@pytest.mark.usefixtures("cold")
def test_a_small_run_starts_without_compiling_the_block_data_plane(simulated):
    assert made_ready((*SMALL, "planner=greedy")) is EventsPlane
    assert simulated == []


@pytest.mark.usefixtures("cold")
def test_a_large_run_compiles_the_block_data_plane(simulated):
    assert made_ready(LARGE) is BlocksPlane
    assert simulated == [("Greedy", 120)]


def test_a_run_whose_data_plane_is_compiled_uses_it(simulated):
    assert made_ready((*SMALL, "planner=greedy")) is BlocksPlane
    assert simulated == []


def test_jobs_of_a_sweep_compile_once_for_each_choice(simulated, monkeypatch, tmp_path):
    jobs = [(*SMALL, f"planner={planner}") for planner in ("greedy", "ilp")]
    composed = [(job, compose(job)) for job in jobs]
    warm_up(composed)
    assert simulated == [], "the tests have compiled it already"
    monkeypatch.setattr(compiled, "HOME", tmp_path)
    warm_up(composed)
    assert simulated == [("Greedy", 120), ("ILP", 120)]
