"""The command ``compass-lab fork``: a run on disk, continued with something changed."""

import json
import shutil

import pytest

from lab import Changes, fork, run
from lab.cli.tools import main
from lab.forks.run_on_disk import repeated
from lab.runs.run_directory import scan
from planners import Greedy
from sim.metrics.results import SCHEMAS

SMALL = (
    *("experiment=speech_small", "planner=cheapest_feasible", "data_plane=events"),
    *("workload.rate=0.05", "horizon_s=70", "bound_every_s=70"),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("fork") / "run"
    run(SMALL, directory=place)
    return place


def ask(directory, *words):
    return main(["fork", str(directory), *words])


def cell(printed, row, column):
    [line] = [line for line in printed.splitlines() if f"│ {row} " in line]
    return line.split("│")[column].strip()


def test_a_fork_is_that_of_the_library_and_leaves_its_tables(directory, tmp_path, capsys, refused):
    out = tmp_path / "forked"
    words = ["--planner", "greedy", "--machines", "cloud=0", "--query", "0=wait"]
    assert ask(directory, "--at-s", "20", *words, "--out", str(out)) == 0
    printed = capsys.readouterr().out
    changes = Changes({0: "wait"}, Greedy(), {"cloud": 0})
    before = repeated(directory)
    after = fork(before, 20.0, changes)
    for column, result in ((2, before), (3, after)):
        assert cell(printed, "cost", column) == f"${result.summary['deployment_cost_usd']:.2f}"
    assert before.summary["deployment_cost_usd"] > after.summary["deployment_cost_usd"]
    for table in SCHEMAS:
        assert scan(out, table).collect().equals(getattr(after, table)), table
    assert json.loads((out / "fork.json").read_text())["run"] == str(directory)
    assert main(["explain", str(out), "0"]) == 0
    for tool in (["fork", "--at-s", "20"], ["regret"]):
        assert "is a fork, which its configuration alone does not" in refused(
            tool[0], out, *tool[1:]
        )


@pytest.mark.slow
def test_a_drift_event_can_be_added(directory, capsys):
    words = ["--event", "rate_change,at_s:30,factor:9", "--all"]
    assert ask(directory, "--at-s", "20", *words) == 0
    printed = capsys.readouterr().out
    assert int(cell(printed, "queries", 2)) < int(cell(printed, "queries", 3))


def test_a_run_that_cannot_be_repeated_is_refused(directory, tmp_path, capsys):
    spoilt = shutil.copytree(directory, tmp_path / "spoilt")
    summary = json.loads((spoilt / "summary.json").read_text())
    summary["queries"] += 1
    (spoilt / "summary.json").write_text(json.dumps(summary))
    assert ask(spoilt, "--at-s", "20") == 2
    assert "cannot be repeated: queries is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at-s", "-1"], "at_s=-1: is before the start of the run"),
        (["--at-s", "70"], "at_s=70: is after the end of the run"),
        (["--at-s", "20", "--planner", "gredy"], "did you mean 'greedy'"),
        (["--at-s", "20", "--planner", "comparison"], "compares several planners; name one"),
        (["--at-s", "20", "--machines", "clod=1"], "did you mean 'cloud'"),
        (["--at-s", "20", "--machines", "cloud"], "--machines=cloud: must have the form NODE=N"),
        (["--at-s", "20", "--machines", "cloud=x"], "--machines: x must be a whole number"),
        (
            ["--at-s", "20", "--machines", "cloud=1", "--machines", "cloud=2"],
            "--machines=cloud=2: cloud has the value 1 already",
        ),
        (["--at-s", "20", "--query", "1=sit"], "query 1: 'sit' must be a Plan"),
        (["--at-s", "20", "--event", "rate,at_s:30"], "did you mean 'rate_change'"),
        (["--at-s", "20", "--out", "."], "--out=.: exists already"),
    ],
)
def test_bad_input_is_refused(words, said, directory, capsys):
    assert ask(directory, *words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--at-s", "-5"],
        ["--at-s", "70"],
        ["--at-s", "20", "--machines", "clod=1"],
        ["--at-s", "20", "--event", "rate_change,at_s:10,factor:3"],
    ],
)
def test_bad_input_is_refused_before_anything_is_simulated(words, directory, monkeypatch, capsys):
    monkeypatch.setattr(
        "lab.forks.run_on_disk.result_of", lambda *_, **__: pytest.fail("simulated")
    )
    assert ask(directory, *words) == 2
    assert capsys.readouterr().err.count("\n") == 1
