"""Planners when many queries wait for a profiling lane: the queue does not grow without end."""

import polars as pl
import pytest
from worlds import queries_at, scenario
from worlds import run as run_world

from lab import run
from planners import CheapestFeasible, Compass
from scenarios.cluster import POOL, Profiling
from sim import Planner, PlanningContext
from sim.controlplane.world import World

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


class Noting(CheapestFeasible):
    """Records, after each call, which queries it has given up."""

    def plan(self, context: PlanningContext) -> None:
        super().plan(context)
        given_up = [
            query.id
            for query in context.waiting
            if context.recall(("hopeless", query.id), query) is not None
        ]
        context.remember(("given up", context.now_s), given_up)


def one_lane(planner: Planner, *at_s: float, latency_s: float) -> World:
    """Run a world with one board for profiling."""
    workload = queries_at(*at_s, dataset="VOiCES", latency_s=latency_s)
    profiling = Profiling(kind=POOL, count=1, workers=1)
    made = run_world(scenario(40.0, workload=workload, profiling=profiling), planner)
    assert made.planner_errors == []
    return made


def test_cheapest_feasible_gives_up_only_after_a_whole_search_or_all_plans() -> None:
    arrivals = 0.5, 0.6, 0.7, 10.0, 20.0
    made = one_lane(Noting(budget_s=5.0), *arrivals, latency_s=1e-6)
    memory = made.planning_service.memory
    given_up = [memory.read(("given up", at_s), made.env.now, 0) for at_s in arrivals]
    # At each of these times, the first of those that are left gets the lane for a whole search.
    assert given_up == [[0], [], [], [0, 1], [0, 1, 2]]


def test_compass_does_not_pause_a_query_because_its_search_was_cut_short() -> None:
    arrivals = [0.5 + number / 100 for number in range(8)]
    decisions = one_lane(Compass(budget_s=5.0), *arrivals, latency_s=4.0).tables.take()["decisions"]
    before_any_pause_ends = decisions.filter(pl.col("triggered_s") < Compass().pause_s)
    assert before_any_pause_ends["query"].n_unique() >= 6
