"""The subcommands of ``compass-lab``, and the parts that the commands share."""

import math
import re
from itertools import product
from pathlib import Path

import pytest

from hardware_models.errors import did_you_mean
from lab.cli.check_planner import check
from lab.cli.tools import main, reported
from lab.common import formatting as wording
from lab.common.errors import InputError
from lab.config.targets import build
from lab.runs.api import run
from lab.runs.run_directory import read_summary, write_summary
from lab.runs.summary import plain, response_quantile_s
from planners import CheapestFeasible
from sim.api.planner import Planner


def test_list_names_every_group(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("application", "cluster", "data_plane", "drift", "experiment", "network"):
        assert f"  {name} " in out
    assert "cheapest_feasible_15s" in out
    assert "paper/fig02_chat" in out


@pytest.mark.parametrize("words", [["all"], ["10", "--quick"]])
def test_figures_are_reproduced_from_a_checkout_alone(words, refused, monkeypatch):
    monkeypatch.setattr("lab.cli.tools.find_spec", lambda name: None)
    assert refused("reproduce", *words) == (
        "compass-lab: reproduce: the package does not include the studies; run this in a "
        "checkout of the project (python3 tasks.py sets one up)\n"
    )


@pytest.mark.slow
def test_report_draws_and_prints(tmp_path, capsys, drawn):
    drawn.append("goodput.png")
    run(["horizon_s=60", "workload.rate=0.05"], directory=tmp_path / "run")
    assert main(["report", str(tmp_path)]) == 0
    assert "CheapestFeasible" in capsys.readouterr().out
    goodput = tmp_path / "run" / "figures" / "goodput.png"
    assert goodput.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_report_of_a_sweep_compares_planners_setting_by_setting(tmp_path, capsys):
    for number, (rate, samples, seed) in enumerate(product((0.05, 0.1), (5, 10), (0, 1))):
        overrides = ["horizon_s=30", f"workload.rate={rate}", f"seed={seed}"]
        run(overrides, CheapestFeasible(samples), tmp_path / str(number))
    cut = read_summary(tmp_path / "7") | {"simulated_s": 20.0, "status": "interrupted"}
    write_summary(tmp_path / "7", cut)
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "error.txt").write_text("planner: is refused\n")
    assert main(["report", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("means with 95 % t-intervals") == 2
    assert f"{tmp_path}: workload.rate=0.05: 2 planners, 2 seeds" in out
    assert f"{tmp_path}: workload.rate=0.1: 2 planners, 2 seeds" in out
    assert out.count("CheapestFeasible(samples=5) - CheapestFeasible(samples=10)") == 2
    assert "Left out, because they did not finish: 7 (interrupted at 20 of 30 s)." in out
    assert "Failed without results: 8 (planner: is refused)." in out
    assert out.endswith(f"report: {tmp_path / 'report' / 'index.html'}\n")
    assert not (tmp_path / "0" / "figures").exists()  # A thousand runs have too many.


@pytest.mark.slow
def test_report_of_a_sweep_tells_drift_apart(tmp_path, capsys):
    for drift in ("none", "machine_failure"):
        run(["horizon_s=30", "workload.rate=0.05", f"drift={drift}"], directory=tmp_path / drift)
    assert main(["report", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path}: drift.events=[]: 1 planner, 1 seed" in out
    assert f"{tmp_path}: drift.events=[{{kind: machine_failure, at_s: 15.0, " in out
    assert "null" not in out


@pytest.mark.slow
def test_report_of_a_sweep_over_applications_tells_them_by_name(tmp_path, capsys):
    few = CheapestFeasible(samples=2)
    for name, rate in (
        ("code_generation", 0.2),
        ("live_video_chat", 0.2),
        ("live_video_chat", 1.0),
    ):
        overrides = [f"application={name}", f"application.requests_per_s={rate}"]
        run(["horizon_s=30", *overrides], few, tmp_path / f"{name}{rate}")
    assert main(["report", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    rate = "application.requests_per_s"
    assert f"application.name=code_generation, {rate}=0.2: 1 planner" in out
    assert f"application.name=live_video_chat, {rate}=1.0: 1 planner" in out
    assert "application.operators" not in out


@pytest.mark.slow
def test_report_names_planners_that_never_ran(tmp_path, capsys):
    run(["horizon_s=30"], directory=tmp_path / "first")
    write_summary(tmp_path, {"first": read_summary(tmp_path / "first")})
    (tmp_path / "config.yaml").write_text("planner: {compare: {first: {}, second: {}}}\n")
    assert main(["report", str(tmp_path), "--all"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"status .* finished", out)
    assert re.search(r"simulated .* 30 of 30 s", out)
    assert "planner second of the comparison never ran" in err


def test_a_misspelt_tool(refused):
    err = refused("reprot", "here")
    assert err.startswith("compass-lab: reprot: no such tool; choose one of check-planner, ")
    assert err.endswith("; did you mean 'report'?\n")


def test_overrides_may_stand_behind_options(capsys, refused):
    words = ["--vary", "cluster.nodes.cloud.count=1,2", "--at-least", "0.5", "--seeds", "2"]
    assert "--seeds 2: must be 3 or more" in refused("capacity", *words, "experiment=speech_small")
    with pytest.raises(SystemExit):
        main(["capacity", *words, "--no-such-option"])
    assert "--no-such-option: no such option; choose one of" in capsys.readouterr().err


def test_an_interrupted_tool_ends_in_one_sentence(monkeypatch, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lab.common.options.listing", interrupt)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "compass-lab: interrupted\n"


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_report_refuses_what_holds_no_results(tmp_path, refused, name):
    assert str(tmp_path / name) in refused("report", tmp_path / name)


@pytest.mark.parametrize("pair", ["samples=[1", "samples={", "samples=${x"])
def test_a_parameter_that_cannot_be_read_gets_one_sentence(pair, capsys):
    words = ["planners.CheapestFeasible", [pair]]
    assert reported(lambda: check(*words), "check-planner") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"compass-lab: {pair}: cannot be read as KEY=VALUE (")
    assert error.count("\n") == 1


def test_a_parameter_of_a_checked_planner_stands_alone():
    with pytest.raises(
        InputError, match=r"planner.samples=3: names .* alone here; write samples=3"
    ):
        check("planners.CheapestFeasible", ["planner.samples=3"])


def test_check_planner_takes_parameters_and_reports_a_breach(current, capsys):
    Path("checked_pkg.py").write_text(
        "from sim import Planner\n"
        "class Forgets(Planner):\n"
        "    def __init__(self, margin: float = 0.1):\n"
        "        pass\n"
        "    def plan(self, context):\n"
        "        pass\n"
    )
    assert main(["check-planner", "checked_pkg.Forgets", "margin=0.2"]) == 1
    err = capsys.readouterr().err
    assert "does not store its parameter 'margin'" in err
    assert err.count("\n") == 1
    words = ["checked_pkg.Forgets", ["margni=0.2"]]
    assert reported(lambda: check(*words), "check-planner") == 2
    assert "did you mean 'margin'" in capsys.readouterr().err


def test_kaplan_meier_median_counts_those_who_wait_in_vain():
    assert response_quantile_s([1.0, 2.0, 3.0], []) == 2.0
    assert response_quantile_s([1.0, 2.0], [0.5, 0.5, 0.5]) == 1.0
    assert response_quantile_s([1.0, 2.0], [9.0, 9.0, 9.0]) is None
    assert response_quantile_s([], [1.0]) is None
    quartiles = [response_quantile_s([1.0, 2.0, 3.0, 4.0], [], share) for share in (0.25, 0.75)]
    assert quartiles == [1.0, 3.0]
    assert response_quantile_s([1.0, 2.0, 3.0], [0.5], 0.75) == 3.0, "who left early says nothing"
    assert response_quantile_s([1.0, 2.0, 3.0], [9.0], 0.9) is None


def test_plain_values_are_fit_for_json():
    assert plain({"a": (1, math.nan), 2: [math.inf, True, None]}) == {
        "a": [1, None],
        "2": [None, True, None],
    }


def test_the_most_similar_name_is_suggested():
    assert did_you_mean("vidostorm", ["ilp", "videostorm"]) == "; did you mean 'videostorm'?"
    assert did_you_mean("x", []) == ""


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

    def plan(self, context):
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


@pytest.mark.parametrize(
    ("value", "text"), [(999.6, "1,000"), (999.4, "999"), (1000, "1,000"), (0.12345, "0.123")]
)
def test_numbers_are_written_without_exponents_where_they_are_whole(value, text):
    assert wording.number(value) == text
