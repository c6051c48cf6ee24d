"""What every part of the event data plane shares: moments, requests, and the order of events."""

from simpy import Event, Process
from simpy.events import NORMAL, EventPriority

from sim.clock import Clock
from sim.data_plane import IN_FLIGHT, RequestRecord

LOW = EventPriority(NORMAL + 1)


class Moment(Event):
    """An event that is known to happen, at a time that is decided later."""

    def __init__(self, env: Clock) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None


class Request(RequestRecord):
    """A request under way: its record, and what decides its service times."""

    __slots__ = ("length", "number", "process", "size", "variability")

    def __init__(
        self,
        query: int,
        number: int,
        arrival_ns: int,
        size: float,
        length: float,
        allowance: float,
        variability: list[float],
    ) -> None:
        zeros = [0] * len(variability)
        super().__init__(
            query,
            arrival_ns,
            None,
            IN_FLIGHT,
            arrival_ns,
            allowance,
            zeros,
            zeros.copy(),
            zeros.copy(),
            [*zeros, 0],
        )
        self.number = number
        self.size = size
        self.length = length
        self.variability = variability
        self.process: Process | None = None


def interrupt(request: Request, outcome: str) -> None:
    """End a request where it is; its process wakes at once and takes note of the outcome."""
    assert request.process is not None
    if request.process.is_alive:  # One that was aborted is served to the end all the same.
        request.process.interrupt(outcome)
