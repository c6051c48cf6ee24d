"""What runs in the confined process of a submitted planner: it plans for a world elsewhere.

The planning context here forwards each operation to the process of the world, which alone has the
truth. Values that planners remember stay here; the world keeps only their numbers.
"""

import builtins
import os
import pickle
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from threading import get_ident
from types import MappingProxyType
from typing import Any

from lab.common.errors import InputError
from lab.leaderboard.loading import loaded
from lab.leaderboard.profiles import Profiles
from lab.leaderboard.wire import Channel, GoneError, Reference, packed
from scenarios.queries import Query
from sim.api.bulk import BulkOperations
from sim.api.context import PlanningContext
from sim.api.errors import PlannerError
from sim.api.plan import Plan
from sim.api.planner import Planner, Settings, restart
from sim.api.world_state import WorldState
from sim.controlplane.planner_calls import described
from sim.planning.call import check_usable, wrong_value
from sim.planning.renamed import Guided
from sim.safe_text import class_name, safe_text

FACETS: Mapping[str, type] = {"": PlanningContext, "bulk": BulkOperations, "world": WorldState}
"""The parts of the planning context, by the attribute that has them."""
CONSTANT = ("cluster", "datasets", "pipeline")
"""Properties that are the same in the whole run."""
CHANGING = ("background_lanes", "profiling_wait_s")
"""Properties that change during a call; all others are the same until its end."""


def contest() -> None:
    """Plan for the process at the other end of standard input and output, until it ends."""
    channel = Channel(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):  # What the planner prints is no message.
        os.dup2(null, number)
    try:
        Contestant(channel).serve()
    except GoneError:
        os._exit(0)


class Space:
    """A plan space of the world, which makes plans from their indices."""

    def __init__(self, ask: Callable[..., Any], number: int) -> None:
        self._ask, self._number = ask, number
        self._plans: dict[int, Plan] = {}

    def plan(self, index: int) -> Plan:
        """Return the plan at index ``index``; later calls return the same object."""
        if index not in self._plans:
            self._plans[index] = self._ask("plan", self._number, int(index))
        return self._plans[index]


class Contestant:
    """The state of a planner's process: the planner, its records, and objects of the world."""

    present: "Contestant"

    def __init__(self, channel: Channel) -> None:
        Contestant.present = self
        self._channel = channel
        self._planner: Planner | None = None
        self._shared: dict[int, Any] = {}
        self._spaces: dict[int, Space] = {}
        self._numbers: dict[int, int] = {}  # of shared objects, by their id
        self.kept: dict[int, Any] = {}
        self._keys: dict[Hashable, int] = {}
        self._new = count()
        self.profiles = Profiles()
        self.constants: dict[str, Any] = {}
        self._candidates: dict[tuple[str, str], list[Plan]] = {}
        self._plans: dict[Plan, int] = {}  # the numbers of candidates

    def serve(self) -> None:
        """Do what the world asks for, one task after another."""
        tasks: dict[str, Callable[..., Any]] = {
            "load": self._load,
            "check": self._check,
            "restart": self._restart,
            "plan": self._plan,
        }
        while True:
            task, *arguments = self._receive()
            try:
                answer = ("done", tasks[task](*arguments))
            except GoneError:
                raise
            except BaseException as error:
                answer = ("error", self._sentence(error))
            self._channel.send(packed(answer, self.refer))

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, InputError):
            return str(error)
        if self._planner is None:
            return f"{class_name(error)}: {safe_text(error) or 'no message'}"
        return described(error, self._planner)

    def _load(self, name: str) -> tuple[Any, ...]:
        planner = loaded(name)
        settings = Settings.of(planner)
        self._planner = planner
        names = tuple(map(str, settings.query_records))
        return (
            *(settings.budget_s, settings.replan_every_s, names),
            *(settings.sees_truth, settings.profiles_ahead),
        )

    @property
    def _loaded(self) -> Planner:
        assert self._planner is not None
        return self._planner

    def _check(self, pipeline: Any, cluster: Any) -> None:
        self._loaded.check_parameters(pipeline, cluster)

    def _restart(self) -> None:
        self.profiles.forget()
        restart(self._loaded)

    def _plan(self, trigger: str) -> None:
        context: Any = Context(self, trigger)
        try:
            returned: object = self._loaded.plan(context)
        finally:
            context.close()
        if returned is not None:
            raise PlannerError(wrong_value(returned))

    # Messages

    def _receive(self) -> Any:
        return pickle.loads(self._channel.receive())  # The world is trusted.

    def ask(self, *request: Any) -> Any:
        """Return the world's answer to a request; raise the exception that it raised."""
        try:
            message = packed(request, self.refer)
        except TypeError as error:
            raise PlannerError(str(error)) from None
        self._channel.send(message)
        kind, value, dropped = self._receive()
        for number in dropped:
            self.kept.pop(number, None)
        if kind == "value":
            return value
        raise vars(builtins).get(kind, PlannerError)(value)

    def refer(self, value: Any) -> Reference | None:
        """Return the reference of a value that is not sent itself, or None."""
        if isinstance(value, Reference):
            return value
        if type(value) is Plan:
            number = self._plans.get(value)
            return None if number is None else Reference("plan", number)
        number = self._numbers.get(id(value))
        return None if number is None else Reference("shared", number)

    def shared(self, number: int) -> Any:
        """Return an object of the world, which is the same for the same number."""
        if number not in self._shared:
            found = self._shared[number] = self.ask("fetch", number)
            self._numbers[id(found)] = number
        return self._shared[number]

    def space(self, number: int) -> Space:
        """Return a plan space of the world, which is the same for the same number."""
        return self._spaces.setdefault(number, Space(self.ask, number))

    def candidates(self, query: Query, order: str, ask: Callable[..., Any]) -> list[Plan]:
        """Return the candidate plans of a query, which are those of all with its device."""
        kind = query.device.name, order
        if kind not in self._candidates:
            first, found = ask("candidates", query, order)
            self._candidates[kind] = found
            for number, plan in enumerate(found, start=first):
                self._plans.setdefault(plan, number)
        return self._candidates[kind]

    # Records

    def keep(self, value: Any) -> Reference:
        """Keep a value; return what the world gets in its place."""
        number = next(self._new)
        self.kept[number] = value
        return Reference("kept", number)

    def key(self, key: Hashable) -> Any:
        """Return a key of a record as the world gets it."""
        try:
            packed(key, self.refer)
        except TypeError:
            hash(key)  # It raises an error for a list and the like.
            return Reference("kept", self._keys.setdefault(key, next(self._new)))
        return key


