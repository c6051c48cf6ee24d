"""A search for Compass: Thompson sampling from the accuracies that surrogates predict."""

from dataclasses import dataclass

import numpy as np

from planners.compass.search.search import Progress, Search
from scenarios.applications.pipeline import Configuration
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import PlanningContext


@dataclass(frozen=True)
class ThompsonSearch(Search):
    """Draws accuracies, and profiles the cheapest configuration that is drawn accurate enough."""

    def next(
        self, context: PlanningContext, query: Query, progress: Progress
    ) -> Configuration | None:
        """Return the configuration to profile next; None if no other one has an available plan."""
        context.charge(query, "search_step")
        rng = stream(self.seed, "thompson", query.id, len(progress.tried))
        mean, sd = progress.accuracy()
        drawn = rng.normal(mean, sd)

        price = progress.least_price()
        price[list(progress.done(self.least_promise))] = np.inf
        floor = query.slo.accuracy or 0.0
        accurate = np.where(drawn >= floor, price, np.inf)
        if np.isfinite(accurate).any():
            index = int(accurate.argmin())
        elif np.isfinite(price).any():  # The most accurate one with an available plan.
            index = int(np.where(np.isfinite(price), drawn, -np.inf).argmax())
        else:
            return None
        return context.world.pipeline.configurations[index]
