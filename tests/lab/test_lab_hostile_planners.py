"""Planners that change the simulator, pretend, raise or exit: they fail alone, in one sentence."""

import ctypes
import json
import math
import os
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from command_line import sentence_of

from lab.cli.tools import reported
from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.runs.api import run
from lab.runs.runner import simulate
from planners import CheapestFeasible
from planners.compass.search.search import RandomSearch
from sim import Planner, PlannerCheckError, check_planner
from sim.api.errors import PlannerError
from sim.metrics.goodput import SloMonitor

SHORT = ["experiment=speech_small", "horizon_s=20", "workload.rate=0.2"]


@pytest.fixture
def compass(compass_sim, tmp_path):
    """Return a function that runs the command where it finds the planners of a test."""
    sys.path.append(str(tmp_path))
    return partial(compass_sim, *SHORT, "figures=false", "hydra.run.dir=here")


HOSTILE = """
from planners import CheapestFeasible
from sim.metrics.goodput import SloMonitor

class Rewrites(CheapestFeasible):
    def plan(self, context):
        super().plan(context)
        SloMonitor.judge = lambda *_, **__: None

class NoBudget(CheapestFeasible):
    @property
    def budget_s(self):
        raise SystemExit("no budget")
    @budget_s.setter
    def budget_s(self, value):
        pass
"""


def test_a_planner_that_changes_the_simulator_fails_and_others_run(compass):
    Path("rewrites_pkg.py").write_text(HOSTILE)
    status, _, err = compass(
        "planner=comparison",
        "~planner.compare.compass",
        "planner.compare.cheapest_feasible._target_=rewrites_pkg.Rewrites",
    )
    assert status == 1
    last = err.splitlines()[-1]
    assert last.startswith("compass-sim: planner cheapest_feasible")
    assert "changed SloMonitor.judge, which all planners share; it was put back" in last
    summaries = json.loads(Path("here/summary.json").read_text())
    found = {name: one["status"] for name, one in summaries.items()}
    assert found == {"cheapest_feasible": "failed", "videostorm": "finished"}


def test_no_exit_of_a_tool_looks_like_success(capsys):
    assert reported(partial(sys.exit, 0), "explain") == 1
    assert capsys.readouterr().err == "compass-lab: explain was ended by SystemExit\n"


def test_a_setting_that_cannot_be_read_gets_one_sentence(compass):
    Path("no_budget_pkg.py").write_text(HOSTILE)
    err = sentence_of(compass("planner._target_=no_budget_pkg.NoBudget"))
    assert "planner: its settings cannot be read: no budget (planner NoBudget)" in err


class Async(Planner):
    async def plan(self, context):
        pass


def test_an_async_plan_is_refused():
    with pytest.raises(InputError, match=r"planner: plan must not be async: .* \(planner Async\)"):
        run(SHORT, Async())


class EndsInC(CheapestFeasible):
    def plan(self, context):
        ctypes.CDLL(None)._exit(0)


def test_it_cannot_end_the_process_by_the_c_library():
    with pytest.warns(UserWarning, match="_exit of the C library can end the simulator"):
        result = run(SHORT, EndsInC())
    assert result.summary["status"] == "failed"


SLY = """
import sys
from planners import CheapestFeasible
class Number(CheapestFeasible):
    def __new__(cls, *_, **__):
        return 5
class Rejects(CheapestFeasible):
    def check_parameters(self, pipeline, cluster):
        raise SystemExit(0)
class Disguised(CheapestFeasible):
    def plan(self, context):
        sys.modules["sim.metrics.goodput"].SLACK = None
Disguised.__module__ = "planners.baselines"
class Annotated(CheapestFeasible):
    def __init__(self, samples: "sys.exit(0)" = 50, budget_s=5.0):
        super().__init__(samples, budget_s)
class Secret(type(CheapestFeasible)):
    def __getattribute__(cls, name):
        if name == "__flags__":
            raise SystemExit(0)
        return super().__getattribute__(name)
class Secretive(CheapestFeasible, metaclass=Secret):
    pass
"""


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("Number", 2, "planner: Number makes an object of class int, which is no Planner"),
        ("Rejects", 2, "planner: check_parameters fails: SystemExit: 0 (planner Rejects)"),
        ("Annotated", 2, "planner: the constructor of planner: SystemExit: 0"),
        ("Secretive", 2, "Secretive: cannot be used (SystemExit: SystemExit: 0)"),
        ("Disguised", 1, "changed sim.metrics.goodput.SLACK"),
    ],
)
def test_what_pretends_to_be_a_planner_is_told(compass, name, status, said):
    Path(f"sly_{name.lower()}_pkg.py").write_text(SLY)
    target = f"planner._target_=sly_{name.lower()}_pkg.{name}"
    found, _, err = compass("planner=cheapest_feasible", target)
    assert found == status
    assert said in err


def test_a_failure_of_the_simulator_does_not_end_a_comparison(compass, monkeypatch):
    real = simulate

    def fails_first(setup, name, *rest):
        if name == "cheapest_feasible":
            raise SystemExit(0)
        return real(setup, name, *rest)

    monkeypatch.setattr("lab.cli.run.simulate", fails_first)
    status, _, err = compass("planner=comparison", "~planner.compare.compass")
    assert status == 1
    assert "planner cheapest_feasible: the simulator failed: SystemExit: 0" in err
    assert json.loads(Path("here/summary.json").read_text())["videostorm"]["status"] == "finished"


