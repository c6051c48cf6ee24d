"""check_planner passes good planners, and names the fault of each kind of bad one."""

import inspect
import os
import random
import re
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import ClassVar

import numpy as np
import pytest

from sim import Plan, Planner, PlannerCheckError, PlanningContext, check_planner
from sim.conformance.worlds import empty_world


class Cheapest(Planner):
    """A planner that keeps the contract: the cheapest plan that fits, whatever it is worth.

    Args:
        samples: items profiled, of no consequence.
        budget_s: planning seconds of a search.
    """

    def __init__(self, samples: int = 2, budget_s: float = 5.0) -> None:
        self.samples = samples
        self.budget_s = budget_s

    def plan(self, context: PlanningContext) -> None:
        for query in context.waiting:
            plan = self.choose(context, query)
            if plan is not None and context.fits(query, plan):
                context.deploy(query, plan)

    def choose(self, context, query):
        plan = next(context.candidates(query), None)
        if plan is not None:
            context.profile(query, plan, self.samples)
        return plan


class Declines(Planner):
    """Serves nobody."""

    def plan(self, context: PlanningContext) -> None:
        pass


class Remembers(Cheapest):
    """Keeps what it learned where it belongs: estimates, which work things out when asked."""

    def choose(self, context, query):
        plan = super().choose(context, query)
        known = context.recall("first") or context.profile(query, plan, self.samples)
        context.remember("first", known, query)
        return plan if known.accuracy_mean > 0 else None


