"""The deployments that share a station or a link, and what they ask of it together."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import fsum

from sim.prediction import StationLoad


@dataclass(frozen=True, slots=True)
class Member:
    """What a deployment declares to a station or a link.

    Args:
        query: id of the query that it serves.
        rate: requests per second.
        work: load in servers, at nominal speed.
    """

    query: int
    rate: float
    work: float


class Members:
    """The members of a station or a link.

    Args:
        servers: its servers.
        at_once: requests that a server serves at the same time.

    Attributes:
        members: by deployment; change them by ``join`` and ``leave`` only.
        load: what all members ask of it together.
    """

    def __init__(self, servers: int = 1, at_once: int = 1) -> None:
        self.members: dict[int, Member] = {}
        self.load = StationLoad(servers, at_once=at_once)
        self._queries: set[int] = set()
        self._without: dict[int, StationLoad] = {}

    def join(self, deployment: int, member: Member) -> Callable[[], None]:
        """Add a deployment; return what undoes that, if nothing else has changed, at no cost."""
        load, without, new = self.load, self._without, member.query not in self._queries
        self.members[deployment] = member
        self._queries.add(member.query)
        self._sum_up()

        def undo() -> None:
            del self.members[deployment]
            if new:
                self._queries.discard(member.query)
            self.load, self._without = load, without

        return undo

    def leave(self, deployment: int) -> None:
        """Take a deployment off, if it is a member."""
        if self.members.pop(deployment, None) is not None:
            self._queries = {member.query for member in self.members.values()}
            self._sum_up()

    def serves(self, query: int) -> bool:
        """Tell whether a deployment of a query is a member."""
        return query in self._queries

    def load_without(self, query: int) -> StationLoad:
        """Return what the members that serve other queries ask for."""
        if query not in self._queries:
            return self.load
        if query not in self._without:
            others = [member for member in self.members.values() if member.query != query]
            self._without[query] = self._load(others)
        return self._without[query]

    def _sum_up(self) -> None:
        # Summed anew at every change, so that rounding cannot pile up; it is asked far more often.
        self._without = {}
        self.load = self._load(self.members.values())

    def _load(self, members: Collection[Member]) -> StationLoad:
        return StationLoad(
            self.load.servers,
            fsum([member.rate for member in members]),
            fsum([member.work for member in members]),
            self.load.at_once,
        )
