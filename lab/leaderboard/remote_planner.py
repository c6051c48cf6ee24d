"""A planner that plans in another process, which gets nothing but the planning context."""

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from copyreg import dispatch_table
from time import monotonic
from types import MappingProxyType
from typing import Any

from lab.leaderboard import contestant
from lab.leaderboard.processes import PlannerProcess
from lab.leaderboard.profiles import Figures, figures_of
from lab.leaderboard.wire import GoneError, LateError, Reference, WireError, unpacked
from scenarios.applications.pipeline import Pipeline
from scenarios.cluster import Cluster
from scenarios.queries import Query
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError
from sim.api.plan import Plan
from sim.api.plan_view import PlanView
from sim.api.planner import Planner, restart
from sim.planning.plan_space import PlanSpace
from sim.safe_text import safe_text

TOO_LONG = (
    "one call of it took longer than limits.call_s={:g} s",
    "it was not loaded within limits.start_s={:g} s",
)
MOST_TEXT = 1000
"""Largest number of characters of an error's text."""
SENT_ONCE = (Query, PlanView, Pipeline, Cluster)
"""Classes of objects that the planner's process gets once, and keeps."""
MEMBERS = {
    name: {each for each in vars(interface) if not each.startswith("_")}
    for name, interface in contestant.FACETS.items()
}
"""What a planner may ask for, by part of the planning context."""
AT_ONCE = 64
"""Number of plans whose figures are sent together."""
RAISED: tuple[type[Exception], ...] = (
    *(PlannerError, AttributeError, IndexError, KeyError, MemoryError, TypeError, ValueError),
)
"""Exceptions of the planning context that keep their class in the planner's process."""


class _Kept:
    """Stands for a record that the planner's process has; notes its number when it is dropped."""

    def __init__(self, number: int, dropped: list[int]) -> None:
        self.number, self._dropped = number, dropped

    def __del__(self) -> None:
        self._dropped.append(self.number)