def shared(number: int) -> Any:
    """Return an object of the world, to which a pickle refers."""
    return Contestant.present.shared(number)


def space(number: int) -> Space:
    """Return a plan space of the world, to which a pickle refers."""
    return Contestant.present.space(number)


def kept(number: int) -> Any:
    """Return a record of the planner, to which a pickle refers."""
    return Contestant.present.kept[number]


class Facet(Guided):
    """A part of the planning context of one call; its members are those of the world's."""

    def __init__(self, contestant: Contestant, name: str) -> None:
        self._contestant, self._name = contestant, name
        self._members = {key for key in vars(FACETS[name]) if not key.startswith("_")}
        self._properties: dict[str, Any] = {}
        self._thread, self._closed = get_ident(), False
        if name:
            self._spelled = f"context.{name}"

    def __dir__(self) -> Iterable[str]:
        return self._members

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._members:
            return super().__getattr__(name)  # type: ignore[misc]
        if isinstance(vars(FACETS[self._name])[name], property):
            return self._property(name)
        return lambda *arguments, **named: self._ask(name, *arguments, **named)

    def close(self) -> None:
        """End the call."""
        self._closed = True

    def _property(self, name: str) -> Any:
        known = self._contestant.constants if name in CONSTANT else self._properties
        if name not in known or name in CHANGING:
            found = self._ask(name)
            known[name] = MappingProxyType(found) if isinstance(found, dict) else found
        return known[name]

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        self._check()
        return self._contestant.ask("call", self._name, name, arguments, named)

    def _check(self) -> None:
        check_usable(self._thread, self._closed)


class Bulk(Facet):
    """The bulk operations of one call."""

    def last_departed(self) -> Iterator[Query]:
        """See `BulkOperations`."""
        return iter(self._ask("last_departed"))

    def recall_each(self, keys: Iterable[Hashable]) -> Iterator[Any | None]:
        """See `BulkOperations`."""
        return iter(self._ask("recall_each", list(map(self._contestant.key, keys))))

    def settled(self, keys: Sequence[Hashable]) -> Any:
        """See `BulkOperations`."""
        return self._ask("settled", list(map(self._contestant.key, keys)))


class Context(Facet):
    """The planning context of one call."""

    def __init__(self, contestant: Contestant, trigger: str) -> None:
        super().__init__(contestant, "")
        contestant.profiles.begin()
        self.trigger = trigger
        self.bulk, self.world = Bulk(contestant, "bulk"), Facet(contestant, "world")

    def close(self) -> None:
        """End the call."""
        for each in (self.bulk, self.world):
            each.close()
        super().close()

    def candidates(self, query: Query, order: str = "cost") -> Iterator[Plan]:
        """See `PlanningContext`."""
        self._check()
        return iter(self._contestant.candidates(query, order, self._ask))

    def profile(self, of: Any, what: Any, samples: Any) -> Any:
        """See `PlanningContext`."""
        self._check()
        if not isinstance(of, Query):
            return self._ask("profile", of, what, samples)

        def waits() -> bool:
            return any(each is of for each in self.waiting)

        return self._contestant.profiles.profile(self._ask, of, what, samples, waits)

    def resample(self, query: Query) -> None:
        """See `PlanningContext`."""
        self._ask("resample", query)
        self._contestant.profiles.forget(query.id)

    def remember(self, key: Hashable, value: Any, query: Query | str | None = None) -> None:
        """See `PlanningContext`."""
        held = self._contestant.keep(value)
        self._ask("remember", self._contestant.key(key), held, query)

    def recall(self, key: Hashable, query: Query | None = None) -> Any | None:
        """See `PlanningContext`."""
        return self._ask("recall", self._contestant.key(key), query)
