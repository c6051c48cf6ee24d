"""Shared parts of the event data plane: scheduled events, requests, and event priorities."""

from collections.abc import Callable
from dataclasses import dataclass

from simpy import Event, Process
from simpy.events import NORMAL, EventPriority

from scenarios.cluster import DISCIPLINES
from sim.clock import Clock
from sim.dataplane.base.durations import NEVER, deadline_ns
from sim.dataplane.base.interface import COMPLETED, DROPPED, LOST, SHED
from sim.dataplane.base.queueing import rank
from sim.dataplane.base.request_rows import RequestRecord

LOW = EventPriority(NORMAL + 1)


class ScheduledEvent(Event):
    """An event that is scheduled by ``call_at`` rather than at its creation."""

    def __init__(self, env: Clock) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None


def call_at(
    env: Clock, when_ns: int, priority: EventPriority, action: Callable[[Event], None]
) -> None:
    """Call an action at time ``when_ns``; the priority orders it among events at that time."""
    moment = ScheduledEvent(env)
    moment.callbacks.append(action)
    env.schedule(moment, priority, when_ns - env.now)


@dataclass(slots=True, eq=False)
class Request(RequestRecord):
    """A request, or one of its branches.

    Where the route forks, each branch is a copy of the request, and shares the request's lists.
    """

    bound_ns: int = NEVER  # latency bound of its query; ``NEVER`` for none
    priority: int = 0  # rank of its query's service class; 0 for the first class
    leg: int = 0  # number of the leg of its route that it follows
    process: Process | None = None  # its process, or that of its branch, if a deployment serves it

    @property
    def deadline_ns(self) -> int:
        """The deadline in ns; ``NEVER`` if the request has no latency bound."""
        return deadline_ns(self.arrival_ns, self.bound_ns, self.allowance)

    def place(self, discipline: str, now_ns: int) -> tuple[int, int, int, int, int]:
        """Return the sort key of a request that enters a queue now; the least key is first."""
        first = rank(DISCIPLINES.index(discipline), now_ns, self.deadline_ns, self.priority)
        return first, now_ns, self.query, self.number, self.leg


WORST_FIRST = (LOST, DROPPED, SHED, COMPLETED)


def worse(one: str, other: str) -> str:
    """Return the outcome of a request whose branches have outcomes ``one`` and ``other``."""
    return min(one, other, key=WORST_FIRST.index)


def interrupt(request: Request, outcome: str) -> None:
    """End a request with this outcome by interrupting its process at once."""
    assert request.process is not None
    if request.process.is_alive:  # Servers still finish an aborted request.
        request.process.interrupt(outcome)
