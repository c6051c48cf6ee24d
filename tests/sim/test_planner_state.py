"""check_planner finds planners that keep state, or that depend on chance or on the process."""

import os
import random
import re
from itertools import count

import numpy as np
import pytest
from checked_planners import Cheapest, Draws, complaint

from sim import PlannerCheckError, check_planner
from sim.conformance.worlds import empty_world


@pytest.fixture
def quick(monkeypatch):
    """Leave out the worlds that a planner keeps the contract in; that takes most of the time."""
    for name in ("overloaded_world", "failing_world"):
        monkeypatch.setattr(f"sim.conformance.check_planner.{name}", empty_world)


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


@pytest.mark.usefixtures("short_worlds")
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
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
def test_a_planner_that_breaks_the_contract_is_told_how_in_one_sentence(kind, sentence):
    assert re.search(sentence, complaint(kind))


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


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_failures_in_another_process_are_reported():
    with pytest.raises(PlannerCheckError, match=r"in another process: .*not the machine it was"):
        check_planner(FailsElsewhere())
