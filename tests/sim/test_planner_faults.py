"""check_planner names the parameter that a planner does not keep, or the line at which it fails."""

import inspect
import re
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from checked_planners import Cheapest, complaint

from sim import Plan, PlannerCheckError, check_planner


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


@pytest.mark.usefixtures("short_worlds")
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (Forgets, "does not store its parameter 'margin': write self.margin = margin"),
        (Computes, "keeps 'half', which is no parameter .* random generators such as self.rng"),
        (Doubles, "__init__ changes its arguments"),
        (Unpicklable, "cannot be pickled"),
        (ChangesOnTheWay, "comes back from pickling with other parameters"),
        (Raises, r"fails at .* on arrival: ValueError in test_planner_faults.py:\d+: of no import"),
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
    ],
)
def test_a_planner_that_breaks_the_contract_is_told_how_in_one_sentence(kind, sentence):
    assert re.search(sentence, complaint(kind))


@pytest.mark.usefixtures("short_worlds")
@pytest.mark.parametrize(
    "kind", [ChangesAQuery, ChangesAQueryByForce, ChangesAnSlo, FailsInALibrary]
)
def test_the_last_line_of_the_planners_own_is_named(kind):
    with pytest.raises(PlannerCheckError) as raised:
        check_planner(kind(), other_process=False)
    line = inspect.getsourcelines(kind.choose)[1] + 1
    assert f"Error in test_planner_faults.py:{line}: " in str(raised.value)
