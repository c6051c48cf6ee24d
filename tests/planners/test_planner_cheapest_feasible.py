"""CheapestFeasible: the first feasible plan by cost, nobody if nothing is feasible, its budget."""

import polars as pl
import pytest
from worlds import run, scenario, tables_of

from planners import CheapestFeasible
from scenarios.queries import Query
from scenarios.slo import Tier
from scenarios.workload import Workload
from sim import PlanningContext


class Replayed(CheapestFeasible):
    """Asks anew, at every decision, for all feasible plans that are cheaper than the one chosen."""

    def plan(self, context: PlanningContext) -> None:
        before = {query.id for query in context.waiting}
        super().plan(context)
        for query in context.waiting:
            if query.id in before and context.recall(("hopeless", query.id), query) is None:
                context.remember(("first", query.id), self._first(context, query))

    def _first(self, context: PlanningContext, query: Query) -> str | None:
        for plan in context.candidates(query, order="cost"):
            # All that the search could afford is known now: asking again costs nothing.
            if context.profile(query, plan, self.samples).meets(query.slo) and context.fits(
                query, plan
            ):
                return str(plan)
        return None


def test_it_deploys_the_cheapest_plan_that_meets_the_slo_and_fits():
    world = run(scenario(), Replayed(budget_s=60.0))
    decisions = world.tables.take()["decisions"].filter(pl.col("outcome") == "deployed")
    assert not world.planner_errors
    assert decisions.height > 3
    for query, plan in decisions.select("query", "plan").iter_rows():
        assert world.planning_service.memory.read(("first", query), world.env.now, 0) == plan


def test_a_plan_that_the_device_can_run_for_nothing_comes_first():
    workload = Workload(0.1, tiers={"patient": Tier(latency_s=1000.0)})
    decisions = run(scenario(workload=workload), CheapestFeasible()).tables.take()["decisions"]
    assert decisions.height > 3
    assert (decisions["list_price_usd_per_hour"] == 0).all()


@pytest.mark.parametrize(
    "tier",
    [
        Tier(latency_s=1e-6),
        Tier(latency_s=2.0, accuracy_of_best=1.5),
    ],
)
def test_it_serves_nobody_when_nothing_is_feasible(tier):
    tables = tables_of(scenario(workload=Workload(0.1, tiers={"hard": tier})), CheapestFeasible())
    assert tables["queries"].height > 3
    assert tables["decisions"].height == 0
    assert tables["queries"]["response_time_s"].is_null().all()


def test_a_budget_of_nothing_serves_nobody():
    tables = run(scenario(), CheapestFeasible(budget_s=0.0)).tables.take()
    assert tables["profiling"].height == 0
    assert tables["decisions"].height == 0


def test_fewer_samples_cost_less_profiling():
    hours = [
        run(
            scenario(), CheapestFeasible(samples=samples, budget_s=1e6)
        ).planning_service.profiling_device_s
        for samples in (10, 50)
    ]
    assert hours[0] < hours[1] / 2
