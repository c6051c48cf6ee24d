"""Stations that may stand in for each other, in order of what is asked of them."""

from bisect import bisect_left, bisect_right, insort
from typing import Generic, Protocol, TypeVar

from sim.cluster.members import StationLoad


class Loaded(Protocol):
    """What has a unique number, the lower the older, and a load."""

    id: int
    load: StationLoad


AnyStation = TypeVar("AnyStation", bound=Loaded)


class ByLoad(Generic[AnyStation]):
    """Stations from the least to the most loaded, of equal load the latest first."""

    def __init__(self) -> None:
        self._order: list[tuple[float, int, AnyStation]] = []
        self._work: dict[int, float] = {}

    def put(self, station: AnyStation) -> None:
        """Put a station in its place; again whenever its load has changed."""
        self.drop(station)
        work = self._work[station.id] = station.load.work
        insort(self._order, (work, -station.id, station))

    def drop(self, station: AnyStation) -> None:
        """Take a station off, if it is there."""
        work = self._work.pop(station.id, None)
        if work is not None:
            # What is shorter comes before what goes on.
            del self._order[bisect_left(self._order, (work, -station.id))]

    def __contains__(self, station: AnyStation) -> bool:
        return station.id in self._work

    def __len__(self) -> int:
        return len(self._order)

    def fullest(self, more: float, most: float) -> AnyStation | None:
        """Return the most loaded station with room, of equals the oldest.

        It can take ``more`` work, in servers, without exceeding ``most``.
        """
        at = bisect_right(self._order, most, key=lambda place: place[0] + more)
        return self._order[at - 1][2] if at else None
