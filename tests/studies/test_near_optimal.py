"""How close to the optimum: plans judged by the model, and the planners between Compass and it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import polars as pl
import pytest
from worlds import queries_at, scenario

from lab.config.compose import compose, set_up
from lab.runs.api import Result
from lab.runs.runner import single_threaded
from planners import ILP, Compass
from planners.compass.state.pools import Market
from planners.compass.state.records import SEARCH, Offer, SearchState, keep_search_state
from planners.reference.compass_bounds import CompassSeesTruth, TrueSearch
from scenarios.cluster import Node
from scenarios.queries import Query
from scenarios.scenario import Scenario
from scenarios.slo import Tier
from sim import Planner, PlanningContext, check_planner
from sim.controlplane.world import World
from sim.dataplane.blocks.plane import BlocksPlane
from studies.experiments import near_optimal
from studies.probes.model_objective import Stay, objective, stays

NAMES = [name for name, _ in near_optimal.CHAIN]
MIDDLE = NAMES[1:-1]
HORIZON_S = 100.0
FEW = scenario(
    HORIZON_S,
    workload=queries_at(5.0, 20.0, 65.0),
    nodes={"edge": Node("edge", "g2-standard-8", standby=1)},
)
"""A small world: three queries that stay, of which the last comes in the second half."""


def shipped(name: str) -> Planner:
    """Return a planner by the name of its file."""
    overrides = [f"planner={name}"]
    [planner] = set_up(compose(overrides), overrides).planners.values()
    return planner


def made(planner: Planner, a_scenario: Scenario) -> tuple[World, Result]:
    """Run a world to its end."""
    world = World(a_scenario, planner, 1, BlocksPlane)
    with single_threaded():
        world.run(a_scenario.horizon_s)
    assert world.planner_errors == []
    frames: Mapping[str, pl.DataFrame] = world.tables.take()
    return world, Result({}, **frames, scenario=a_scenario, seed=1)


@cache
def shipped_run(name: str) -> tuple[World, Result]:
    """Run a planner of the chain in a small world, once."""
    return made(shipped(name), FEW)


@dataclass(frozen=True)
class Worst(Planner):
    """Deploys a plan that the truth says is too late for its query, and never looks again."""

    sees_truth = True

    def plan(self, context: PlanningContext) -> None:
        """Deploy for whoever waits."""
        for query in context.waiting:
            truth = context.bulk.truth(query)
            _, latency_s = context.bulk.predict_many(
                query,
                truth.view,
                range(len(truth.view)),
                truth.operator_time_s[truth.view.configuration],
                truth.time_cv[truth.view.configuration],
                0.5,
            )
            late = [number for number, each in enumerate(latency_s) if each > 4.0]
            number = next(each for each in late if context.fits(query, truth.view.plan(each)))
            context.deploy(query, truth.view.plan(number))


@pytest.mark.slow
def test_the_model_is_asked_at_moments_of_the_second_half():
    found = objective(shipped_run("ilp")[1], 0.5, every_s=10.0)
    # Five moments from 50 s on; the last query misses the first two of them.
    assert found["optimum"] == pytest.approx(2 + 3 / 5)
    assert found["served"] == found["deployed"] == found["optimum"]
    assert found["unproven"] == 0.0


def test_plans_are_held_against_each_of_the_models():
    """A model with busier stations is never easier to satisfy."""
    _, result = shipped_run("ilp")
    found = near_optimal.objectives(result)
    for model, utilisation in near_optimal.LOADS.items():
        for key, value in objective(result, utilisation).items():
            assert found[f"{model}_{key}"] == value
    assert 0.0 < found["busy_model_optimum"] <= found["model_optimum"]


def test_the_models_are_those_that_the_ilp_and_compass_plan_by():
    assert near_optimal.LOADS["model"] == ILP().utilisation
    assert near_optimal.LOADS["busy_model"] == Compass().search.model.load


@pytest.mark.slow
def test_at_a_station_that_is_busy_for_longer_less_is_in_time():
    _, result = shipped_run("ilp")
    served = [objective(result, utilisation, 10.0)["optimum"] for utilisation in (0.0, 0.5, 0.79)]
    assert served == sorted(served, reverse=True)
    late = objective(result, 0.999, 10.0)
    assert late["served"] < late["deployed"]


def test_plans_that_are_late_by_the_truth_are_worth_nothing():
    _, result = made(Worst(), FEW)
    found = objective(result, 0.5, every_s=10.0)
    assert found["deployed"] > 0.0
    assert found["served"] == 0.0
    assert found["optimum"] == pytest.approx(2 + 3 / 5)


def decisions(rows: list[tuple[int, str, float, float | None, str | None]]) -> pl.DataFrame:
    """Return decisions of these queries, outcomes, times of decision and of force, and plans."""
    names = ["query", "outcome", "decided_s", "in_force_s", "plan"]
    return pl.DataFrame(rows, names, orient="row").with_columns(
        deployment=pl.when(outcome="deployed").then(pl.int_range(len(rows)))
    )


def test_stays_end_where_another_plan_is_in_force_or_the_query_is_released():
    rows = [
        (0, "deployed", 1.0, 2.0, "a"),
        (1, "deployed", 1.0, 3.0, "x"),
        (0, "refused", 4.0, None, "z"),
        (0, "deployed", 5.0, 7.0, "b"),
        (0, "released", 9.0, None, None),
        (0, "deployed", 11.0, 12.0, "a"),
    ]
    assert stays(decisions(rows), 20.0) == (
        Stay(0, "a", 2.0, 7.0),
        Stay(0, "a", 12.0, 20.0),
        Stay(0, "b", 7.0, 9.0),
        Stay(1, "x", 3.0, 20.0),
    )


def test_a_plan_replaced_or_released_while_loading_was_never_in_force():
    rows = [
        (0, "deployed", 0.0, 10.0, "overtaken"),
        (0, "deployed", 5.0, 7.0, "a"),
        (1, "deployed", 1.0, 9.0, "released"),
        (1, "released", 4.0, None, None),
    ]
    assert stays(decisions(rows), 100.0) == (Stay(0, "a", 7.0, 100.0),)


@pytest.mark.parametrize("name", MIDDLE)
def test_planners_of_the_chain_say_that_they_see_the_truth(name: str):
    planner = shipped(name)
    assert isinstance(planner, Compass)
    assert planner.sees_truth
    assert not Compass.sees_truth


@pytest.mark.slow
@pytest.mark.parametrize("name", MIDDLE)
def test_planners_of_the_chain_keep_the_contract(name: str):
    check_planner(shipped(name))


@pytest.mark.slow
def test_each_step_adds_one_thing():
    charged_s, profiled, known = {}, {}, {}
    for name in NAMES[:-1]:
        world, result = shipped_run(name)
        decisions = result.decisions.filter(trigger="arrival", outcome="deployed")
        assert decisions.height == 3
        charged_s[name] = float(decisions["charged_s"].sum())
        profiled[name] = result.profiling.filter(pl.col("query").is_not_null()).height
        known[name] = world.planning_service.memory.read((SEARCH, 0), world.env.now, 0).profiled
    assert charged_s["compass_sees_truth"] > 0.1 * charged_s["compass"] > 0.01
    assert profiled["compass_sees_truth"] > 0
    assert charged_s["compass_no_delay"] < 0.01 * charged_s["compass_sees_truth"]
    assert profiled["compass_no_delay"] == profiled["compass_all_plans"] == 0
    every = len(FEW.application.pipeline.configurations)
    assert len(known["compass_no_delay"]) < len(known["compass_all_plans"]) == every
    true = {index: seen.accuracy for index, seen in known["compass_all_plans"].items()}
    for name in NAMES[:-1]:
        exact = all(seen.accuracy == true[index] for index, seen in known[name].items())
        assert exact == (name != "compass")


@dataclass(frozen=True)
class Looks(TrueSearch):
    """Finds nothing, and records whether the context's views are those of the truth."""

    def run(
        self, context: PlanningContext, query: Query, market: Market, seconds: float, improve: bool
    ) -> list[Offer]:
        """Look at the views of a query."""
        view, truth = context.bulk.view(query), context.bulk.truth(query)
        role = "true" if view is truth.view else "nominal"
        context.bulk.log_candidate(query, view.plan(0), role, 0.0, 0.0)
        return []


