"""The contract of planners."""

from abc import ABC, abstractmethod
from contextlib import suppress
from random import Random
from typing import Any

from numpy.random import Generator

from scenarios.applications.pipeline import Pipeline
from scenarios.cluster import Cluster
from sim.api.context import PlanningContext


class Planner(ABC):
    """Decides which plan serves which query. Subclass it and write ``plan``; that is all.

    ``__init__`` stores its keyword arguments under their own names, unchanged. The object keeps
    nothing else between calls, except random generators that ``__init__`` seeds from a parameter.
    They start anew in each run and after each crash of the planner's process. What a planner
    learns goes through ``context.remember`` and ``context.recall``.

    Class attributes, which a subclass may set or take as parameters:
        budget_s: most planning seconds that one search for one query may use. When they are spent,
            profiling returns what is already known, and ``deploy`` still works.
        replan_every_s: also call ``plan`` periodically, at the first tick of each period; None for
            arrivals, departures, refusals, failures and recoveries only.
        query_records: names of what it remembers of single queries, under keys of the form
            ``(name, query.id)``. The world drops these records once 1,000 other queries have
            departed after the query, so that memory does not grow with the horizon. Other records
            last to the end.
        sees_truth: whether it uses ``context.bulk.truth``, which no deployed planner could. Such a
            planner is a bound that others are compared with; results label it.
    """

    budget_s: float = 5.0
    replan_every_s: float | None = None
    query_records: tuple[str, ...] = ()
    sees_truth: bool = False

    def check_parameters(  # noqa: B027 -- a hook that few need
        self, pipeline: Pipeline, cluster: Cluster
    ) -> None:
        """Refuse parameters that cannot work with an application and a cluster.

        Called before a run begins. An error here ends the run with its one-sentence message.

        Args:
            pipeline: the application's operators, knobs and configurations.
            cluster: the nodes, their machines and prices.

        Raises:
            PlannerError: some parameter is not right; the message begins with its name.
        """

    @abstractmethod
    def plan(self, context: PlanningContext) -> None:
        """Look at the world through the planning context, and deploy plans.

        Called at every trigger. The world stands still during the call. Only the clock of each
        query's search advances, by what the planning context charges.

        Args:
            context: the planning context, valid during this call only.
        """

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that make an equal planner, by name."""
        return {key: value for key, value in vars(self).items() if key not in generators(self)}

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={value!r}" for key, value in self.parameters().items())
        return f"{type(self).__name__}({values})"


def generators(planner: Planner) -> dict[str, Generator | Random]:
    """Return the random generators that a planner keeps, by name."""
    kept = vars(planner).items()
    return {key: value for key, value in kept if isinstance(value, Generator | Random)}


def restart(planner: Planner) -> None:
    """Seed a planner's random generators anew, as a new process would."""
    if generators(planner):
        with suppress(Exception):  # `check_planner` reports planners that cannot be made anew.
            vars(planner).update(generators(type(planner)(**planner.parameters())))
