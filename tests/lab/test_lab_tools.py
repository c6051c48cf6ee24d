"""The subcommands of ``compass-lab``, and the parts that the commands share."""

import math
import sys
from pathlib import Path

import pytest

from lab.api import run
from lab.errors import InputError, nearest
from lab.summary import median_response_s, plain
from lab.targets import build
from lab.tools import main
from sim.planner import Planner


def test_list_names_every_group(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("application", "cluster", "data_plane", "drift", "experiment", "network"):
        assert f"  {name} " in out
    assert "cheapest_feasible_15s" in out


def test_report_draws_and_prints(tmp_path, capsys):
    run(["horizon_s=60", "workload.rate=0.05"], directory=tmp_path / "run")
    assert main(["report", str(tmp_path)]) == 0
    assert "CheapestFeasible" in capsys.readouterr().out
    assert list((tmp_path / "run" / "figures").glob("*.png"))


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_report_refuses_what_holds_no_results(tmp_path, capsys, name):
    assert main(["report", str(tmp_path / name)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(tmp_path / name) in err


def test_check_planner_takes_parameters_and_reports_a_breach(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    Path("checked_pkg.py").write_text(
        "from sim import Planner\n"
        "class Forgets(Planner):\n"
        "    def __init__(self, margin: float = 0.1):\n"
        "        pass\n"
        "    def plan(self, desk):\n"
        "        pass\n"
    )
    assert main(["check-planner", "checked_pkg.Forgets", "margin=0.2"]) == 1
    err = capsys.readouterr().err
    assert "does not store its parameter 'margin'" in err
    assert err.count("\n") == 1
    assert main(["check-planner", "checked_pkg.Forgets", "margni=0.2"]) == 2
    assert "nearest is 'margin'" in capsys.readouterr().err


def test_kaplan_meier_median_counts_those_who_wait_in_vain():
    assert median_response_s([1.0, 2.0, 3.0], []) == 2.0
    assert median_response_s([1.0, 2.0], [0.5, 0.5, 0.5]) == 1.0
    assert median_response_s([1.0, 2.0], [9.0, 9.0, 9.0]) is None
    assert median_response_s([], [1.0]) is None


def test_plain_values_are_fit_for_json():
    assert plain({"a": (1, math.nan), 2: [math.inf, True, None]}) == {
        "a": [1, None],
        "2": [None, True, None],
    }


def test_the_nearest_name():
    assert nearest("vidostorm", ["ilp", "videostorm"]) == "; the nearest is 'videostorm'"
    assert nearest("x", []) == ""


class Profiler:
    """A part of a planner.

    Args:
        samples: how many.
    """

    def __init__(self, samples: int = 1) -> None:
        self.samples = samples


class Composed(Planner):
    """A planner with a part that the configuration describes."""

    def __init__(self, profiler: Profiler, margin: float | None = None) -> None:
        self.profiler = profiler
        self.margin = margin

    def plan(self, desk):
        pass


HERE = __name__


def test_parts_of_a_planner_are_built_and_checked():
    node = {
        "_target_": f"{HERE}.Composed",
        "margin": None,
        "profiler": {"_target_": f"{HERE}.Profiler", "samples": 7},
    }
    assert build(node, "planner", Planner).profiler.samples == 7
    node["profiler"] = {"_target_": "subprocess.Popen", "args": "true"}
    with pytest.raises(InputError, match=r"planner\.profiler\._target_=subprocess\.Popen"):
        build(node, "planner", Planner)
    node["margin"] = {"_target_": "subprocess.Popen", "args": "true"}
    with pytest.raises(InputError):
        build(node, "planner", Planner)