class RemotePlanner(Planner):
    """A planner in another process, which it can crash, but not leave.

    Args:
        process: the process.
        start_s: seconds until the process must be ready.
        call_s: seconds for each call of the planner.

    Attributes:
        failure: why the process is of no use any more, as a clause; None while it works.
        first_error: the text of the first exception that the planner raised, if any.
    """

    def __init__(self, process: PlannerProcess, start_s: float, call_s: float) -> None:
        self._process, self._channel = process, process.channel
        self._start_s, self._call_s = start_s, call_s
        self._shared: list[Any] = []
        self._plans: list[Plan] = []
        self._places: dict[int, int] = {}  # of plans, by their id
        self._numbers: dict[int, int] = {}  # of shared objects, by their id
        self._dropped: list[int] = []
        self._reducers: dict[type, Callable[[Any], Any]] = {
            **dispatch_table,
            **dict.fromkeys(SENT_ONCE, lambda each: (contestant.shared, (self._number(each),))),
            PlanSpace: lambda each: (contestant.space, (self._number(each),)),
            _Kept: lambda each: (contestant.kept, (each.number,)),
        }
        self.failure: str | None = None
        self.first_error: str | None = None

    def load(self, name: str) -> None:
        """Let the process load a submission; raise PlannerError if that fails."""
        try:
            budget_s, period_s, names, sees_truth, ahead = self._exchange(
                self._start_s, None, "load", name
            )
        except (PlannerError, TypeError, ValueError) as error:
            self.failure = self.failure or str(error)
            raise PlannerError(self.failure) from None
        self.budget_s, self.replan_every_s, self.query_records = budget_s, period_s, names
        self.profiles_ahead = bool(ahead)
        if sees_truth:
            self.failure = "it declares sees_truth, which no submission may"
            raise PlannerError(self.failure)

    def check_parameters(self, pipeline: Pipeline, cluster: Cluster) -> None:
        """See `Planner`."""
        try:
            self._exchange(self._call_s, None, "check", pipeline, cluster)
        except PlannerError as error:
            self.failure = self.failure or str(error)
            raise

    def plan(self, context: PlanningContext) -> None:
        """See `Planner`."""
        self._exchange(self._call_s, context, "plan", context.trigger)

    def parameters(self) -> dict[str, Any]:
        """Return nothing, because the parameters are in the other process."""
        return {}

    def restart(self) -> None:
        """Seed the planner's generators anew."""
        self._exchange(self._call_s, None, "restart")

    # Messages

    def _exchange(self, limit_s: float, context: PlanningContext | None, *task: Any) -> Any:
        """Let the process do a task, and answer its questions meanwhile; return the result.

        Raises PlannerError if the planner raised an exception, or the process is of no use.
        """
        if self.failure is not None:
            raise PlannerError(self.failure)
        try:
            self._channel.until_s = monotonic() + limit_s
            self._channel.send(self._pickled(task))
            while True:
                kind, *rest = unpacked(self._channel.receive(), self._resolved)
                if kind in ("done", "error"):
                    [result] = rest
                    break
                self._channel.send(self._answer(context, kind, rest))
        except GoneError:
            self.failure = self._process.ending()
        except LateError:
            self.failure = TOO_LONG[task[0] == "load"].format(limit_s)
        except (WireError, TypeError, ValueError) as error:
            self.failure = f"it sent what is no message ({safe_text(error)})"
        if self.failure is not None:
            self._process.kill()
            raise PlannerError(self.failure)
        if kind == "error":
            said = safe_text(result, MOST_TEXT) or "no message"
            self.first_error = self.first_error or said
            raise PlannerError(said)
        return result

    def _answer(self, context: PlanningContext | None, kind: str, request: list[Any]) -> bytes:
        """Return the answer to a request, with the numbers of records that were dropped."""
        dropped, sent = self._dropped[:], None
        try:
            if kind == "fetch":
                value = sent = self._fetched(*request)
            else:
                value = self._requested(context, kind, *request)
            answer = self._pickled(("value", value, dropped), sent)
        except Exception as error:
            known = [each for each in RAISED if isinstance(error, each)]
            name = known[0].__name__ if known else "RuntimeError"
            said = str(error) if known else f"{type(error).__name__}: {error}"
            answer = self._pickled((name, said, dropped))
        del self._dropped[: len(dropped)]
        return answer

    def _fetched(self, number: int) -> Any:
        found = self._shared[number]
        if not isinstance(found, SENT_ONCE):
            raise PlannerError("there is no such object")
        return found

    def _requested(self, context: PlanningContext | None, kind: str, *request: Any) -> Any:
        if kind == "plan":
            number, index = request
            space = self._shared[number]
            if not (isinstance(space, PlanSpace) and 0 <= index < len(space)):
                raise PlannerError("there is no such plan")
            return space.plan(index)
        if kind != "call" or context is None:
            raise PlannerError("there is no call of plan")
        facet, name, arguments, named = request
        if name == "figures":
            return self._figures(context, *arguments)
        if name not in MEMBERS[facet]:
            raise PlannerError(f"there is no {name!r} in the planning context")
        if name == "remember":
            arguments = (arguments[0], _Kept(arguments[1].number, self._dropped), *arguments[2:])
        found = getattr(getattr(context, facet) if facet else context, name)
        if callable(found):
            found = found(*arguments, **named)
        if isinstance(found, MappingProxyType):
            return dict(found)
        if name == "candidates":  # They are many, and are passed back often.
            first = len(self._plans)
            self._plans += found
            for place in range(first, len(self._plans)):
                self._places.setdefault(id(self._plans[place]), place)
            return first, self._plans[first:]
        return list(found) if isinstance(found, Iterator) else found

    def _figures(self, context: PlanningContext, query: Query, plan: Plan) -> dict[Plan, Figures]:
        """Return the figures of a plan, and of candidates after it, which are often next."""
        found = {plan: figures_of(context.profile(query, plan, 0))}
        first = self._places.get(id(plan), len(self._plans)) + 1
        for each in self._plans[first : first + AT_ONCE]:
            with suppress(PlannerError):  # It can be a candidate of another device only.
                found[each] = figures_of(context.profile(query, each, 0))
        return found

    def _resolved(self, kind: str, number: Any) -> Any:
        """Return the object of a reference in a message."""
        if type(number) is not int or number < 0:
            raise ValueError
        known = {"shared": self._shared, "plan": self._plans}.get(kind)
        return Reference("kept", number) if known is None else known[number]

    def _number(self, shared: Any) -> int:
        number = self._numbers.get(id(shared))
        if number is None:
            number = self._numbers[id(shared)] = len(self._shared)
            self._shared.append(shared)
        return number

    def _pickled(self, message: Any, sent: Any = None) -> bytes:
        """Return a message; objects that the process keeps are references, all but ``sent``."""
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = self._reducers
        if sent is not None:
            kept = self._reducers.items()
            pickler.dispatch_table = {one: each for one, each in kept if one is not type(sent)}
        pickler.dump(message)
        return buffer.getvalue()


@restart.register
def _(planner: RemotePlanner) -> None:
    planner.restart()
