"""CherryPick-style: spread starts, runs of whole plans, the rule to stop, the cheapest plan."""

from itertools import islice

import numpy as np
import polars as pl
import pytest
from worlds import asked, coding_without_gpus, queries_at, run, scenario, tables_of

from planners.baselines.cherrypick import CherryPick, PlanRuns, spread
from planners.common.orders import Orders
from scenarios.cluster import Node
from scenarios.slo import Tier
from scenarios.workload import Workload

CLOUD = {"cloud": Node("cloud", "a2-highgpu-1g", count=2)}
FLOOR = Workload(
    0.1, lifetime_mean_s=100.0, lifetime_min_s=50.0, tiers={"any": Tier(1.0, 4.0, 0.8, 1.0)}
)


def with_desk(ask, calls=1, workload=FLOOR, nodes=CLOUD):
    return asked(ask, scenario(40.0, nodes=nodes, workload=workload), 60.0, calls)


def test_starts_are_spread_over_every_knob_and_layout():
    def ask(context, query):
        view = context.bulk.view(query)
        draws = [
            list(islice(spread(context.world.pipeline, view, np.random.default_rng(seed)), 24))
            for seed in (0, 1)
        ]
        chosen = [
            context.world.pipeline.configurations[view.configuration[each]] for each in draws[0]
        ]
        seen = [len({each.values[knob] for each in chosen}) for knob in range(3)]
        return draws, seen, len({int(view.layout[each]) for each in draws[0]})

    ((draws, seen, layouts),) = with_desk(ask, nodes=None)
    assert draws[0] != draws[1]
    assert len(set(draws[0])) == len(draws[0])
    assert seen == [5, 5, 5]
    assert layouts > 12


def test_tried_plans_are_tried_once_and_remembered():
    def ask(context, query):
        runs = PlanRuns(context, query, Orders(context), 16, 1.0)
        before = list(runs.tried)
        for index in islice(spread(context.world.pipeline, runs.view, np.random.default_rng(0)), 3):
            assert runs.has_room(index) == (index not in before)
            left_s = context.remaining(query)
            runs.run(index) if index not in before else None
            assert (context.remaining(query) < left_s) == (index not in before)
        return before, list(runs.tried)

    (before, after), (remembered, _) = with_desk(ask, calls=2, workload=queries_at(1.0))
    assert before == []
    assert remembered == after
    assert len(after) == 3


def test_candidates_are_below_the_ceiling_and_the_best_is_the_cheapest_that_would_do():
    def ask(context, query):
        runs, slo = PlanRuns(context, query, Orders(context), 16, 1.0), query.slo
        cost = runs.view.cost_usd_per_hour
        assert runs.best() is None
        good = []
        starts = islice(spread(context.world.pipeline, runs.view, np.random.default_rng(0)), 40)
        for start in [*filter(runs.has_room, starts), *[None] * 8]:
            index, saving = (start, 0.0) if start is not None else runs.propose()
            assert saving >= 0
            runs.run(index)
            plan = runs.view.plan(index)
            shown = context.predict(query, plan)
            if shown.latency_quantile_s <= slo.latency_s and shown.accuracy_mean >= slo.accuracy:
                good.append(float(cost[index]))
        beyond = np.flatnonzero(cost > slo.cost_usd_per_hour)
        open_ = [runs.has_room(each) for each in beyond[:20].tolist()]
        return good, float(cost[runs.best()]), open_, float(cost[runs.tried].max())

    ((good, best, open_, dearest),) = with_desk(ask)
    assert len(good) > 1
    assert best == min(good)
    assert open_
    assert not any(open_)
    assert dearest <= 1.0


def test_a_plan_without_room_is_not_proposed():
    def ask(context, query):
        orders = Orders(context)
        orders.fits = lambda query, plan: False
        runs = PlanRuns(context, query, orders, 16, 1.0)
        return runs.propose(), runs.best()

    assert with_desk(ask) == [(None, None)]


def trials_of(**changes):
    made = run(
        scenario(25.0, nodes=CLOUD, workload=queries_at(1.0)),
        CherryPick(samples=16, budget_s=15.0, **changes),
    )
    return made.tables.take()


def test_it_stops_when_too_little_is_to_be_saved_but_not_before_enough_runs():
    """No step promises to save all of the cost, and every one promises something."""
    planned_s = [
        trials_of(least_runs=least, stop_saving=share)["decisions"]["charged_s"][0]
        for least, share in ((3, 1.0), (10, 1.0), (10, 0.0))
    ]
    assert planned_s == sorted(planned_s)
    assert planned_s[0] < planned_s[1]


def test_what_is_deployed_meets_every_part_of_the_slo_as_believed():
    tables = tables_of(scenario(60.0, nodes=CLOUD, workload=FLOOR), CherryPick(samples=32))
    shown = tables["profiling"].group_by("query", "configuration").last()
    floors = tables["queries"].select("query", "slo_accuracy")
    orders = tables["decisions"].join(shown, on=["query", "configuration"]).join(floors, on="query")
    assert orders.height == tables["decisions"].height > 2
    assert (orders["accuracy_mean"] >= orders["slo_accuracy"]).all()
    assert (orders["list_price_usd_per_hour"] <= 1.0).all()
    assert (orders.filter(pl.col("trigger") == "tick").height) == 0


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("samples", 1, "2 or more"), ("starts", 0, "a whole number of 1 or more")],
)
def test_parameters_that_make_no_sense_are_refused(name, value, allowed):
    with pytest.raises(ValueError, match=f"^{name}={value}: must be {allowed}$"):
        CherryPick(**{name: value})


def test_a_query_that_no_plan_could_serve_is_left_alone():
    tables = tables_of(coding_without_gpus(), CherryPick(samples=16))
    assert set(tables["queries"]["deployments"]) == {0}
