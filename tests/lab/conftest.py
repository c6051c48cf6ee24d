"""What tests of the tools ``explain`` and ``report`` share."""

import shutil

import pytest

from lab.cli.tools import main
from lab.runs.api import run
from planners import CheapestFeasible, Greedy

SHORT = ["experiment=speech_small", "horizon_s=120"]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A sweep of two rates, two planners and two seeds."""
    directory = tmp_path_factory.mktemp("sweep")
    number = 0
    for rate in (0.1, 0.05):
        for planner in (CheapestFeasible(samples=5), Greedy()):
            for seed in (0, 1):
                settings = [*SHORT, f"workload.rate={rate}", f"seed={seed}"]
                run(settings, planner, directory / str(number))
                number += 1
    return directory


@pytest.fixture
def sweep(made, tmp_path):
    """A copy of the sweep, to be spoilt."""
    return shutil.copytree(made, tmp_path / "sweep")


@pytest.fixture(scope="session")
def reported(made, tmp_path_factory):
    """A copy of the sweep with its report."""
    directory = shutil.copytree(made, tmp_path_factory.mktemp("reported") / "sweep")
    assert main(["report", str(directory)]) == 0
    return directory


@pytest.fixture
def told(capsys, monkeypatch):
    """Return a function that runs ``explain`` on words, and returns what it prints, unwrapped."""
    monkeypatch.setattr("lab.cli.explain.WIDTH", 10_000)

    def explain(*words):
        assert main(["explain", *map(str, words)]) == 0
        return capsys.readouterr().out

    return explain
