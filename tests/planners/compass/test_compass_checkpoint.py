"""Compass goes on from its last checkpoint: in the world, and where the simulator is killed."""

import json
from pathlib import Path

import polars as pl
import pytest
from compass_worlds import ONE_CLOUD
from frail import frail, killed, tables
from worlds import queries_at, run, scenario

from planners.compass.compass import Compass
from planners.compass.search.history import WarmStart
from planners.compass.search.search import CmboSearch
from scenarios.cluster import Profiling
from scenarios.drift import Drift, DriftEvent

COLD = CmboSearch(warm_start=WarmStart(histories=0, ahead=0))
DEMANDING = {"latency_s": 1.0, "accuracy": 0.97}


def crashing(*events, arrivals=(1.0, 32.4), horizon_s=60.0, checkpoint_every_s=1.0):
    """Run Compass, whose process dies as told, with a checkpoint every second unless told."""
    made = run(
        scenario(
            horizon_s,
            workload=queries_at(*arrivals, **DEMANDING),
            drift=Drift(list(events)),
            nodes=ONE_CLOUD,
            profiling=Profiling(checkpoint_every_s=checkpoint_every_s),
        ),
        Compass(search=COLD),
    )
    assert made.planner_errors == []
    made.frames = made.tables.take()
    return made


def crash(at_s, duration_s=3.0):
    return DriftEvent("planner_crash", at_s=at_s, duration_s=duration_s)


class TestInTheWorld:
    """The planner's process dies in simulated time."""

    def test_a_crash_while_nothing_is_planned_changes_nothing(self):
        calm, made = crashing(), crashing(crash(21.0))
        assert made.planner_crashes == 1
        assert made.profiling_runs_lost == 0
        for table, frame in calm.frames.items():
            assert made.frames[table].equals(frame), table

    def test_after_a_crash_in_a_search_profiles_before_the_checkpoint_are_kept(self):
        """The search of 32.4 s is lost at 33.2 s, and begins anew at 36.2 s."""
        calm, made = crashing(), crashing(crash(33.2))
        before, after = (
            each.frames["profiling"].filter(pl.col("query") == 1).sort("at_s")
            for each in (calm, made)
        )
        kept = before.filter(pl.col("at_s") <= 33.0)
        assert kept.height > 0
        lost = after.filter(pl.col("at_s").is_between(33.0, 36.2))
        assert lost.height == made.profiling_runs_lost > 0
        what = ["configuration", "samples"]
        runs = after.filter(pl.col("at_s") > 36.2)
        assert runs.join(kept, on=what, how="semi").is_empty(), "profiled anew"
        first = after.filter(pl.col("at_s") < 36.2)
        again = runs.join(first, on=what, how="semi")
        assert again.select(what).equals(lost.select(what).head(again.height))

    def test_queries_deployed_since_the_checkpoint_are_looked_after_too(self):
        """The record of its order is lost: it is taken up anew, and audited as ever."""
        calm, made = (
            crashing(*events, arrivals=(1.0, 32.4), horizon_s=120.0, checkpoint_every_s=30.0)
            for events in ((), (crash(40.0),))
        )
        deployed = made.frames["decisions"].filter(query=1, outcome="deployed")
        assert 32.4 < deployed["in_force_s"][0] < 40.0
        for each in (calm, made):
            late = each.frames["profiling"].filter((pl.col("query") == 1) & (pl.col("at_s") > 60.0))
            assert late.height > 0

    def test_a_resumed_search_chooses_the_same_plan_and_ends_sooner(self):
        calm, made = (each.frames["decisions"] for each in (crashing(), crashing(crash(33.2))))
        columns = ["query", "configuration", "placement", "plan"]
        assert made.select(columns).equals(calm.select(columns))
        calm_s, made_s = (
            each.filter(pl.col("query") == 1)["charged_s"][0] for each in (calm, made)
        )
        assert made_s < calm_s - 0.1
        begun, *further = calm.filter(pl.col("query") == 1)["trigger"]
        assert begun == "arrival"
        assert made.filter(pl.col("query") == 1)["trigger"].to_list() == ["recovery", *further]


KEYS = (
    "planner=compass_cold",
    "planner._target_=frail_compass.Frail",
    "horizon_s=60",
    "flush_every_s=20",
    "workload.rate=0.1",
    "figures=false",
    "seed=1",
)


@pytest.fixture
def finished(compass_sim, tmp_path):
    """Return a function that runs the command to its end in a directory with a frail planner."""
    (tmp_path / "frail_compass.py").write_text(frail("Compass", pause_at=3))

    def start(name, *more):
        status, _, err = compass_sim(*KEYS, f"hydra.run.dir={name}", *more)
        assert status == 0, err
        return tmp_path / name

    return start


def summary(directory: Path) -> dict:
    return json.loads((directory / "summary.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kills", [(6,), (6, 20)])
def test_killed_while_it_plans_it_ends_as_if_uninterrupted(finished, tmp_path, kills):
    """Those of another process than this are killed; nothing that was saved is profiled anew."""
    whole = finished("whole")
    expected = summary(whole)
    assert expected["profiles_restored"] == 0
    assert expected["profiles_measured"] > 20
    for number, after in enumerate(kills):
        more = ["resume=true"] if number else []
        killed(tmp_path, after, *KEYS, "hydra.run.dir=here", *more)
    here = finished("here", "resume=true")
    assert tables(here) == tables(whole)
    ended = summary(here)
    assert ended["profiles_restored"] >= sum(kills) / 2 - 1
    assert ended["profiles_restored"] + ended["profiles_measured"] == expected["profiles_measured"]
    unlike = {"wall_s", "planning_wall_s", "bound_wall_s", "profiles_restored", "profiles_measured"}
    assert {key for key in ended if ended[key] != expected[key]} <= unlike