def test_an_escaped_exit_is_no_success(compass, monkeypatch):
    def exits(*_):
        raise SystemExit(0)

    monkeypatch.setattr("lab.cli.run.simulate", exits)
    status, _, err = compass("planner=cheapest_feasible")
    assert status == 1
    assert "the simulator failed: SystemExit: 0" in err


class Flips(CheapestFeasible):
    seen: ClassVar = []

    @property
    def replan_every_s(self):
        self.seen.append(0)
        return 1.0 if len(self.seen) < 3 else "x"


def test_a_setting_that_differs_when_it_is_read_again_is_one_sentence():
    Flips.seen[:] = [0]
    with pytest.raises(PlannerError, match="replan_every_s=x: must be from 1e-09 to 1e"):
        simulate(set_up(compose(SHORT), SHORT, Flips()), "flips", Flips(), [])


class Busy(CheapestFeasible):
    """Changes what all planners share before its run."""

    def __init__(self, part, samples=50, budget_s=5.0):
        super().__init__(samples, budget_s)
        self.part = part
        if part.startswith("__init__"):
            SloMonitor.judge = None
        if part == "__init__ fails":
            raise ValueError("no")

    def check_parameters(self, pipeline, cluster):
        if self.part == "check_parameters":
            math.fsum = len
        if self.part == "interrupt":
            raise KeyboardInterrupt
        if self.part == "exit":
            os._exit(0)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("__init__", "planner: the constructor of planner: changed SloMonitor.judge"),
        pytest.param(
            "__init__ fails",
            "planner: the constructor of planner: changed SloMonitor.judge",
            marks=pytest.mark.slow,
        ),
        ("check_parameters", "planner: check_parameters of planner Busy: changed math.fsum"),
        ("exit", "planner: check_parameters fails: os._exit would end the simulator"),
        pytest.param(
            "interrupt",
            "planner: check_parameters of planner Busy: it raised Keyb",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_called_before_a_run_changes_nothing(compass, part, said):
    before = SloMonitor.judge
    err = sentence_of(compass(f"planner._target_={__name__}.Busy", f"+planner.part={part}"))
    assert said in err
    assert SloMonitor.judge is before


@dataclass(frozen=True)
class Part(RandomSearch):
    """A search of Compass that changes the simulator."""

    early: bool = False

    def __post_init__(self):
        if self.early:
            SloMonitor.judge = None

    def next(self, *given):
        SloMonitor.judge = lambda *_, **__: None
        return super().next(*given)


@pytest.mark.parametrize(
    ("early", "status", "said"),
    [
        ("true", 2, "planner: the constructor of planner: changed SloMonitor.judge"),
        pytest.param(
            "false",
            1,
            "changed SloMonitor.judge, which all planners share; it was put back",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_part_of_a_planner_changes_nothing(compass, early, status, said):
    target = f"planner.search._target_={__name__}.Part"
    found, _, err = compass("planner=compass", target, f"+planner.search.early={early}")
    assert found == status
    assert "Traceback" not in err
    assert said in err


class Large(CheapestFeasible):
    def parameters(self):
        return {"large": 10**5000}


@pytest.mark.slow
def test_a_parameter_that_cannot_be_written_is_told(compass):
    status, _, _ = compass(f"planner._target_={__name__}.Large")
    assert status == 0
    said = json.loads(Path("here/summary.json").read_text())["planner_parameters"]
    assert said.startswith("cannot be read: ValueError")
    with pytest.raises(InputError, match="of planner Large: Exceeds the limit"):
        run(SHORT, Large())


class Unreadable(CheapestFeasible):
    def parameters(self):
        raise OSError("no such parameters")


def test_parameters_that_cannot_be_read_are_bad_input():
    with pytest.raises(InputError, match="of planner Unreadable: no such parameters"):
        run(SHORT, Unreadable())


class Removes(CheapestFeasible):
    def plan(self, context):
        shutil.rmtree("here", ignore_errors=True)


def test_results_that_cannot_be_written_are_told_with_the_planner(compass):
    status, _, err = compass(f"planner._target_={__name__}.Removes")
    assert (status, err.count("\n")) == (1, 1)
    assert "cannot be written (in the run of planner Removes): " in err


def test_an_exit_between_jobs_is_no_success(compass, monkeypatch):
    def exits(*_):
        raise SystemExit(0)

    monkeypatch.setattr("lab.cli.run.run_and_report", exits)
    monkeypatch.setattr("lab.cli.run.Outcome.job_path", Path("here"))
    status, _, err = compass("-m", "planner=cheapest_feasible", "hydra.sweep.dir=here")
    assert status == 1
    assert "a planner's SystemExit ended the command" in err


def test_check_planner_tells_settings_that_differ_when_they_are_read_again():
    Flips.seen.clear()
    with pytest.raises(PlannerCheckError, match="Flips: replan_every_s=x: must be from 1e-09"):
        check_planner(Flips(), other_process=False)
