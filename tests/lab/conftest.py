"""What tests of the commands share: short runs, a sweep, its report."""

import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from command_line import SHORT, changed
from matplotlib.figure import Figure

from lab.cli.tools import main
from lab.runs.api import run
from planners import CheapestFeasible, Greedy

SWEPT = ["experiment=speech_small", "switching=free", "horizon_s=120"]


@pytest.fixture
def compass(compass_sim):
    """Return a function that runs the command, and briefly unless told otherwise."""
    return lambda *words: compass_sim(*changed(SHORT, words))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A sweep of two rates, two planners and two seeds."""
    directory = tmp_path_factory.mktemp("sweep")
    number = 0
    for rate in (0.1, 0.05):
        for planner in (CheapestFeasible(samples=5), Greedy()):
            for seed in (0, 1):
                settings = [*SWEPT, f"workload.rate={rate}", f"seed={seed}"]
                run(settings, planner, directory / str(number))
                number += 1
    return directory


@pytest.fixture
def sweep(made, tmp_path):
    """A copy of the sweep, to be spoilt."""
    return shutil.copytree(made, tmp_path / "sweep")


@pytest.fixture(scope="session")
def reported_and_printed(made, tmp_path_factory):
    """A copy of the sweep with its report, and what the command printed."""
    directory = shutil.copytree(made, tmp_path_factory.mktemp("reported") / "sweep")
    with redirect_stdout(StringIO()) as printed:
        assert main(["report", str(directory)]) == 0
    return directory, printed.getvalue()


@pytest.fixture(scope="session")
def reported(reported_and_printed):
    """A copy of the sweep with its report; tests only read it."""
    return reported_and_printed[0]


@pytest.fixture
def drawn(monkeypatch):
    """Return a list of parts of figures' names, the only ones drawn; other files are empty."""
    names, savefig = [], Figure.savefig

    def save(figure, path, **options):
        if any(name in Path(path).name for name in names):
            savefig(figure, path, **options)
        else:
            Path(path).touch()

    monkeypatch.setattr(Figure, "savefig", save)
    return names


@pytest.fixture
def undrawn(drawn):
    """Write empty files in place of figures, for tests that read none."""


@pytest.fixture
def told(capsys, monkeypatch):
    """Return a function that runs ``explain`` on words, and returns what it prints, unwrapped."""
    monkeypatch.setattr("lab.cli.explain.WIDTH", 10_000)

    def explain(*words):
        assert main(["explain", *map(str, words)]) == 0
        return capsys.readouterr().out

    return explain
