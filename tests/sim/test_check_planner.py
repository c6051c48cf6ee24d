"""check_planner passes planners that keep the contract, and refuses settings without sense."""

from typing import ClassVar

import pytest
from checked_planners import Cheapest, Declines, Draws

from sim import PlannerCheckError, check_planner
from sim.conformance.worlds import empty_world


class Remembers(Cheapest):
    """Keeps what it learned where it belongs: estimates, which work things out when asked."""

    def choose(self, context, query):
        plan = super().choose(context, query)
        known = context.recall("first") or context.profile(query, plan, self.samples)
        context.remember("first", known, query)
        return plan if known.accuracy_mean > 0 else None


def test_two_lines_check_a_planner():
    check_planner(Cheapest())


@pytest.mark.usefixtures("short_worlds")
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


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_class_that_another_process_cannot_import_is_checked_in_this_one(monkeypatch):
    """As in a notebook: it can be pickled here, and not be loaded in another process."""
    monkeypatch.setattr(Declines, "__module__", "__main__")
    monkeypatch.setattr("__main__.Declines", Declines, raising=False)
    check_planner(Declines())


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