class Draws(Cheapest):
    """Keeps random generators that its seed determines."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.other = random.Random(seed)

    samples, budget_s = 2, 5.0

    def choose(self, context, query):
        context.charge(query, count=int(self.rng.integers(1000)) + self.other.randrange(1000))
        return super().choose(context, query)


def test_two_lines_check_a_planner():
    check_planner(Cheapest())


@pytest.mark.parametrize(
    "planner", [Declines(), Remembers(), Cheapest(budget_s=0.0), Draws()], ids=repr
)
def test_a_planner_that_keeps_the_contract_passes(planner):
    check_planner(planner, other_process=False)


@pytest.fixture
def quick(monkeypatch):
    """Leave out the worlds that a planner keeps the contract in; that takes most of the time."""
    for name in ("overloaded_world", "failing_world"):
        monkeypatch.setattr(f"sim.conformance.check_planner.{name}", empty_world)


@pytest.mark.usefixtures("quick")
def test_a_class_without_a_name_elsewhere_is_checked_as_far_as_it_goes(monkeypatch):
    """As in a notebook: it can be pickled here, and not be loaded in another process."""
    monkeypatch.setattr(Declines, "__module__", "__main__")
    monkeypatch.setattr("__main__.Declines", Declines, raising=False)
    check_planner(Declines())


# Parameters


class Forgets(Cheapest):
    def __init__(self, margin: float = 0.1) -> None:
        pass


class Computes(Cheapest):
    def __init__(self, samples: int = 2) -> None:
        self.samples = samples
        self.half = samples / 2


class Doubles(Cheapest):
    def __init__(self, samples: int = 2) -> None:
        self.samples = 2 * samples


class Unpicklable(Cheapest):
    def __init__(self, rule=lambda plan: plan) -> None:
        self.rule = rule


class Part:
    """A part that is another one after it was sent somewhere."""

    numbers = count()

    def __reduce__(self):
        return Part.made, (next(Part.numbers),)

    @staticmethod
    def made(number):
        made = Part()
        made.number = number
        return made


class ChangesOnTheWay(Cheapest):
    def __init__(self, part: Part | None = None) -> None:
        self.part = part or Part()


# Faults


class Raises(Cheapest):
    def choose(self, context, query):
        raise ValueError("of no\nimportance")


class Misspells(Cheapest):
    def plan(self, context):
        return context.waitin


class NeedsABound(Cheapest):
    """Takes it that every SLO has a bound on latency."""

    def choose(self, context, query):
        return super().choose(context, query) if 0.7 * query.slo.latency_s else None


class OnlyWhenEmptyHanded(Cheapest):
    """Fails when there is no room."""

    def choose(self, context, query):
        plans = (plan for plan in context.candidates(query) if "device" not in plan.placement)
        return next(plan for plan in plans if context.fits(query, plan))


class Returns(Cheapest):
    def plan(self, context):
        return {query.id: self.choose(context, query) for query in context.waiting}


class Yields(Cheapest):
    def plan(self, context):
        for query in context.waiting:
            yield query, self.choose(context, query)


class ChangesAQuery(Cheapest):
    def choose(self, context, query):
        query.slo = None


class ChangesAQueryByForce(Cheapest):
    def choose(self, context, query):
        object.__setattr__(query, "slo", None)


class ChangesAnSlo(Cheapest):
    def choose(self, context, query):
        query.slo.latency_s = None


class FailsInALibrary(Cheapest):
    def choose(self, context, query):
        return np.linalg.cholesky(np.full((2, 2), -1.0))


class TakesNothing(Cheapest):
    def plan(self):
        pass


class FailsAfterFailure(Cheapest):
    def plan(self, context):
        super().plan(context)
        if context.trigger in ("failure", "recovery"):
            raise RuntimeError("not foreseen")


class Invents(Cheapest):
    """Deploys a plan on a node that is not there."""

    def choose(self, context, query):
        plan = super().choose(context, query)
        return Plan(plan.configuration, ("moon",) * len(plan.placement), plan.allocation)


class DeploysNonsense(Cheapest):
    def plan(self, context):
        for query in context.waiting:
            context.deploy(query, "cheap")


class AsksForTooMuch(Cheapest):
    """Deploys more than any machine holds, again and again."""

    replan_every_s = 1.0

    def plan(self, context):
        for query in context.waiting:
            for plan in context.candidates(query):
                if plan.placement[-1] == "edge":
                    last = replace(plan.allocation[-1], replicas=64)
                    order = replace(plan, allocation=(*plan.allocation[:-1], last))
                    context.deploy(query, order)
                    break


class PredictsBeforeProfiling(Cheapest):
    def choose(self, context, query):
        plan = next(context.candidates(query))
        return plan if context.predict(query, plan).latency_mean_s else None


# Calls without an end


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


# The boundary


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

    @classmethod
    def mend(cls):
        cls.replan_every_s, cls.sees_truth = None, False


class RaisesItsBudget(Planner):
    """Sets more time for itself once it is running."""

    budget_s = 1.0

    def plan(self, context: PlanningContext) -> None:
        type(self).budget_s = 50.0
        for query in context.waiting:
            context.charge(query, "search_step", 100)


class NamesOneRecord(Cheapest):
    query_records = "seen"


# Inputs


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


# State and chance


class Counts(Cheapest):
    def plan(self, context):
        self.calls = getattr(self, "calls", 0) + 1
        super().plan(context)


class Tunes(Cheapest):
    def plan(self, context):
        self.samples += 1
        super().plan(context)


class Box:
    """A part that keeps count, and does not say so when it is pickled."""

    def __init__(self) -> None:
        self.count = 0

    def __getstate__(self):
        return {}

    def __setstate__(self, state):
        self.count = 0


class KeepsInAPart(Cheapest):
    def __init__(self, box: Box | None = None) -> None:
        self.box = box if box is not None else Box()

    samples, budget_s = 2, 5.0

    def choose(self, context, query):
        self.box.count += 1
        context.profile(query, context.world.pipeline.configurations[self.box.count % 50], 2)
        return super().choose(context, query)


class DrawsGlobally(Cheapest):
    def choose(self, context, query):
        return super().choose(context, query) if random.random() < 2 else None


class DrawsFromNumpy(Cheapest):
    def choose(self, context, query):
        return super().choose(context, query) if np.random.rand() < 2 else None  # noqa: NPY002


class TakesAGenerator(Cheapest):
    def __init__(self, rng: np.random.Generator | None = None) -> None:
        self.rng = rng or np.random.default_rng()


class MakesAGeneratorLater(Cheapest):
    def choose(self, context, query):
        self.rng = np.random.default_rng(3)
        return super().choose(context, query)


class KeepsAnUnseededGenerator(Draws):
    def __init__(self) -> None:
        super().__init__()
        del self.seed
        self.rng = np.random.default_rng()


class DrawsFromNowhere(Cheapest):
    def choose(self, context, query):
        context.charge(query, count=int(np.random.default_rng().integers(1_000_000)))
        return super().choose(context, query)


class SharedByAll(Cheapest):
    """Keeps state on its class, which every copy sees."""

    calls = count()

    def choose(self, context, query):
        context.charge(query, count=next(self.calls))
        return super().choose(context, query)


class GoesByHash(Cheapest):
    """Takes what comes first from a set of names, which depends on the process."""

    def choose(self, context, query):
        first = next(iter({f"name {number}" for number in range(1000)}))
        context.charge(query, count=int(first.split()[-1]))
        return super().choose(context, query)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (Forgets, "does not store its parameter 'margin': write self.margin = margin"),
        (Computes, "keeps 'half', which is no parameter .* random generators such as self.rng"),
        (Doubles, "__init__ changes its arguments"),
        (Unpicklable, "cannot be pickled"),
        (ChangesOnTheWay, "comes back from pickling with other parameters"),
        (Raises, r"fails at .* on arrival: ValueError in test_check_planner.py:\d+: of no import"),
        (
            Misspells,
            "AttributeError .* the planning context has no 'waitin'; did you mean 'waiting'",
        ),
        (NeedsABound, "fails at .* TypeError"),
        (OnlyWhenEmptyHanded, "fails at .* StopIteration"),
        (Returns, r": plan must return None and order with context\.deploy.* of type dict$"),
        (Yields, r": plan must not yield"),
        (
            TakesNothing,
            r"TypeError where the world calls TakesNothing\.plan\(context\): .* takes 1 positional",
        ),
        (FailsAfterFailure, "fails at .* on recovery: RuntimeError"),
        (Invents, "fails at .* PlannerError .* 'moon'"),
        (DeploysNonsense, "fails at .* PlannerError .* not Query and str"),
        (AsksForTooMuch, "more than 20 times in a row, refused each time: ask context.fits"),
        (PredictsBeforeProfiling, "PlannerError .* profile .* first"),
        (AsksForEver, "more than 10,000 calls of the planning context in one search"),
        (AsksInVainForEver, "more than 20,000 calls of the planning context in one call of plan"),
        (WaitsForTheWorld, "more than 30,000 times in one call .* the world stands still"),
        (Stubborn, "more than 30,000 times in one call"),
        (SwallowsAll, "more than 30,000 times in one call"),
        (Peeks, r"test_check_planner reads context._service: planners see the public context only"),
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
        (Counts, "changes its parameters while planning"),
        (Tunes, "changes its parameters while planning"),
        (KeepsInAPart, "fresh copy is made before each call: it keeps state outside"),
        (DrawsGlobally, "draws from a global random generator"),
        (DrawsFromNumpy, "draws from a global random generator"),
        (TakesAGenerator, "takes the random generator 'rng': take a seed instead"),
        (MakesAGeneratorLater, "make random generators in __init__"),
        (KeepsAnUnseededGenerator, "when run twice: .* a random generator without a seed"),
        (DrawsFromNowhere, "when run twice: it depends on something but its inputs"),
        (SharedByAll, "when run twice: it depends on something but its inputs"),
    ],
)
def test_a_planner_that_breaks_the_contract_is_told_how_in_one_sentence(
    monkeypatch, kind, sentence
):
    # Fewer than in truth, so that calls without an end are told sooner.
    monkeypatch.setattr("sim.planning.call.MOST_CALLS_PER_SEARCH", 10_000)
    monkeypatch.setattr("sim.planning.call.MOST_CALLS", 20_000)
    monkeypatch.setattr("sim.conformance.guarded_context.MOST_READS", 30_000)
    try:
        with pytest.raises(PlannerCheckError) as raised:
            check_planner(kind(), other_process=False)
    finally:
        if kind is Overspends:
            kind.mend()
        if kind is RaisesItsBudget:
            kind.budget_s = 1.0
    message = str(raised.value)
    assert "\n" not in message
    assert kind.__name__ in message
    assert re.search(sentence, message), message


@pytest.mark.parametrize(
    "kind", [ChangesAQuery, ChangesAQueryByForce, ChangesAnSlo, FailsInALibrary]
)
def test_the_last_line_of_the_planners_own_is_named(kind):
    with pytest.raises(PlannerCheckError) as raised:
        check_planner(kind(), other_process=False)
    line = inspect.getsourcelines(kind.choose)[1] + 1
    assert f"Error in test_check_planner.py:{line}: " in str(raised.value)


@pytest.mark.usefixtures("quick")
def test_decisions_that_depend_on_the_process_are_found():
    """All that is checked in this process comes first, and passes."""
    with pytest.raises(PlannerCheckError, match="decides differently in another process"):
        check_planner(GoesByHash())


class FailsElsewhere(Cheapest):
    def choose(self, context, query):
        if os.environ.get("PYTHONHASHSEED") == "20250416":
            raise OSError("not the machine it was")
        return super().choose(context, query)


@pytest.mark.usefixtures("quick")
def test_failures_in_another_process_are_reported():
    with pytest.raises(PlannerCheckError, match=r"in another process: .*not the machine it was"):
        check_planner(FailsElsewhere())


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("budget_s", -1.0, "must be 0 s or more"),
        ("budget_s", float("nan"), "must be 0 s or more"),
        ("budget_s", float("inf"), "finite"),
        ("replan_every_s", 0.0, "above 0 s"),
        ("replan_every_s", 1e-10, "a nanosecond or more"),
        ("budget_s", "5", "budget_s='5': must be 0 s or more"),
        ("budget_s", None, "budget_s=None: must be 0 s or more"),
        ("replan_every_s", "10", "replan_every_s='10': must be above 0 s"),
    ],
)
def test_parameters_of_time_that_make_no_sense_are_reported(monkeypatch, name, value, sentence):
    monkeypatch.setattr(Declines, name, value)
    with pytest.raises(PlannerCheckError, match=sentence):
        check_planner(Declines())


@pytest.mark.parametrize("thing", [Declines, "greedy", None])
def test_an_object_that_is_no_planner_is_reported(thing):
    with pytest.raises(PlannerCheckError, match="is no Planner"):
        check_planner(thing)


class Watches(Cheapest):
    """Notes how full the worlds are that it is checked in."""

    room: ClassVar[list[bool]] = []
    triggers: ClassVar[set[str]] = set()

    def choose(self, context, query):
        self.triggers.add(context.trigger)
        edge = [each for each in context.candidates(query) if each.placement[-1] == "edge"]
        self.room.append(any(context.fits(query, each) for each in edge[:: len(edge) // 5 or 1]))
        plan = edge[0] if edge else None
        if plan is not None and context.fits(query, plan):
            context.profile(query, plan, self.samples)
            context.deploy(query, plan)


def test_the_worlds_have_the_load_and_the_faults_that_they_claim():
    Watches.room.clear()
    Watches.triggers.clear()
    check_planner(Watches(), other_process=False)
    assert True in Watches.room
    assert False in Watches.room
    assert {"arrival", "departure", "failure"} <= Watches.triggers