def test_views_are_those_of_the_truth():
    _, result = made(CompassSeesTruth(search=Looks()), FEW)
    assert result.offers["role"].unique().to_list() == ["true"]


@dataclass(frozen=True)
class Confirms(TrueSearch):
    """Finds nothing, and puts on record whether there is more to learn of what was looked at."""

    def run(
        self, context: PlanningContext, query: Query, market: Market, seconds: float, improve: bool
    ) -> list[Offer]:
        """Look at a configuration, and try to confirm it."""
        shown = self.look(context, query, context.world.pipeline.configurations[0])
        assert shown is not None
        keep_search_state(context, query, SearchState({0: shown}))
        role = "profiled further" if self.confirm(context, query, market, 0) else "known"
        context.bulk.log_candidate(
            query, context.bulk.view(query).plan(0), role, 0.0, shown.accuracy
        )
        return []


@pytest.mark.slow
def test_true_values_are_not_profiled_further():
    floor = {"any": Tier(latency_s=4.0, accuracy_of_best=0.97)}
    demanding = replace(FEW, workload=replace(FEW.workload, tiers=floor))
    _, result = made(CompassSeesTruth(search=Confirms()), demanding)
    assert result.offers["role"].unique().to_list() == ["known"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MIDDLE)
def test_planners_that_see_the_truth_deploy_only_plans_feasible_in_the_model(name: str):
    found = objective(shipped_run(name)[1], 0.5, every_s=20.0)
    assert found["served"] == found["deployed"] > 0


