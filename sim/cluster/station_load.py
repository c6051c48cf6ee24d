"""What the members of a station ask of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StationLoad:
    """What others already ask of the station that an operator would join or get.

    Args:
        servers: replicas of the station.
        rate: requests per second of the other members.
        work: their load in servers: sum of rate times mean service time.
        at_once: requests that a server serves at the same time; above 1 for language models.
    """

    servers: int
    rate: float = 0.0
    work: float = 0.0
    at_once: int = 1


NO_LOAD = StationLoad(1)
