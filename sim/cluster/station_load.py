"""What the members of a station ask of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StationLoad:
    """What others already ask of the station that an operator would join or get."""

    servers: int  # replicas of the station
    rate: float = 0.0  # requests per second of the other members
    work: float = 0.0  # their load in servers: sum of rate times mean service time
    at_once: int = 1  # requests that a server serves at the same time; above 1 for language models


NO_LOAD = StationLoad(1)
