"""Settings that all tests share; that this file is here makes ``tests/worlds.py`` importable."""

import gc
import os
import sys
from dataclasses import replace
from functools import partial

import pytest
import scipy.linalg  # noqa: F401 -- limits hold for libraries that are loaded
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from sim.conformance.worlds import failing_world, overloaded_world, usual_world
from sim.dataplane.base.request_rows import line_of

gc.disable()  # until all tests are collected: imports make no garbage

# Else each process that a test starts compiles each module anew, which takes half a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
WRITES_NO_BYTECODE, sys.dont_write_bytecode = sys.dont_write_bytecode, False

threadpool_limits(limits=1, user_api="blas")  # as in a run; more threads cost much, save nothing

settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quick")

line_of(0)  # Compiles first, so that the notice is in no output that a test reads.


@pytest.fixture
def current(tmp_path, monkeypatch):
    """Make an empty directory the current one; modules of it are forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(f"{tmp_path}{os.sep}"):
            del sys.modules[name]


@pytest.fixture
def folder(current, monkeypatch):
    """Make an empty directory the current one, from which modules are imported first."""
    monkeypatch.syspath_prepend(current)
    return current


@pytest.fixture
def short_worlds(monkeypatch):
    """End the worlds of ``check_planner`` as soon as what they are for has happened."""

    def short(world, horizon_s):
        return replace(world(), horizon_s=horizon_s)

    for world, horizon_s in ((usual_world, 50.0), (overloaded_world, 10.0), (failing_world, 70.0)):
        place = f"sim.conformance.check_planner.{world.__name__}"
        monkeypatch.setattr(place, partial(short, world, horizon_s))


@pytest.fixture
def one_mode(monkeypatch):
    """Let Hydra compose a configuration once, not first to read hydra.mode, which is not set."""
    monkeypatch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: None)


@pytest.fixture
def compass_sim(current, one_mode, monkeypatch, capsys):
    """Return a function that runs the command in an empty directory: its status, output, errors."""
    from lab.cli.simulate import main

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["compass-sim", *words])
        status = main()
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def refused(capsys):
    """Return a function that runs compass-lab on bad input, and returns its one sentence on it."""
    from lab.cli.tools import main

    def run(*words: object) -> str:
        capsys.readouterr()  # what was said before
        assert main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err

    return run


def pytest_collection_finish():
    """Collect garbage seldom, and never what was imported: it would take a fifth of the time."""
    sys.dont_write_bytecode = WRITES_NO_BYTECODE  # Tests change modules of their own in a moment.
    gc.freeze()
    gc.set_threshold(50_000, 10, 100)
    gc.enable()
