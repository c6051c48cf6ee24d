"""An observer of the world, which affects nothing in it."""

from typing import Protocol

from scenarios.queries import Query, QueryTruth
from sim.api.plan import Plan


class Watcher(Protocol):
    """Observes arrivals and deployments when they happen; planners never see it."""

    def arrived(self, query: Query, truth: QueryTruth) -> None:
        """Note a query that arrives now, with all that is true of it."""

    def reserved(self, plan: Plan) -> None:
        """Note a plan whose resources are reserved now."""
