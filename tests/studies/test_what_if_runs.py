"""Runs of a what-if question: their planner, and when they are made anew."""

import polars as pl
import pytest

from hardware_models.tables import load_table
from lab.common.metrics import METRICS
from lab.run_cache import keys as run_keys
from lab.run_cache.jobs import Job
from lab.runs.api import run
from lab.what_if.question import numbers
from lab.what_if.runs import Runs
from planners import CheapestFeasible, Greedy


def test_the_metrics_are_the_numbers_of_a_summary() -> None:
    result = run(["experiment=speech_small", "switching=free", "horizon_s=60"])
    found = numbers(result)
    shares = result.summary["slo_met_fraction_by_tier"]
    assert found["slo_met_fraction.economy"] == shares["economy"] is not None
    named = {name for name in found if "." not in name} - {"seed"}
    assert sorted(METRICS) == sorted(named | {"goodput_optimum"})  # which is null by default


def test_an_experiment_among_settings_may_name_the_planner(tmp_path) -> None:
    runs = Runs((), tmp_path)
    setup, default = runs.setup(["experiment=speech_large"])
    assert (list(setup.planners), default) == (["Compass"], False)
    setup, default = runs.setup(["experiment=speech_small"])
    assert (list(setup.planners), default) == (["CheapestFeasible"], True)
    setup, default = runs.setup(["planner=greedy"])
    assert (list(setup.planners), default) == (["Greedy"], False)


def test_runs_are_made_anew_where_the_users_planner_or_table_has_changed(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    planner, prices = tmp_path / "mine_own.py", tmp_path / "prices.csv"
    keys = []
    for number in range(2):
        planner.write_text(f"from planners import Greedy\nclass Mine(Greedy): {number}\n")
        for cost in (1, 2):
            load_table("prices").with_columns(pl.col("price_usd_per_hour") * cost).write_csv(prices)
            run_keys.behaviour.cache_clear()
            overrides = ("planner._target_=mine_own.Mine", f"tables.prices={prices}")
            keys.append(Job(overrides, 0, numbers).key)
    assert len(set(keys)) == 4


def test_a_run_that_was_kept_is_used_again_under_another_limit_of_time() -> None:
    scene = ("experiment=speech_small", "planner=greedy")
    assert Job((*scene, "max_wall_s=60"), 0, numbers).key == Job(scene, 0, numbers).key


@pytest.mark.slow
def test_a_planner_that_raises_is_told_of(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "always_raises.py").write_text(
        "from planners import Greedy\n"
        "class Raises(Greedy):\n"
        "    def plan(self, context): raise RuntimeError('no')\n"
    )
    scene = ("experiment=speech_small", "horizon_s=60", "planner._target_=always_raises.Raises")
    [rows] = Runs(scene, tmp_path / "kept", 1).make([[]], [0, 1])
    assert all(row["planner_errors"] for row in rows)
    assert "the planner raised errors in 2 of 2 runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("base", "other", "planner"),
    [
        (
            ["planner._target_=planners.Greedy", "planner.samples=3"],
            "planner=cheapest_feasible",
            CheapestFeasible(),
        ),
        (["planner=cheapest_feasible"], "planner._target_=planners.Greedy", Greedy()),
    ],
)
def test_another_planner_gets_nothing_of_the_planner_of_the_base(tmp_path, base, other, planner):
    setup, default = Runs(["experiment=speech_small", *base], tmp_path).setup([other])
    [found] = setup.planners.values()
    assert (type(found), found.parameters()) == (type(planner), planner.parameters())
    assert not default