def frame(**ratios: list[float]) -> pl.DataFrame:
    """Return rows of one scene: what planners are worth in the model, one value a seed."""
    return pl.DataFrame(
        [
            {
                "planner": planner,
                "seed": seed,
                "model_served": each * 10,
                "model_optimum": 10.0,
                "model_unproven": 0.0,
                "busy_model_served": each * 4,
                "busy_model_optimum": 5.0,
                "busy_model_unproven": 0.0,
            }
            for planner, values in ratios.items()
            for seed, each in enumerate(values)
        ]
    )


def test_the_ratio_in_the_model_is_a_mean_over_seeds():
    seeds, (middle, low, high) = near_optimal.in_model(frame(compass=[1.0, 0.8, 0.9]))
    assert seeds == 3
    assert middle == pytest.approx(0.9)
    half = 4.3026527 * 0.1 / 3**0.5  # t(0.975, 2), sd 0.1
    assert (low, high) == (pytest.approx(0.9 - half), 1.0)  # None is worth more than the optimum.
    assert near_optimal.in_model(frame(compass=[1.0, 0.8, 0.9]), "busy_model")[1][0] == (
        pytest.approx(0.72)
    )
    stopped = frame(compass=[1.0, 0.8, 0.9]).with_columns(model_unproven=pl.lit(0.1))
    assert near_optimal.in_model(stopped)[1] == pytest.approx((0.9, 0.9 - half, 0.9 + half))


def test_of_several_scenes_each_seed_counts_once():
    """An effect that scenes of a seed share does not narrow the interval of their mean."""
    both = pl.concat([frame(compass=[1.0, 0.8, 0.9]), frame(compass=[0.9, 0.7, 0.8])])
    seeds, (middle, low, high) = near_optimal.in_model(both)
    assert seeds == 3
    assert middle == pytest.approx(0.85)
    assert (low, high) == (pytest.approx(0.85 - 4.3026527 * 0.1 / 3**0.5), 1.0)
