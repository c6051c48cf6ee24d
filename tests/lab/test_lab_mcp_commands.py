"""The command in each answer of a tool for assistants gives the same numbers in a shell."""

import json
import re
import subprocess
from pathlib import Path

import polars as pl
import pytest
from mcp_client import environment
from polars.testing import assert_frame_equal

from lab.common.formatting import interval, number
from lab.mcp_server import questions, single_runs
from lab.mcp_server.answers import Place
from lab.mcp_server.reading import read
from lab.reporting.markdown import estimated
from sim.metrics.results import SCHEMAS

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "asking_by_an_assistant.md"

SMALL = {
    "experiment": "speech_small",
    "planner": "videostorm",
    "settings": {
        "switching": "free",
        "horizon_s": 120,
        "network.technologies": {"4G-LTE": 0.3, "5G-NSA-Low-Band": 0.7},
        "cluster.nodes.cloud.purchase": "1-year commit",
        "drift.events": [{"kind": "rate_change", "at_s": 60, "factor": 2}],
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("tools"), jobs=1)


@pytest.fixture
def shell(tmp_path):
    """Run a command in a shell, in an empty directory; return what it prints."""

    def run(command):
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def answer(function, tool, place, **arguments):
    return function(read(tool, arguments, 500.0), place, lambda _: None)


def of_table(tmp_path):
    """Return the rows of the only table that a command left below ``outputs``."""
    [path] = (tmp_path / "outputs").glob("*/*.csv")
    return pl.read_csv(path, infer_schema_length=None)


def test_the_page_shows_what_is_answered(place):
    page = PAGE.read_text(encoding="utf-8")
    _, asked = map(json.loads, re.findall(r"^```json\n(.*?)^```$", page, re.S | re.M))
    found = answer(questions.compare, "compare", place, **asked)
    assert found.answer in page
    assert found.command in page


def test_one_run_has_the_same_tables(place, shell, tmp_path):
    found = answer(single_runs.run, "run", place, **SMALL)
    shell(found.command)
    [summary] = tmp_path.rglob("summary.json")
    kept = place.directory / "runs" / found.runs[0]["run"]
    for table in SCHEMAS:
        parts = [sorted((run / table).glob("*.parquet")) for run in (summary.parent, kept)]
        assert [one.read_bytes() for one in parts[0]] == [one.read_bytes() for one in parts[1]]
    numbers = json.loads(summary.read_text())
    for metric, about in found.numbers.items():
        assert [one["mean"] for one in about["means"]] == [numbers[metric]]


def test_several_runs_have_the_same_means(place, shell):
    found = answer(single_runs.run, "run", place, **SMALL, seeds=3)
    printed = [line.split() for line in shell(found.command).splitlines()]
    for metric in ("service_goodput_mean", "deployment_cost_usd"):
        [one] = found.numbers[metric]["means"]
        shown = f"{number(one['mean'], 4)} {interval(one['low'], one['high'], 4)}"
        assert [metric, "VideoStorm", "3", *shown.split()] in printed


def test_a_comparison_has_the_same_means(place, shell):
    changes = [{"planner": "greedy", "settings": {"workload.rate": 0.2}}, {"planner": "greedy"}]
    found = answer(questions.compare, "compare", place, **SMALL, changes=changes, seeds=2)
    printed = [line.split() for line in shell(found.command).splitlines()]
    means = found.numbers["service_goodput_mean"]["means"]
    assert [one["of"] for one in means] == ["change 1", "change 2", "as it is"]
    for one in means:
        shown = f"{number(one['mean'], 4)} {interval(one['low'], one['high'], 4)}"
        row = [*one["of"].split(), "2", *shown.split()]
        assert row in [cells[-len(row) :] for cells in printed]


def test_a_fork_has_the_same_numbers(place, shell):
    name = answer(single_runs.run, "run", place, **SMALL).runs[0]["run"]
    event = {"kind": "machine_failure", "at_s": 80, "node": "cloud"}
    change = {"planner": "greedy", "machines": {"edge": 2}, "queries": {"2": "refuse"}}
    asked = {"run": name, "at_s": 40.25, "events": [event], **change}
    found = answer(single_runs.fork, "fork", place, **asked)
    printed = shell(found.command)
    goodput = found.numbers["service_goodput_mean"]
    assert goodput["as it was"] != goodput["forked"]
    [row] = [line for line in printed.splitlines() if "service goodput" in line]
    before, after = row.split("│")[2:4]
    assert before.split()[0] == f"{goodput['as it was']:.2f}"
    assert after.split()[0] == f"{goodput['forked']:.2f}"


def test_an_explanation_is_the_same(place, shell):
    name = answer(single_runs.run, "run", place, **SMALL).runs[0]["run"]
    found = answer(single_runs.explain, "explain", place, run=name, query=3)
    printed = [line.rstrip() for line in shell(found.command).splitlines()]
    assert printed == found.answer.splitlines()


def test_capacity_is_the_same(place, shell, tmp_path):
    vary = {"cluster.nodes.cloud.count": [1, 2], "planner": ["videostorm", "greedy"]}
    found = answer(questions.capacity, "capacity", place, **SMALL, vary=vary, at_least=0.2, seeds=3)
    printed = shell(f"{found.command} || true")  # Status 1 says that no combination suffices.
    assert found.answer.splitlines()[-1].rstrip(".") in printed
    table = of_table(tmp_path).drop("question")
    same = pl.DataFrame(found.numbers["combinations"])
    assert_frame_equal(table.cast(pl.String), same.cast(pl.String))


def test_sensitivity_is_the_same(place, shell, tmp_path):
    asked = {"vary": {"workload.rate": [0.05, 0.2]}, "against": "greedy", "seeds": 2}
    found = answer(questions.sensitivity, "sensitivity", place, **SMALL, **asked)
    printed = shell(found.command)
    base = found.numbers["base"]
    assert estimated(base["mean"], base["low"], base["high"]) in printed
    table = of_table(tmp_path).drop("question")
    same = pl.DataFrame(found.numbers["effects"])
    assert_frame_equal(table.cast(pl.String), same.cast(pl.String))
