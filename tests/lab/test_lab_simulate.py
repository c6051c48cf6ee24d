"""The command: its help, its options, what it prints, what it leaves for one run or several."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from command_line import GREEDY
from omegaconf import OmegaConf
from polars.testing import assert_frame_equal

from lab.cli.tools import main as report
from lab.runs.run_directory import planner_directories, scan

HEAVY = ("scipy", "sklearn", "seaborn", "polars", "matplotlib", "hydra", "rich", "numba")


def test_a_number_of_too_many_digits_is_named(compass):
    status, _, err = compass(f"seed={'9' * 5000}")
    assert (status, err) == (2, "compass-sim: seed: a whole number can have at most 4,300 digits\n")


def test_help_loads_nothing_heavy_and_names_every_option():
    code = (
        "import sys; sys.argv = ['compass-sim', '--help']; from lab.cli.simulate import main; "
        f"assert main() == 0; print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    for name in ("speech_small", "cheapest_feasible", "azure_code", "edge_only", "mmwave"):
        assert name in done.stdout
    assert "paper/... (" in done.stdout
    assert "fig02_chat" not in done.stdout


def test_what_the_help_says_can_be_added_can_be_added(compass):
    _, out, _ = compass("--help")
    [example] = re.findall(r"such as (\+\S+)", out)
    status, _, err = compass(GREEDY, example, "hydra.run.dir=here")
    assert (status, err) == (0, "")
    key, _, value = example[1:].partition("=")
    config = OmegaConf.load("here/config.yaml")
    assert OmegaConf.select(config, key) == float(value)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_one_share_of_a_mix_can_be_set_and_swept(compass, capsys):
    """Hydra's grammar refuses keys that begin with a digit, but takes them in mappings."""
    key = "network.technologies.5G-NSA-mmWave"
    status, _, err = compass("-m", "planner=greedy", f"{key}=0.1,0.5", "hydra.sweep.dir=here")
    assert (status, err) == (0, "")
    for number, share in enumerate((0.1, 0.5)):
        network = OmegaConf.load(Path("here", str(number), "config.yaml")).network
        mix = {"4G-LTE": 0.5, "5G-NSA-Low-Band": 0.3, "5G-NSA-mmWave": share}
        assert network.technologies == mix
    assert report(["report", "here"]) == 0
    assert f"here: {key}=0.5: 1 planner" in capsys.readouterr().out


DETAILS = ("status", "simulated", "in flight", "planning, wall", "of it idle")


def shown_rows(out: str) -> list[str]:
    """Return the labels of the rows of a printed table."""
    return [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]


@pytest.mark.usefixtures("undrawn")
def test_the_table_leaves_out_zeros_and_details_unless_all_is_asked_for(compass, capsys):
    _, every, _ = compass("--all", GREEDY, "hydra.run.dir=here")
    assert {*DETAILS, "dropped", "planner errors"} <= {*shown_rows(every)}
    assert report(["report", "here", "--all"]) == 0
    assert shown_rows(capsys.readouterr().out) == shown_rows(every)
    assert report(["report", "here"]) == 0
    few = capsys.readouterr().out
    zeros = [line.split("│")[1].strip() for line in every.splitlines() if line.endswith(" 0 │")]
    assert "dropped" in zeros
    assert shown_rows(few) == [row for row in shown_rows(every) if row not in (*DETAILS, *zeros)]
    assert "service goodput, queries" in shown_rows(few)


def test_planners_are_compared_side_by_side(compass):
    more = "+planner@planner.compare.patient=cheapest_feasible_15s"
    status, out, err = compass(
        more, "~planner.compare.videostorm", "~planner.compare.compass", "hydra.run.dir=here"
    )
    assert (status, err) == (0, "")
    assert "cheapest_feasible" in out
    assert "patient" in out
    summaries = json.loads(Path("here/summary.json").read_text())
    assert list(summaries) == ["cheapest_feasible", "patient"]
    assert summaries["patient"]["planner_parameters"]["budget_s"] == 15
    assert list(planner_directories(Path("here"))) == ["cheapest_feasible", "patient"]
    assert "compare" not in Path("here/patient/config.yaml").read_text()
    worlds = [
        scan(Path("here", name), "queries").select("arrival_s", "device", "true_device_factor")
        for name in summaries
    ]
    assert_frame_equal(*pl.collect_all(worlds))


def test_a_sweep_goes_on_past_a_failing_job(compass):
    Path("fragile_pkg.py").write_text(
        "from planners import CheapestFeasible\n"
        "class Fragile(CheapestFeasible):\n"
        "    def __init__(self, weakness: int = 0):\n"
        "        if weakness == 1: raise ValueError('weak')\n"
        "        self.weakness, self.samples = weakness, 10\n"
    )
    status, out, err = compass(
        "-m",
        "planner._target_=fragile_pkg.Fragile",
        "+planner.weakness=1,2",
        "hydra.sweep.dir=sweep",
    )
    assert status == 1
    refused = "planner: Fragile(weakness=1) was rejected: weak\n"
    assert Path("sweep/0/error.txt").read_text() == refused
    assert json.loads(Path("sweep/1/summary.json").read_text())["status"] == "finished"
    assert not Path("sweep/multirun.yaml").exists()
    assert out.count("job ") == 1
    assert "1 of 2 jobs failed: 0;" in err
    assert err.count("\n") == 2


def test_a_planner_of_the_current_directory_runs(compass):
    Path("cwd_pkg.py").write_text(
        "from sim import Planner\n"
        "class Idle(Planner):\n"
        "    def __init__(self, margin: float = 0.1):\n"
        "        self.margin = margin\n"
        "    def plan(self, context):\n"
        "        pass\n"
    )
    target = "planner._target_=cwd_pkg.Idle"
    status, _, err = compass(target, "+planner.margin=0.2", "hydra.run.dir=here")
    assert (status, err) == (0, "")
    summary = json.loads(Path("here/summary.json").read_text())
    assert summary["planner"] == "Idle"
    assert summary["planner_parameters"] == {"margin": 0.2}
    assert summary["service_goodput_mean"] == 0
    assert summary["response_time_p50_s"] is None
    assert summary["response_censored"] == summary["queries"] > 0


def test_options_may_stand_anywhere(compass, tmp_path):
    Path("own/experiment").mkdir(parents=True)
    Path("own/experiment/mine.yaml").write_text("# @package _global_\nseed: 17\n")
    words = ("experiment=mine", "--config-dir", "own", "horizon_s=60", "--cfg", "job", "~drift")
    status, out, err = compass(*words)
    assert (status, err) == (0, "")
    assert "seed: 17\n" in out
    assert "horizon_s: 60" in out


def test_no_query_at_all_is_a_run_like_any_other(compass):
    status, _, err = compass(GREEDY, "workload.rate=0", "hydra.run.dir=here")
    assert (status, err) == (0, "compass-sim: warning: workload.rate=0: no query will arrive\n")
    summary = json.loads(Path("here/summary.json").read_text())
    assert summary["queries"] == 0
    assert summary["slo_met_fraction"] is None
    assert summary["queries_met_share"] is None
