"""Simulated time: int64 nanoseconds inside, seconds at the edges."""

from scenarios.requests import NS_PER_S


def ns(seconds: float) -> int:
    """Return a moment or a duration in whole nanoseconds, rounded once, half to even."""
    return round(seconds * NS_PER_S)


def seconds(nanoseconds: int) -> float:
    """Return nanoseconds in seconds."""
    return nanoseconds / NS_PER_S
