"""The contract of planners."""

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import singledispatch
from numbers import Real
from random import Random
from typing import Any, ClassVar

from numpy.random import Generator

from scenarios.applications.pipeline import Pipeline
from scenarios.cluster import Cluster
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError

LEAST_PERIOD_S = 1e-9
"""Shortest period of replanning."""
MOST_S = 1e9
"""Largest budget and longest period."""


class Planner(ABC):
    """Base class of planners, which choose a plan for each query; subclasses override ``plan``.

    ``__init__`` stores its keyword arguments unchanged in attributes of the same names. The object
    keeps no other state between calls, except random generators that ``__init__`` seeds from a
    parameter. These generators are seeded anew in each run and after each crash of the planner's
    process. A planner keeps what it learns by ``context.remember`` and ``context.recall``.

    Class attributes, which a subclass can set or take as parameters:

        budget_s: the largest number of planning seconds that one search for one query can use. The
            waits for a profiling lane count, too, unless profiling is free; but see
            ``cluster.profiling.least_search_rounds``. When the budget is used up,
            profiling returns only earlier results, and ``deploy`` still works.
        replan_every_s: the period in seconds after which ``plan`` is also called, at the first tick
            of each period; None for calls at arrivals, departures, refusals, failures and
            recoveries only.
        query_records: names of records about single queries, whose keys are ``(name, query.id)``.
            The world drops these records once 1,000 other queries have departed after the query, so
            that memory does not grow with the horizon. Other records are kept until the run ends.
        sees_truth: whether the planner uses ``context.bulk.truth``, which no planner in a real
            system could use. Such a planner is a bound with which others are compared, and results
            label it as such.
        behaviour: the version of the planner's decisions, an integer. Raise it when decisions
            change: stored runs of other versions are not used again. Without a version, they are
            not used again if the planner's source has changed.
        profiles_ahead: whether a data set is profiled before its first query, so that the results
            are known at once. If not, its profiling begins when the planner asks for it, see
            ``context.profile``.
    """

    budget_s: float = 5.0
    replan_every_s: float | None = None
    query_records: tuple[str, ...] = ()
    sees_truth: bool = False
    profiles_ahead: bool = True
    behaviour: ClassVar[int | None] = None

    def check_parameters(  # noqa: B027 -- a hook that few need
        self, pipeline: Pipeline, cluster: Cluster
    ) -> None:
        """Raise PlannerError if a parameter is not valid for an application and a cluster.

        This method is called before a run begins. An error ends the run, and the error's message, a
        single sentence, is reported.

        Args:
            pipeline: the application's operators, knobs and configurations.
            cluster: the nodes, their machines and prices.

        Raises:
            PlannerError: a parameter is not valid; the message begins with the parameter's name.
        """

    @abstractmethod
    def plan(self, context: PlanningContext) -> None:
        """Observe the world through the planning context, and deploy plans.

        This method is called at every trigger. The world does not change during the call; only the
        clock of each query's search advances, by the durations that the planning context charges.

        Args:
            context: the planning context, valid during this call only.
        """

    def parameters(self) -> dict[str, Any]:
        """Return the parameters with which an equal planner can be constructed, by name."""
        return {key: value for key, value in vars(self).items() if key not in generators(self)}

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={value!r}" for key, value in self.parameters().items())
        return f"{type(self).__name__}({values})"


@dataclass(frozen=True)
class Settings:
    """A planner's class attributes, which are read once, because they hold for the whole run."""

    budget_s: float
    replan_every_s: float | None
    query_records: tuple[str, ...]
    sees_truth: bool
    profiles_ahead: bool

    @classmethod
    def of(cls, planner: Planner) -> "Settings":
        """Return the settings of a planner; what its properties raise is raised here.

        Raises:
            PlannerError: a setting is out of range; the message begins with its name.
        """
        budget_s, period_s = planner.budget_s, planner.replan_every_s
        kept_s = _seconds(budget_s)
        if kept_s is None or not 0 <= kept_s <= MOST_S:
            raise PlannerError(f"budget_s={budget_s!r}: must be from 0 to {MOST_S:g} s")
        kept_period_s = _seconds(period_s)
        if period_s is not None and not LEAST_PERIOD_S <= (kept_period_s or 0.0) <= MOST_S:
            raise PlannerError(
                f"replan_every_s={period_s}: must be from {LEAST_PERIOD_S:g} to {MOST_S:g} s, or "
                "null for no such calls"
            )
        names = planner.query_records
        if not isinstance(names, tuple | list | set | frozenset):
            raise PlannerError(f"query_records={names!r}: must be a tuple of names")
        seen, ahead = bool(planner.sees_truth), bool(planner.profiles_ahead)
        return cls(kept_s, kept_period_s, tuple(names), seen, ahead)


def _seconds(value: object) -> float | None:
    """Return a number as a plain float, whose comparisons run no code of a planner."""
    return float(value) if isinstance(value, Real) else None


def generators(planner: Planner) -> dict[str, Generator | Random]:
    """Return the random generators in a planner's attributes, by name."""
    kept = vars(planner).items()
    return {key: value for key, value in kept if isinstance(value, Generator | Random)}


@singledispatch
def restart(planner: Planner) -> None:
    """Seed a planner's random generators anew, as a new process would.

    A subclass whose generators are elsewhere can register a function of its own.
    """
    if generators(planner):
        with suppress(
            Exception, SystemExit
        ):  # `check_planner` reports planners that cannot be made anew.
            vars(planner).update(generators(type(planner)(**planner.parameters())))
