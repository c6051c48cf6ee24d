"""Planners that keep the contract, from which those that break it derive; what is said of these."""

import random

import numpy as np
import pytest

from sim import Planner, PlannerCheckError, PlanningContext, check_planner


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


def complaint(kind):
    """Return the one sentence in which a planner of some kind is said to break the contract."""
    with pytest.raises(PlannerCheckError) as raised:
        check_planner(kind(), other_process=False)
    message = str(raised.value)
    assert "\n" not in message
    assert kind.__name__ in message
    return message
