"""The first runs of a user, before anything is compiled."""

from types import SimpleNamespace

import pytest

from lab.config.compose import compose, set_up
from lab.runs import runner
from lab.runs.api import run
from lab.runs.warm_up import BLOCKS, COMPILE_BLOCKS, ready, subprocess, warm_up
from scenarios import compiled
from sim.dataplane.blocks.plane import BlocksPlane
from sim.dataplane.events.plane import EventsPlane

SMALL = ("experiment=speech_small", "figures=false")
LARGE = (*SMALL, "planner=greedy", "workload.rate=100")


@pytest.fixture
def cold(monkeypatch, tmp_path):
    """Let nothing be compiled, as far as a run can see."""
    monkeypatch.setattr(compiled, "home", lambda: tmp_path)


@pytest.fixture
def warm(cold, tmp_path):
    """Let the block data plane be compiled, as far as a run can see."""
    code = tmp_path / f"{BLOCKS}.plane" / "code.nbi"
    code.parent.mkdir()
    code.touch()


class Ended:
    """A process that compiles nothing."""

    def __init__(self, _):
        pass

    def wait(self):
        pass


@pytest.fixture
def simulated(monkeypatch):
    """Note the planners and horizons of runs, instead of running them or another process."""
    runs = []
    monkeypatch.setattr(
        runner, "simulate", lambda setup, name, *_: runs.append((name, setup.config.horizon_s))
    )
    monkeypatch.setattr(subprocess, "Popen", Ended)
    return runs


def made_ready(overrides, **options):
    config = compose(overrides)
    setup = ready(set_up(config, overrides), overrides, config, **options)
    return getattr(setup.data_plane, "func", setup.data_plane)


@pytest.mark.usefixtures("cold")
def test_a_small_run_starts_without_compiling_the_block_data_plane(simulated):
    assert made_ready((*SMALL, "planner=greedy")) is EventsPlane
    assert simulated == []


@pytest.mark.usefixtures("cold")
def test_a_large_run_compiles_the_block_data_plane(simulated):
    assert made_ready(LARGE) is BlocksPlane
    assert simulated == [("Greedy", 120)]


@pytest.mark.usefixtures("cold")
def test_a_small_job_of_a_sweep_compiles_it_too(simulated):
    assert made_ready((*SMALL, "planner=greedy"), of_a_sweep=True) is BlocksPlane
    assert simulated == [("Greedy", 120)]


@pytest.mark.usefixtures("warm")
def test_a_run_whose_data_plane_is_compiled_uses_it(simulated):
    assert made_ready((*SMALL, "planner=greedy")) is BlocksPlane
    assert simulated == []


@pytest.mark.usefixtures("cold")
def test_jobs_of_a_sweep_compile_once_for_each_choice(simulated):
    jobs = [(*SMALL, f"planner={planner}") for planner in ("greedy", "ilp")]
    warm_up([(job, compose(job)) for job in jobs])
    assert simulated == [("Greedy", 120), ("ILP", 120)]


@pytest.mark.usefixtures("warm")
def test_jobs_of_a_sweep_compile_nothing_twice(simulated):
    warm_up([(SMALL, compose(SMALL))])
    assert simulated == []


def test_the_other_process_simulates_half_a_minute(simulated):
    exec(COMPILE_BLOCKS.format(parent=None), {})
    assert simulated == [("CheapestFeasible", 30)]


@pytest.mark.usefixtures("cold")
def test_a_small_run_from_python_starts_in_the_same_way(monkeypatch):
    planes = []

    def result_of(setup, *_):
        planes.append(setup.data_plane)
        return SimpleNamespace(summary={"planner_errors": 0})

    monkeypatch.setattr("lab.runs.api.result_of", result_of)
    run([*SMALL, "planner=greedy"])
    assert planes == [EventsPlane]
