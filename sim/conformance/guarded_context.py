"""The guarded context, by which ``check_planner`` detects a planner's forbidden reads and writes.

A violation is raised as an exception, and is also recorded in the world in case the planner catches
the exception.
"""

import io
import pickle
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NoReturn

from scenarios.queries import Query
from scenarios.scenario import Scenario
from sim.api.context import PlanningContext
from sim.api.planner import Planner
from sim.controlplane.world import World, interrupted
from sim.dataplane.events.plane import EventsPlane
from sim.planning.call import MOST_CALLS, PlanningCall
from sim.planning.context import ServedBulk, ServedContext, ServedWorld
from sim.safe_text import safe_text

MOST_READS = 2 * MOST_CALLS
"""How often one call of ``plan`` may read the planning context; more reads count as a hang."""


class PlannerCheckError(AssertionError):
    """A planner violates a rule; the message says which rule, and how to fix the planner."""


class BrokenContractError(BaseException):
    """An error that ends a checked run at a violation; ``except Exception`` does not catch it."""


def frozen(value: Any) -> bytes:
    """Return the present state of a value, without cached properties, as bytes."""
    buffer = io.BytesIO()
    _Freezer(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


class _Freezer(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        kind: Any = type(obj)
        cached = _cached_names(kind)
        if not cached:
            return NotImplemented
        reduced = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        if len(reduced) < 3 or not isinstance(reduced[2], dict):
            return reduced
        state = {key: value for key, value in reduced[2].items() if key not in cached}
        return (*reduced[:2], state, *reduced[3:])


@cache
def _cached_names(kind: type) -> frozenset[str]:
    return frozenset(
        name
        for base in kind.__mro__
        for name, value in vars(base).items()
        if isinstance(value, cached_property)
    )


@dataclass
class Findings:
    """The violation and the number of reads that the guard found in one call of a planner."""

    breaches: list[str]  # one sentence for each breach of contract in this or an earlier call
    now_s: float  # time of the call
    reads: int = 0  # how often the planner has read the planning context

    def breach(self, sentence: str) -> NoReturn:
        """Record a violation, and end the run."""
        self.breaches.append(sentence)
        raise BrokenContractError(sentence)

    def count(self) -> None:
        """Count a read; if there are too many, report that the call does not end."""
        self.reads += 1
        if self.reads > MOST_READS:
            self.breach(
                f"it reads the planning context more than {MOST_READS:,} times in one call of "
                f"plan, at {self.now_s:.3f} s: the world stands still meanwhile, so waiting for it "
                "to change goes on for ever"
            )


class Guarded:
    """A proxy through which code outside ``sim`` can read only public members, and can set none."""

    _findings: Findings

    def __getattribute__(self, name: str) -> Any:
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if caller.startswith("sim."):
            return super().__getattribute__(name)
        if name == "__dict__" or (name.startswith("_") and not name.startswith("__")):
            self._findings.breach(
                f"{caller} reads context.{name}: planners see the public context only; what lies "
                "behind it, a deployed planner could not know"
            )
        self._findings.count()
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if not caller.startswith("sim."):
            self._findings.breach(
                f"{caller} sets context.{name}: the planning context is there to be asked"
            )
        super().__setattr__(name, value)


class GuardedBulk(Guarded, ServedBulk):
    """The guarded bulk operations."""


class GuardedWorldState(Guarded, ServedWorld):
    """The guarded description of the world."""


class GuardedContext(Guarded, ServedContext):
    """A guarded planning context, which stores each record as bytes when it is written."""

    def __init__(
        self,
        call: PlanningCall,
        trigger: str,
        findings: Findings,
        written: list[tuple[Hashable, Any, bytes]],
    ) -> None:
        super().__init__(call, trigger)
        self.bulk, self.world = GuardedBulk(call), GuardedWorldState(call)
        self._written = written
        self._findings = self.bulk._findings = self.world._findings = findings

    def remember(self, key: Hashable, value: Any, query: Query | str | None = None) -> None:
        """Write a record, and store its present state as bytes."""
        try:
            looks = frozen((key, value))
        except Exception as error:
            self._findings.breach(
                f"what it remembers under {safe_text(repr(key))} cannot be pickled "
                f"({safe_text(error)}): memory is what a "
                "checkpoint saves"
            )
        self._written.append((key, value, looks))
        super().remember(key, value, query)


class GuardedWorld(World):
    """A world with the event data plane and a guarded context; a planner's error ends the run."""

    def __init__(self, scenario: Scenario, planner: Planner, seed: int) -> None:
        super().__init__(scenario, planner, seed, EventsPlane)
        self.breaches: list[str] = []
        self.ending = lambda error: (
            BrokenContractError(self.breaches[0]) if self.breaches else interrupted(error)
        )
        self._written: list[tuple[Hashable, Any, bytes]] = []

    def context(self, call: PlanningCall, trigger: str) -> PlanningContext:
        """Return the guarded context of one call."""
        findings = Findings(self.breaches, self.now_s)
        return GuardedContext(call, trigger, findings, self._written)

    def note_error(self, trigger: str, line: str) -> None:
        """Record as a violation the error that ended a call of the planner."""
        super().note_error(trigger, line)
        self.breaches.append(f"fails {self.planner_errors[-1]}")

    def call_planner(self, trigger: str) -> None:
        """Call the planner; a violation ends the run."""
        super().call_planner(trigger)
        if self.breaches:
            raise BrokenContractError(self.breaches[0])

    def changed_record(self) -> Hashable | None:
        """Return the key of a record that a planner changed after writing it, or None."""
        for key, value, looked in self._written:
            if frozen((key, value)) != looked:
                return key
        return None
