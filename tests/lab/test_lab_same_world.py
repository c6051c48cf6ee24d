"""The same seed gives the same world and the same bytes, in any process and after any run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import GREEDY, SHORT
from frail import tables
from polars.testing import assert_frame_equal

from lab import run
from planners import CheapestFeasible
from sim.metrics.results import SCHEMAS


def start_process(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from lab.cli.simulate import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *SHORT, *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONHASHSEED": "random"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def first():
    """The result of a run, which other runs must equal."""
    return run([*SHORT, "seed=1"])


def test_flushing_does_not_change_the_results(first):
    often = run([*SHORT, "flush_every_s=7", "seed=1"])
    for name in SCHEMAS:
        assert_frame_equal(getattr(often, name), getattr(first, name))


def test_same_seed_same_bytes_in_another_process(compass, tmp_path):
    assert compass(GREEDY, "hydra.run.dir=here")[0] == 0
    done = start_process(tmp_path, GREEDY, "hydra.run.dir=there")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    expected = tables(tmp_path / "here")
    assert len(expected) >= len(SCHEMAS)
    assert tables(tmp_path / "there") == expected


@pytest.mark.slow
def test_another_planner_on_the_same_seed_meets_the_same_world():
    one = run([*SHORT, "horizon_s=120"], CheapestFeasible(samples=5))
    other = run([*SHORT, "horizon_s=120"], CheapestFeasible(samples=100, budget_s=15.0))
    served = {"true_accuracy"}  # by what the planner chose
    columns = [
        *("query", "tier", "dataset", "device", "technology", "arrival_s", "departure_s"),
        *("slo_latency_s", "slo_accuracy", "slo_cost_usd_per_hour", "requests"),
        *(name for name in SCHEMAS["queries"] if name.startswith("true_") and name not in served),
    ]
    assert_frame_equal(one.queries.select(columns), other.queries.select(columns))
    assert one.decisions.height
    assert not one.decisions.equals(other.decisions)


@pytest.mark.slow
def test_runs_in_one_process_do_not_touch_each_other(first):
    run([*SHORT, "seed=4", "cluster=large", "drift=device_slowdown"])
    again = run([*SHORT, "seed=1"])
    for name in SCHEMAS:
        assert_frame_equal(getattr(first, name), getattr(again, name))
