"""What a run leaves is complete, at every flush and if it is interrupted or cannot be written."""

import errno
import json
import os
from pathlib import Path

import pytest
from command_line import GREEDY, SHORT
from omegaconf import OmegaConf
from polars.testing import assert_frame_equal

from lab import run
from lab.config.compose import compose, set_up
from lab.runs.run_directory import scan
from lab.runs.runner import simulate
from planners import CheapestFeasible
from sim.dataplane.base.interface import OUTCOMES
from sim.metrics.results import SCHEMAS


@pytest.mark.skipif(os.name != "posix", reason="needs a current directory that can be deleted")
def test_an_error_without_a_name_is_one_sentence_on_its_cause(compass, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    error = OSError(errno.EFBIG, "File too large")

    def fails(*_):
        raise error

    monkeypatch.setattr("lab.cli.run.hydra_main", fails)
    assert compass()[::2] == (1, "compass-sim: hydra.run.dir: cannot be written: File too large\n")
    monkeypatch.setattr("lab.cli.run.register", (tmp_path / "here").rmdir)
    assert compass()[2].endswith(": the current directory has been deleted; change to another\n")


@pytest.mark.skipif(os.name != "posix", reason="needs a current directory that can be deleted")
@pytest.mark.parametrize(("raised", "status"), [(None, 0), (FileNotFoundError(2, "gone"), 1)])
def test_a_current_directory_can_be_deleted_during_a_run(
    compass, tmp_path, monkeypatch, raised, status
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def ready(setup, *_, **__):
        (tmp_path / "here").rmdir()
        if raised:
            raise raised
        return setup

    monkeypatch.setattr("lab.cli.run.ready", ready)
    ended, out, err = compass(GREEDY, f"hydra.run.dir={tmp_path / 'out'}")
    assert (ended, err.count("\n")) == (status, status)
    assert (f"results: {tmp_path / 'out'}" in out) == (raised is None)


@pytest.mark.usefixtures("undrawn")
def test_a_run_directory_is_complete(compass):
    status, out, err = compass(
        *(GREEDY, "horizon_s=120", "flush_every_s=40", "seed=1"),
        *("figures=true", "hydra.run.dir=here"),
    )
    assert (status, err) == (0, "")
    assert "\x1b" not in out
    assert "results: here" in out
    here = Path("here")
    assert {path.name for path in here.iterdir()} == {
        "config.yaml",
        "summary.json",
        "figures",
        *SCHEMAS,
    }
    assert [path for path in here.rglob("*") if path.name.startswith(".")] == []
    for name, schema in SCHEMAS.items():
        assert dict(scan(here, name).collect_schema()) == dict(schema)
    assert len(list((here / "windows").iterdir())) > 1
    summary = json.loads((here / "summary.json").read_text())
    assert summary["status"] == "finished"
    queries = scan(here, "queries").collect()
    assert summary["queries"] == queries.height
    assert summary["requests"] == queries["requests"].sum()
    assert summary["requests"] == sum(summary[end] for end in OUTCOMES)
    assert summary["deployment_cost_usd"] == pytest.approx(
        summary["attributed_cost_usd"] + summary["idle_cost_usd"]
    )
    config = OmegaConf.load(here / "config.yaml")
    assert config.horizon_s == 120
    assert config.planner._target_ == "planners.teaching.cheapest_feasible.CheapestFeasible"
    assert str(here.absolute()) not in (here / "config.yaml").read_text()


@pytest.mark.slow
def test_results_are_complete_at_every_flush(tmp_path):
    seen = []

    class Watching(CheapestFeasible):
        def plan(self, context):
            summary = json.loads((tmp_path / "here" / "summary.json").read_text())
            seen.append((summary["status"], summary["simulated_s"]))
            for name in SCHEMAS:
                scan(tmp_path / "here", name).collect()
            super().plan(context)

    overrides = [*SHORT, "horizon_s=120", "flush_every_s=30", "seed=1"]
    result = run(overrides, Watching(), tmp_path / "here")
    assert {status for status, _ in seen} == {"running"}
    assert len({at_s for _, at_s in seen}) > 1
    assert result.summary["status"] == "finished"
    assert_frame_equal(scan(tmp_path / "here", "windows").collect(), result.windows)


INTERRUPTING = """
import signal
from planners import CheapestFeasible
class Interrupted(CheapestFeasible):
    def plan(self, context):
        if context.now_s > 30:
            signal.raise_signal(signal.SIGINT)
        super().plan(context)
"""


@pytest.mark.parametrize("sweep", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_interrupt_keeps_what_adds_up_and_says_where(compass, sweep):
    Path("interrupting_pkg.py").write_text(INTERRUPTING)
    status, _, err = compass(
        *(["-m", "hydra.sweep.dir=here"] if sweep else ["hydra.run.dir=here"]),
        "planner.compare.cheapest_feasible._target_=interrupting_pkg.Interrupted",
        "~planner.compare.compass",
        "switching=free",
        "horizon_s=120",
    )
    assert status == 130
    assert err == (
        "compass-sim: interrupted; planner videostorm of the comparison never ran; results "
        "so far are kept in here, and resume=true continues from there\n"
    )
    directory = Path("here/0" if sweep else "here")
    summary = json.loads((directory / "cheapest_feasible/summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert 30 < summary["simulated_s"] < 120
    assert summary["in_flight"] > 0
    assert summary["requests"] == sum(summary[end] for end in OUTCOMES)
    assert list(json.loads((directory / "summary.json").read_text())) == ["cheapest_feasible"]
    assert not Path("here/multirun.yaml").exists()


def test_requests_add_up_at_every_flush():
    seen = []

    def look(_, summary):
        seen.append((summary["requests"], sum(summary[end] for end in OUTCOMES)))

    overrides = ["planner=cheapest_feasible", *SHORT, "flush_every_s=7"]
    setup = set_up(compose(overrides), overrides)
    [(name, planner)] = setup.planners.items()
    simulate(setup, name, planner, [look])
    assert len(seen) == 10
    assert all(born == ended for born, ended in seen)


def test_a_run_that_cannot_be_written_fails_in_one_sentence_that_names_the_file(compass):
    blocked = Path("here", "windows", "part-00000.parquet")
    Path(blocked, "in_the_way").mkdir(parents=True)
    status, _, err = compass(GREEDY, "hydra.run.dir=here")
    assert status == 1
    assert err.startswith(
        f"compass-sim: hydra.run.dir={Path.cwd() / 'here'}: cannot be written (in "
    )
    assert err.endswith(f": {Path.cwd() / blocked}\n")
    assert err.count("\n") == 1
    assert Path("here/error.txt").read_text() == err.removeprefix("compass-sim: ")


def test_a_full_disk_that_holds_not_even_the_reason_is_no_bad_input(compass, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    status, _, err = compass(GREEDY, "hydra.run.dir=here")
    assert status == 1
    assert err.count("\n") == 1
    assert ": No space left on device: " in err
    assert err.endswith("; free space, and try again (a run: with resume=true)\n")
    assert not any(path.name.startswith(".") for path in Path("here").rglob("*"))
