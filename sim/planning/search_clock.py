"""Searches: the clock of each query's planning, and the profiling lane that it uses.

The clock of a search starts at the time of the trigger, and each operation advances it. Before its
first profiling run, the search waits for the first free lane; the wait counts towards response
time. It keeps the lane until its last run ends.

In a pool, lanes are scarce, and two more rules hold. First, waits count towards the budget of a
search, but a least part of the budget remains for profiling. If every search used its whole budget,
the queue would grow without end wherever lanes cannot do full searches for all. With this rule, it
does so only where lanes cannot even do the least part of all.

Second, the search of a query without a plan comes before *background* work, which is the search of
a query that has one. Nothing that runs is interrupted. So a background search gets a lane only if
one is free at its clock. Otherwise it measures nothing, and the planner can ask again in its next
call. In this way, no background search ever waits in front of a query without a plan. Such a query
waits for those that came before it, and at most for the rest of one background search.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from math import inf

from sim.clock import ns, seconds

SURROGATES = ("search_step", "history")
"""The operations that are steps of a search by surrogates."""


@dataclass
class SearchClock:
    """The clock and the budget of one query's planning after one trigger."""

    number: int  # unique in the run
    started_ns: int  # time of the trigger
    budget_ns: int  # the largest time that can be charged to the search
    # The part of the budget that it can use in a lane, however long it waited; charges in a lane
    # reduce it.
    least_ns: int
    charged_ns: int = 0  # time charged so far
    waited_ns: int = 0  # time waited for a lane so far
    lane: int | None = None  # the lane that it holds, if any
    profiling_ns: int = 0  # the part of the charged time that was for profiling
    surrogates_ns: int = 0  # the part of it that was for steps of a surrogate search
    device_s: float = 0.0  # seconds of profiling devices used
    cost_usd: float = 0.0  # price of these seconds
    background: bool = False  # whether its query had a plan at the trigger
    calls: int = 0  # number of calls of the planning context for this search
    # Configurations that exceeded the budget, with the number of profiling runs at that time. Only
    # another run, whose results may be reused, can change that.
    denied: dict[int, int] = field(default_factory=dict)

    @property
    def clock_ns(self) -> int:
        """The simulated time that the search has reached, in ns."""
        return self.started_ns + self.waited_ns + self.charged_ns

    @property
    def uncharged_ns(self) -> int:
        """The part of the budget that was not charged, in ns, without regard to waits."""
        return self.budget_ns - self.charged_ns

    def charge(self, operation: str, duration_s: float) -> None:
        """Advance the clock by the duration of an operation of `CHARGES_S`, within the budget."""
        assert duration_s >= 0, "time charged is never given back"
        charged_ns = min(self.uncharged_ns, ns(duration_s))
        self.charged_ns += charged_ns
        if self.lane is not None:
            self.least_ns = max(0, self.least_ns - charged_ns)
        if operation == "profile":
            self.profiling_ns += charged_ns
        elif operation in SURROGATES:
            self.surrogates_ns += charged_ns


def copied(search: SearchClock) -> SearchClock:
    """Return a copy of a search, which does not change with it."""
    return replace(search, denied=dict(search.denied))


class Lanes:
    """The profiling lanes that searches share; lanes are assigned first come, first served.

    ``scarce`` says whether the two rules of a pool hold, which the module describes. ``usable``
    returns the lanes that can be assigned at a time in ns; by default, these are all.
    """

    def __init__(
        self,
        count: int,
        scarce: bool = False,
        usable: Callable[[int], Sequence[int]] | None = None,
    ) -> None:
        self._free_ns = [0] * count
        self._scarce = scarce
        self._usable = usable
        # A heap of the lanes by the time at which they are free; outdated entries stay until first.
        self._by_time = [(0, lane) for lane in range(count)]

    def lane_of(self, search: SearchClock) -> int | None:
        """Return the lane that a search has or would get, or None if it may not profile now."""
        if search.lane is not None:
            return search.lane
        first = self._first_free(search.started_ns)
        if (
            self._scarce
            and search.background
            and first is not None
            and self._free_ns[first] > search.clock_ns
        ):
            return None
        return first

    def for_background(self, now_ns: int) -> int:
        """Return the number of lanes that background searches would get now."""
        if not self._scarce:
            return len(self._free_ns)
        return sum(self._free_ns[lane] <= now_ns for lane in self._lanes(now_ns))

    def wait_s(self, now_ns: int) -> float:
        """Return the seconds from now until the first lane is free, or infinity without lanes."""
        first = self._first_free(now_ns)
        return inf if first is None else seconds(max(0, self._free_ns[first] - now_ns))

    def remaining_s(self, search: SearchClock) -> float:
        """Return the seconds for which a search can still profile, after the wait for its next run.

        If there is no lane to wait for, there is no queue, and no wait.
        """
        if not self._scarce:
            return seconds(search.uncharged_ns)
        lane = self.lane_of(search)
        start_ns = search.clock_ns if lane is None else self._start_ns(search, lane)
        left_ns = search.started_ns + search.budget_ns - start_ns
        return seconds(max(left_ns, min(search.uncharged_ns, search.least_ns)))

    def charge(self, search: SearchClock, duration_s: float) -> None:
        """Advance a search by a profiling run in its lane; before the first run, assign a lane."""
        search.lane = self.lane_of(search)
        assert search.lane is not None, "a search without a lane profiles nothing"
        start_ns = self._start_ns(search, search.lane)
        search.waited_ns += start_ns - search.clock_ns
        search.charge("profile", duration_s)
        self._free_ns[search.lane] = search.clock_ns
        heappush(self._by_time, (search.clock_ns, search.lane))

    def _start_ns(self, search: SearchClock, lane: int) -> int:
        """Return when the next run of a search can start in a lane."""
        return max(search.clock_ns, self._free_ns[lane])

    def _lanes(self, now_ns: int) -> Sequence[int]:
        return range(len(self._free_ns)) if self._usable is None else self._usable(now_ns)

    def _first_free(self, now_ns: int) -> int | None:
        """Return the usable lane that is free first; among equals, the one of the lowest number."""
        if self._usable is not None:
            return min(self._usable(now_ns), key=self._free_ns.__getitem__, default=None)
        while self._by_time[0][0] != self._free_ns[self._by_time[0][1]]:
            heappop(self._by_time)
        return self._by_time[0][1]
