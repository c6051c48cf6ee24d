"""check_planner finds planners that never end, or that reach behind or change the context."""

import re
from contextlib import suppress

import pytest
from checked_planners import Cheapest, complaint

from sim import Planner, PlanningContext


class AsksForEver(Cheapest):
    def choose(self, context, query):
        while context.remaining(query) > -1:
            pass


class AsksInVainForEver(Cheapest):
    def choose(self, context, query):
        while context.recall("an answer") is None:
            pass


class WaitsForTheWorld(Planner):
    """Waits within a call for what happens only between calls."""

    def plan(self, context: PlanningContext) -> None:
        while context.now_s < 60.0:
            pass


class Stubborn(Cheapest):
    def choose(self, context, query):
        while True:
            try:
                context.remaining(query)
            except Exception:
                continue


class SwallowsAll(Cheapest):
    """Asks very often, and makes nothing of what is raised."""

    def choose(self, context, query):
        for _ in range(35_000):
            try:
                context.remaining(query)
            except BaseException:
                continue


@pytest.mark.usefixtures("short_worlds")
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (AsksForEver, "more than 10,000 calls of the planning context in one search"),
        (AsksInVainForEver, "more than 20,000 calls of the planning context in one call of plan"),
        (WaitsForTheWorld, "more than 30,000 times in one call .* the world stands still"),
        (Stubborn, "more than 30,000 times in one call"),
        (SwallowsAll, "more than 30,000 times in one call"),
    ],
)
def test_a_call_without_an_end_is_told(monkeypatch, kind, sentence):
    # Fewer than in truth, so that calls without an end are found sooner.
    monkeypatch.setattr("sim.planning.call.MOST_CALLS_PER_SEARCH", 10_000)
    monkeypatch.setattr("sim.planning.call.MOST_CALLS", 20_000)
    monkeypatch.setattr("sim.conformance.guarded_context.MOST_READS", 30_000)
    assert re.search(sentence, complaint(kind))


class Peeks(Cheapest):
    def choose(self, context, query):
        state = context._service.registry.living[query.id]
        return super().choose(context, query) if state.truth.device_factor < 1 else None


class PeeksQuietly(Cheapest):
    def choose(self, context, query):
        with suppress(Exception):
            print(context._service.registry)
        return super().choose(context, query)


class PeeksByVars(Cheapest):
    def choose(self, context, query):
        return super().choose(context, query) if vars(context)["_service"] else None


class Extends(Cheapest):
    """Gives itself more time."""

    def choose(self, context, query):
        context._budget_s = 100.0
        return super().choose(context, query)


class SeesTruthUntold(Cheapest):
    def choose(self, context, query):
        return super().choose(context, query) if context.bulk.truth(query).accuracy[0] else None


class Overspends(Cheapest):
    def plan(self, context):
        type(self).replan_every_s = 2.0
        try:
            super().plan(context)
        finally:
            type(self).sees_truth = True


class RaisesItsBudget(Planner):
    """Sets more time for itself once it is running."""

    budget_s = 1.0

    def plan(self, context: PlanningContext) -> None:
        type(self).budget_s = 50.0
        for query in context.waiting:
            context.charge(query, "search_step", 100)


class NamesOneRecord(Cheapest):
    query_records = "seen"


class Enlarges(Cheapest):
    def choose(self, context, query):
        context.world.cluster.nodes["edge"].count = 9
        return super().choose(context, query)


class MakesCheap(Cheapest):
    """Changes prices in arrays that all share."""

    def choose(self, context, query):
        context.bulk.view(query).space.list_price_usd_per_hour[:] = 0.0
        return super().choose(context, query)


class ChangesAView(Cheapest):
    def choose(self, context, query):
        context.bulk.view(query).latency_factors[:] = 1.0
        return super().choose(context, query)


class Rewrites(Cheapest):
    """Goes on writing into what it remembered."""

    def choose(self, context, query):
        seen = context.recall("seen")
        if seen is None:
            seen = []
            context.remember("seen", seen)
        seen.append(query.id)
        return super().choose(context, query)


class RemembersFunctions(Cheapest):
    def choose(self, context, query):
        context.remember("rule", lambda plan: plan)
        return super().choose(context, query)


class Renames(Cheapest):
    def choose(self, context, query):
        context.trigger = "arrival"
        return super().choose(context, query)


@pytest.mark.usefixtures("short_worlds")
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            Peeks,
            r"test_planner_boundary reads context._service: planners see the public context only",
        ),
        (PeeksQuietly, "reads context._service"),
        (PeeksByVars, "reads context.__dict__"),
        (Extends, "sets context._budget_s"),
        (Renames, "sets context.trigger"),
        (SeesTruthUntold, "fails at .* sees_truth = True"),
        (NamesOneRecord, "query_records='seen': must be a tuple of names"),
        (RaisesItsBudget, "changes its budget_s while planning, from 1.0 to 50.0"),
        (Overspends, "changes its replan_every_s while planning"),
        (Enlarges, "changes what the planning context shows of the catalogue"),
        (MakesCheap, "changes what the planning context shows of the catalogue|read-only"),
        (ChangesAView, "fails at .* read-only"),
        (Rewrites, "changes what it remembers under 'seen' after it wrote it"),
        (RemembersFunctions, "what it remembers under 'rule' cannot be pickled"),
    ],
)
def test_a_planner_that_breaks_the_contract_is_told_how_in_one_sentence(
    monkeypatch, kind, sentence
):
    for setting in ("budget_s", "replan_every_s", "sees_truth"):  # which some of them change
        monkeypatch.setattr(kind, setting, getattr(kind, setting))
    assert re.search(sentence, complaint(kind))
