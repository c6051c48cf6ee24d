"""The deployments that share a station or a link, and their total load."""

from collections.abc import Callable
from dataclasses import dataclass
from math import fsum

Parts = tuple[float, ...]
"""Non-overlapping floats of ascending size. Their exact sum equals that of all added numbers, so
``math.fsum`` gives the same result for the parts as for the numbers."""


def plus(parts: Parts, number: float) -> Parts:
    """Return parts whose exact sum is that of ``parts`` plus a finite number (Shewchuk 1997)."""
    kept = []
    for part in parts:
        larger, smaller = (part, number) if abs(number) < abs(part) else (number, part)
        number = larger + smaller
        lost = smaller - (number - larger)
        if lost:
            kept.append(lost)
    return (*kept, number) if number else tuple(kept)


@dataclass(frozen=True, slots=True)
class StationLoad:
    """The load of other queries at the station that an operator would join."""

    servers: int  # replicas of the station
    rate: float = 0.0  # requests per second of the other members
    work: float = 0.0  # their load in servers: sum of rate times mean service time
    at_once: int = 1  # requests that a server serves at the same time; above 1 for language models


NO_LOAD = StationLoad(1)


@dataclass(frozen=True, slots=True)
class Member:
    """The load that a deployment declares to a station or a link."""

    query: int  # id of the query that it serves
    rate: float  # requests per second
    work: float  # load in servers, at nominal speed


class StationMembers:
    """The deployments that share a station or a link; ``load`` is their total load.

    ``members`` has the load that each deployment declared; only ``join`` and ``leave`` change it.
    """

    def __init__(self, servers: int = 1, at_once: int = 1) -> None:
        self.members: dict[int, Member] = {}
        self.load = StationLoad(servers, at_once=at_once)
        # exact, so that no error accumulates while members come and go
        self._rate: Parts = ()
        self._work: Parts = ()
        self._deployments: dict[int, tuple[int, ...]] = {}  # by query
        self._without: dict[int, StationLoad] = {}

    def join(self, deployment: int, member: Member) -> Callable[[], None]:
        """Add a deployment; return a function that undoes this, until the next change."""
        query, load, rate, work = member.query, self.load, self._rate, self._work
        without, deployments = self._without, self._deployments.get(query, ())
        self.members[deployment] = member
        self._deployments[query] = (*deployments, deployment)
        self._set(plus(rate, member.rate), plus(work, member.work))

        def undo() -> None:
            del self.members[deployment]
            self._keep(query, deployments)
            self.load, self._rate, self._work, self._without = load, rate, work, without

        return undo

    def leave(self, deployment: int) -> None:
        """Remove a deployment; do nothing if it is not a member."""
        member = self.members.pop(deployment, None)
        if member is not None:
            others = tuple(each for each in self._deployments[member.query] if each != deployment)
            self._keep(member.query, others)
            self._set(plus(self._rate, -member.rate), plus(self._work, -member.work))

    def serves(self, query: int) -> bool:
        """Return whether any deployment of a query is a member."""
        return query in self._deployments

    def load_without(self, query: int) -> StationLoad:
        """Return the load of the members that serve other queries."""
        if query not in self._deployments:
            return self.load
        if query not in self._without:
            rate, work = self._rate, self._work
            for deployment in self._deployments[query]:
                member = self.members[deployment]
                rate, work = plus(rate, -member.rate), plus(work, -member.work)
            self._without[query] = self._load(rate, work)
        return self._without[query]

    def _keep(self, query: int, deployments: tuple[int, ...]) -> None:
        if deployments:
            self._deployments[query] = deployments
        else:
            del self._deployments[query]

    def _set(self, rate: Parts, work: Parts) -> None:
        self._rate, self._work, self._without = rate, work, {}
        self.load = self._load(rate, work)

    def _load(self, rate: Parts, work: Parts) -> StationLoad:
        return StationLoad(self.load.servers, fsum(rate), fsum(work), self.load.at_once)
