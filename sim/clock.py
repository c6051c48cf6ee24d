"""Simulated time: int64 nanoseconds internally, seconds in interfaces to users."""

from simpy import Environment

from scenarios.requests import NS_PER_S

__all__ = ["NS_PER_HOUR", "NS_PER_S", "Clock", "ns", "seconds"]

NS_PER_HOUR = 3600 * NS_PER_S


class Clock(Environment):
    """A SimPy environment whose time is in whole nanoseconds and starts at 0."""

    _now: int

    def __init__(self) -> None:
        super().__init__(initial_time=0)

    @property
    def now(self) -> int:
        """The simulated time in nanoseconds."""
        return self._now


def ns(seconds: float) -> int:
    """Convert a time or a duration to whole nanoseconds, rounding half to even."""
    return round(seconds * NS_PER_S)


def seconds(nanoseconds: int) -> float:
    """Convert nanoseconds to seconds."""
    return nanoseconds / NS_PER_S
