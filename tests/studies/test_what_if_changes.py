"""The command ``compass-lab what-if``: changes against the base, on the same seeds."""

import re

import numpy as np
import pytest

from lab.analysis.statistics import estimate
from lab.cli.tools import main
from lab.common.formatting import interval, number
from lab.runs.api import run

SMALL = [
    *("experiment=speech_small", "planner=cheapest_feasible", "switching=free"),
    *("data_plane=events", "workload.rate=0.05", "horizon_s=90"),
]
WIFI = ["network=wifi", "workload.slo_scale=2"]


def ask(directory, *words):
    return main(["what-if", *SMALL, *words, "--jobs", "1", "--out", str(directory)])


def rows(printed):
    return [re.split(" {2,}", line.strip()) for line in printed.splitlines()]


def test_means_and_paired_differences_are_those_of_the_runs(tmp_path, capsys):
    assert ask(tmp_path, "--change", *WIFI, "--seeds", "2") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("changed: network=wifi workload.slo_scale=2\nas it is: experiment=")
    values = {
        name: [run([*SMALL, *more, f"seed={seed}"]).summary["slo_met_fraction"] for seed in (0, 1)]
        for name, more in (("changed", WIFI), ("as it is", []))
    }
    for name, each in values.items():
        mean = sum(each) / 2
        assert [name, "2", number(mean, 4)] in [cells[-4:-1] for cells in rows(printed)]
    differences = np.array(values["changed"]) - np.array(values["as it is"])
    found = estimate(differences, within=(-1.0, 1.0))
    shown = [number(found.mean, 4), interval(found.low, found.high, 4)]
    assert ["slo_met_fraction", "2", *shown] in [cells[:4] for cells in rows(printed)]


@pytest.mark.slow
def test_finished_runs_are_kept_and_seeds_come_first(tmp_path, capsys):
    assert ask(tmp_path, "--change", "network=wifi", "--seeds", "1") == 0
    capsys.readouterr()
    assert ask(tmp_path, "--change", "network=wifi", "--change", "network=lte", "--seeds", "2") == 0
    out, err = capsys.readouterr()
    assert "change 1: network=wifi\nchange 2: network=lte\n" in out
    assert "3 settings, 2 seeds" in out
    made = re.findall(r"\d/4 (.*): ", err.split("to make")[1])
    assert [one.rsplit(": ", 1)[0] for one in made] == [
        "network=lte, seed 0",
        "network=wifi, seed 1",
        "network=lte, seed 1",
        "as it is, seed 1",
    ]


@pytest.mark.slow
def test_a_change_can_name_another_planner(tmp_path, capsys):
    assert ask(tmp_path, "--change", "planner=greedy", "--seeds", "1") == 0
    printed = capsys.readouterr().out
    goodput = run([*SMALL, "planner=greedy", "seed=0"]).summary["deployment_cost_usd"]
    assert ["deployment_cost_usd", "changed", "1", number(goodput, 4)] in [
        cells[:4] for cells in rows(printed)
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--change", "network=wfi"], "did you mean 'wifi'"),
        (["--change", "workload.rate=0.05"], "--change workload.rate=0.05: changes nothing"),
        (["--change", "network=lte", "--change", "network=lte"], "is given twice"),
        (["--change", "seed=1"], "seed=1: give the number of seeds by --seeds"),
        (["--change", "network=lte", "--seeds", "0"], "--seeds 0: must be 1 or more"),
        (["--change", "planner=comparison"], "planner: name one by planner=NAME"),
    ],
)
def test_bad_changes_are_refused(words, said, tmp_path, capsys):
    assert ask(tmp_path, *words) == 2
    assert said in capsys.readouterr().err
