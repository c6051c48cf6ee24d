"""Planners when many queries wait for a profiling lane: the queue does not grow without end."""

import polars as pl
import pytest

from lab import run

OVERRIDES = ("experiment=speech_small", "horizon_s=60", "seed=900")


@pytest.mark.parametrize(
    ("planner", "rate", "soon"),
    [("compass", 1.0, 0.9), ("compass", 2.0, 0.5), ("vulcan", 1.0, 0.9), ("greedy", 1.0, 0.9)],
)
def test_searches_get_shorter_if_lanes_cannot_do_all_of_them(
    planner: str, rate: float, soon: float
) -> None:
    result = run([*OVERRIDES, f"planner={planner}", f"workload.rate={rate}"])
    came = result.queries.filter(pl.col("arrival_s") < 45)
    seen = result.profiling.drop_nulls("query").group_by("query").agg(pl.col("at_s").min())
    waited_s = came.join(seen, "query", "left").select(pl.col("at_s") - pl.col("arrival_s"))
    # Full searches take more than 2 s of the only lane, so most queries would wait for longer.
    assert (waited_s.to_series().fill_null(60.0) < 15.0).mean() > soon
    assert came["planning_s"].mean() < 1.5


@pytest.mark.parametrize("planner", ["compass", "vulcan", "greedy"])
def test_a_search_has_its_whole_budget_while_lanes_are_free(planner: str) -> None:
    overrides = [*OVERRIDES, f"planner={planner}", "cluster.profiling.count=64"]
    result = run([*overrides, "workload.rate=0.05"])
    assert result.queries["planning_s"].max() > 4.0
