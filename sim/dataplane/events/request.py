"""What every part of the event data plane shares: moments, requests, and the order of events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from simpy import Event, Process
from simpy.events import NORMAL, EventPriority

from scenarios.cluster import DISCIPLINES
from sim.clock import Clock
from sim.dataplane.base.durations import NEVER, deadline_ns
from sim.dataplane.base.interface import COMPLETED, DROPPED, IN_FLIGHT, LOST, OUTCOMES, SHED
from sim.dataplane.base.queueing import rank
from sim.dataplane.base.request_rows import (
    ALLOWANCE,
    ENDED,
    LENGTH,
    QUERY,
    SIZE,
    part_columns,
    variability_columns,
    width,
)

LOW = EventPriority(NORMAL + 1)


class ScheduledEvent(Event):
    """An event that is known to happen, at a time that is decided later."""

    def __init__(self, env: Clock) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None


def call_at(
    env: Clock, when_ns: int, priority: EventPriority, action: Callable[[Event], None]
) -> None:
    """Call an action at a time, before or after other events of that time by its priority."""
    moment = ScheduledEvent(env)
    moment.callbacks.append(action)
    env.schedule(moment, priority, when_ns - env.now)


@dataclass(slots=True, eq=False)
class Request:
    """A request, from its birth on.

    Where its route forks, each branch is a copy of it that shares its lists.
    """

    query: int  # id of its query
    number: int  # its number within the query
    arrival_ns: int  # its birth
    size: float  # its size over the mean
    length: float  # the length of its output over the mean
    allowance: float  # how many times the latency bound it may take, see ``RequestBlock``
    variability: list[float]  # per operator, a factor on its service time
    queueing_ns: list[int] = field(init=False)  # per operator, waiting while all servers were busy
    batching_ns: list[int] = field(init=False)  # per operator, waiting for a batch to fill
    compute_ns: list[int] = field(init=False)  # per operator, being served
    # Per operator, on links towards it, and last on those of the answer.
    transfer_ns: list[int] = field(init=False)
    deployment: int | None = None  # deployment that it has kept since its birth, or None
    bound_ns: int = NEVER  # latency bound of its query; ``NEVER`` for none
    priority: int = 0  # rank of its query's class of service, 0 for the first
    leg: int = 0  # number of the leg of its route that it follows
    outcome: str = IN_FLIGHT  # how it ended, one of ``OUTCOMES``
    ended_ns: int = 0  # when it ended
    process: Process | None = None  # its life, or that of its branch, if a deployment serves it

    def __post_init__(self) -> None:
        operators = len(self.variability)
        self.queueing_ns = [0] * operators
        self.batching_ns = [0] * operators
        self.compute_ns = [0] * operators
        self.transfer_ns = [0] * (operators + 1)

    @property
    def deadline_ns(self) -> int:
        """By when it is to be done; ``NEVER`` if it has no bound."""
        return deadline_ns(self.arrival_ns, self.bound_ns, self.allowance)

    def place(self, discipline: str, now_ns: int) -> tuple[int, int, int, int, int]:
        """Return its place in a queue that it enters now: the least is served first."""
        first = rank(DISCIPLINES.index(discipline), now_ns, self.deadline_ns, self.priority)
        return first, now_ns, self.query, self.number, self.leg


WORST_FIRST = (LOST, DROPPED, SHED, COMPLETED)


def worse(one: str, other: str) -> str:
    """Return how a request ends whose branches have come to these two ends."""
    return min(one, other, key=WORST_FIRST.index)


def rows_of(requests: Sequence[Request]) -> NDArray[np.int64]:
    """Lay requests of one application out as rows, shape (n, width); see `request_rows`."""
    operators = len(requests[0].variability)
    rows = np.zeros((len(requests), width(operators)), np.int64)
    values, parts = rows.view(np.float64), part_columns(operators)
    factors = [SIZE, LENGTH, ALLOWANCE, *variability_columns(operators)]
    for row, each in enumerate(requests):
        rows[row, QUERY : ENDED + 1] = (
            each.query,
            each.number,
            each.arrival_ns,
            -1 if each.deployment is None else each.deployment,
            0,  # VISIT, which means something only in other data planes
            OUTCOMES.index(each.outcome),
            each.ended_ns,
        )
        values[row, factors] = (each.size, each.length, each.allowance, *each.variability)
        served_ns = each.queueing_ns, each.batching_ns, each.compute_ns
        times_ns = zip(*served_ns, each.transfer_ns[:-1], strict=True)
        rows[row, parts] = [*chain.from_iterable(times_ns), each.transfer_ns[-1]]
    return rows


def interrupt(request: Request, outcome: str) -> None:
    """End a request where it is; its process wakes at once and takes note of the outcome."""
    assert request.process is not None
    if request.process.is_alive:  # One that was aborted is served to the end all the same.
        request.process.interrupt(outcome)
