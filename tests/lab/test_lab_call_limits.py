"""Planners that take too long, or leave threads and processes: limits of their calls."""

import multiprocessing
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lab.cli.tools import main as tools
from lab.config.compose import compose, set_up
from lab.limits import wall_limit
from lab.limits.wall_limit import WallLimitError
from lab.runs.api import run
from lab.runs.runner import simulate
from planners import CheapestFeasible

SHORT = ["experiment=speech_small", "horizon_s=20", "workload.rate=0.2"]


@pytest.fixture
def compass(compass_sim, tmp_path):
    """Return a function that runs the command where it finds the planners of a test."""
    sys.path.append(str(tmp_path))
    return partial(compass_sim, *SHORT, "figures=false", "hydra.run.dir=here")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Let limits be noticed after a tenth of a second, not after one."""
    monkeypatch.setattr(wall_limit, "AGAIN_S", 0.1)


LEAVES = """
import threading
from planners import CheapestFeasible

class Leaves(CheapestFeasible):
    stay = threading.Event()
    def plan(self, context):
        super().plan(context)
        threading.Thread(target=self.stay.wait, name="own\\x1b[31m").start()
"""


def test_threads_that_it_leaves_do_not_keep_the_program(compass, monkeypatch):
    Path("leaving_pkg.py").write_text(LEAVES)
    ended = []
    monkeypatch.setattr("lab.cli.run.end_process", ended.append)
    _, _, err = compass("planner._target_=leaving_pkg.Leaves")
    sys.modules["leaving_pkg"].Leaves.stay.set()
    assert ended == [0]
    assert r"a thread running, first own\x1b[31m; the program does not wait for it" in err


class Loops(CheapestFeasible):
    def plan(self, context):
        while True:
            pass


class Deaf(CheapestFeasible):
    """Waits for ever with its alarms disabled."""

    closed = threading.Lock()

    def plan(self, context):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        self.closed.acquire()
        self.closed.acquire()


def test_one_call_is_limited_in_any_thread():
    with ThreadPoolExecutor(1) as pool, pytest.raises(WallLimitError) as raised:
        pool.submit(run, [*SHORT, "max_call_s=0.2"], Loops()).result()
    assert str(raised.value).startswith(
        "max_call_s=0.2: one call of planner Loops reached this limit in test_lab_call_limits.py:"
    )


def test_a_planner_that_cannot_be_stopped_ends_the_program(monkeypatch):
    monkeypatch.setattr(wall_limit, "AGAIN_S", 0.05)
    monkeypatch.setattr(wall_limit, "GRACE_S", 0.2)
    overrides = [*SHORT, "planner=cheapest_feasible", "max_call_s=0.2"]
    setup = set_up(compose(overrides), overrides)
    statuses, said = [], []

    def stuck(sentence):
        said.append(sentence)
        Deaf.closed.release()  # In place of the end of the program.

    sinks = [lambda _, summary: statuses.append(summary["status"])]
    with pytest.raises(WallLimitError):
        simulate(setup, "deaf", Deaf(), sinks, stuck=stuck)
    assert "failed" in statuses
    assert "cannot be stopped, so the program ends; the results until then are kept" in said[0]


def test_a_limit_that_is_not_reached_leaves_signals_as_they_were():
    handlers = [signal.getsignal(each) for each in (signal.SIGALRM, signal.SIGINT)]
    run([*SHORT, "max_wall_s=600"], CheapestFeasible())
    assert [signal.getsignal(each) for each in (signal.SIGALRM, signal.SIGINT)] == handlers
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0


CHECKED = """
import ctypes
import time
from sim import Planner, PlannerCheckError, check_planner
class Ends(Planner):
    def plan(self, context):
        ctypes.CDLL(None)._exit(0)
class Sleeps(Planner):
    def plan(self, context):
        time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Ends", "its process ended with status 0 before the check was complete"),
        pytest.param(
            "Sleeps", "the check did not end within --limit-s=2 s", marks=pytest.mark.slow
        ),
    ],
)
def test_a_check_that_does_not_say_that_it_is_complete_fails(name, said, current, capsys):
    sys.path.append(str(current))
    Path("checked_pkg.py").write_text(CHECKED)
    limit = ["--limit-s", "2"] if name == "Sleeps" else []
    assert tools(["check-planner", f"checked_pkg.{name}", *limit]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"compass-lab: checked_pkg.{name}: {said}")
    assert err.count("\n") == 1


class SleepingError(Exception):
    def __str__(self):
        threading.Event().wait()
        return ""


class Speechless(CheapestFeasible):
    def plan(self, context):
        raise SleepingError


def test_the_text_of_an_error_counts_as_part_of_the_call():
    with pytest.raises(WallLimitError, match=r"max_call_s=0.2: one call of planner Speechless"):
        run([*SHORT, "max_call_s=0.2"], Speechless())


class Slow(CheapestFeasible):
    """Waits in one of its parts, for ever."""

    def __init__(self, part="", samples=50, budget_s=5.0):
        super().__init__(samples, budget_s)
        self.part = part
        self._wait("__init__")

    def _wait(self, part):
        if part == self.part:
            threading.Event().wait()

    def check_parameters(self, pipeline, cluster):
        self._wait("check_parameters")

    def parameters(self):
        self._wait("parameters")
        return super().parameters()

    @property
    def query_records(self):
        self._wait("query_records")
        return ()


@pytest.mark.parametrize(
    ("part", "status", "what"),
    [
        ("__init__", 2, "the constructor of planner"),
        ("check_parameters", 2, "check_parameters of planner Slow"),
        ("query_records", 2, "reading the settings of planner Slow"),
        ("parameters", 1, "reading the settings of planner Slow"),  # for the results
    ],
)
def test_what_is_called_before_a_run_is_limited(compass, part, status, what):
    target = f"planner._target_={__name__}.Slow"
    found, _, err = compass(target, f"+planner.part={part}", "max_call_s=0.2")
    assert found == status
    place = "reached this limit in test_lab_call_limits.py:"
    assert err.startswith(f"compass-sim: max_call_s=0.2: {what} {place}")
    assert err.count("\n") == 1


class Alarming(CheapestFeasible):
    def plan(self, context):
        signal.setitimer(signal.ITIMER_REAL, 60.0, 60.0)


def test_an_alarm_does_not_outlive_the_run():
    try:
        run(SHORT, Alarming())
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class SlowToRestart(CheapestFeasible):
    made: ClassVar = []

    def __init__(self):
        super().__init__(50, 5.0)
        self.rng = np.random.default_rng(1)
        self.made.append(0)
        if len(self.made) > 2:
            threading.Event().wait()

    def parameters(self):
        return {}


def test_the_restart_after_a_crash_is_limited():
    crash = ["drift=planner_crash", "drift.events.0.at_s=5", "max_call_s=0.2"]
    with pytest.raises(WallLimitError, match=r"max_call_s=0.2: .* at .* of 20 simulated s"):
        run([*SHORT, *crash], SlowToRestart())


class Forks(CheapestFeasible):
    def plan(self, context):
        if not multiprocessing.active_children():
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
            child.name = "own"
            child.start()


@pytest.mark.slow
def test_processes_that_it_leaves_do_not_keep_the_program(compass, monkeypatch):
    ended = []
    monkeypatch.setattr("lab.cli.run.end_process", ended.append)
    monkeypatch.setattr("lab.cli.run.LEFT_RUNNING", [])
    monkeypatch.setattr("planners.CheapestFeasible.plan", Forks.plan)
    _, _, err = compass("planner=cheapest_feasible")
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    assert ended == [0]
    assert "left once a thread or process running, first own" in err
