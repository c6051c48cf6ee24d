"""Equal shares of a resource, and the links that messages share so, in the event data plane.

A counter per resource, the work that each sharer would have got if it had always been there, tells
when a sharer is done: when the counter has grown by the sharer's work. This takes O(log sharers)
per start and end, however often the share changes between them. (It is the virtual time of Parekh
and Gallager, "A generalized processor sharing approach to flow control", 1993.)

The counter is a whole number, and is brought up to date only at times at which the set of sharers
changes. So no result depends on the order in which sharers start at one time. A sharer ends at the
first whole nanosecond at which its work is done.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from simpy import Event
from simpy.events import NORMAL

from scenarios.applications.dataset import Tokens
from sim.clock import NS_PER_S, Clock
from sim.dataplane.base.durations import whole
from sim.dataplane.base.interface import LinkSpec, Visit
from sim.dataplane.events.request import Request, ScheduledEvent, call_at


class EqualShares(ABC):
    """A resource whose present users work at the same speed, which changes with their number."""

    def __init__(self, env: Clock) -> None:
        self.env = env
        self._done = 0  # work done by each sharer that was always there
        self._since_ns = env.now  # the time up to which ``_done`` is counted
        self._ends: list[tuple[int, int, Callable[[], None]]] = []
        self._number = count()
        self._plan = 0  # number of the planned end, to recognise one that is out of date

    @abstractmethod
    def _work(self, start_ns: int, end_ns: int, sharers: int) -> int:
        """Return the work that each of ``sharers`` does between two times."""

    @abstractmethod
    def _end_ns(self, start_ns: int, work: int, sharers: int) -> int:
        """Return the first time at which each of ``sharers`` has done ``work``."""

    def start(self, work: int, end: Callable[[], None]) -> None:
        """Let one more do this work; then call ``end``."""
        self._count()
        heappush(self._ends, (self._done + work, next(self._number), end))
        self._plan_end()

    def _count(self) -> None:
        now = self.env.now
        if self._ends:
            self._done += self._work(self._since_ns, now, len(self._ends))
        self._since_ns = now

    def _plan_end(self) -> None:
        self._plan += 1
        if not self._ends:
            return
        plan = self._plan

        def end(_: Event) -> None:
            if self._plan == plan:
                self._end()

        left = self._ends[0][0] - self._done
        call_at(self.env, self._end_ns(self.env.now, left, len(self._ends)), NORMAL, end)

    def _end(self) -> None:
        self._count()
        while self._ends and self._ends[0][0] <= self._done:
            heappop(self._ends)[-1]()
        self._plan_end()


class SharedLink(EqualShares):
    """One direction of a link: messages share its capacity while they are sent, then propagate.

    Work is in units of bytes x 10^-9.
    """

    def __init__(self, env: Clock, spec: LinkSpec) -> None:
        super().__init__(env)
        self.spec = spec

    def _work(self, start_ns: int, end_ns: int, sharers: int) -> int:
        return self.spec.capacity.share_of(start_ns, end_ns, sharers)

    def _end_ns(self, start_ns: int, work: int, sharers: int) -> int:
        return self.spec.capacity.shared_ns(start_ns, work, sharers)

    def enter(self, request: Request, visit: Visit) -> ScheduledEvent:
        """Send a message; the returned event occurs when it has arrived completely."""
        assert not isinstance(visit.mean, Tokens)
        arrived, entered_ns = ScheduledEvent(self.env), self.env.now
        operator, propagation_ns = visit.operator, self.spec.propagation_ns

        def end() -> None:
            request.transfer_ns[operator] += self.env.now + propagation_ns - entered_ns
            self.env.schedule(arrived, NORMAL, propagation_ns)

        self.start(whole(visit.mean * request.size) * NS_PER_S, end)
        return arrived
