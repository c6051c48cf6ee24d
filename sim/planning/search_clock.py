"""Searches: the clock of each query's planning, and the profiling lane that it uses.

The clock of a search starts at the time of the trigger, and each operation advances it. Before its
first profiling run, the search waits for the first free lane; the wait counts towards response
time, but not towards the budget.
"""

from dataclasses import dataclass, field
from heapq import heappop, heappush

from sim.clock import ns, seconds

SURROGATES = ("search_step", "history")
"""The operations that are steps of a search by surrogates."""


@dataclass
class SearchClock:
    """The clock and the budget of one query's planning after one trigger."""

    number: int  # unique in the run
    started_ns: int  # time of the trigger
    budget_ns: int  # the largest time that can be charged to the search
    charged_ns: int = 0  # time charged so far
    waited_ns: int = 0  # time waited for a lane so far
    lane: int | None = None  # the lane that it holds, if any
    profiling_ns: int = 0  # the part of the charged time that was for profiling
    surrogates_ns: int = 0  # the part of it that was for steps of a surrogate search
    device_s: float = 0.0  # seconds of profiling devices used
    calls: int = 0  # number of calls of the planning context for this search
    # Configurations that exceeded the budget, with the number of profiling runs at that time. Only
    # another run, whose results may be reused, can change that.
    denied: dict[int, int] = field(default_factory=dict)

    @property
    def clock_ns(self) -> int:
        """The simulated time that the search has reached, in ns."""
        return self.started_ns + self.waited_ns + self.charged_ns

    @property
    def remaining_s(self) -> float:
        """The planning seconds that are left in the budget."""
        return seconds(self.budget_ns - self.charged_ns)

    def charge(self, operation: str, duration_s: float) -> None:
        """Advance the clock by the duration of an operation of `CHARGES_S`, within the budget."""
        assert duration_s >= 0, "time charged is never given back"
        charged_ns = min(self.budget_ns - self.charged_ns, ns(duration_s))
        self.charged_ns += charged_ns
        if operation == "profile":
            self.profiling_ns += charged_ns
        elif operation in SURROGATES:
            self.surrogates_ns += charged_ns


class Lanes:
    """The profiling lanes that searches share; lanes are assigned first come, first served."""

    def __init__(self, count: int) -> None:
        self._free_ns = [0] * count
        # A heap of the lanes by the time at which they are free; outdated entries stay until first.
        self._by_time = [(0, lane) for lane in range(count)]

    def charge(self, search: SearchClock, duration_s: float) -> None:
        """Advance a search by a profiling run in its lane; before the first run, assign a lane."""
        if search.lane is None:
            search.lane = self._first_free()
        start_ns = max(search.clock_ns, self._free_ns[search.lane])
        search.waited_ns += start_ns - search.clock_ns
        search.charge("profile", duration_s)
        self._free_ns[search.lane] = search.clock_ns
        heappush(self._by_time, (search.clock_ns, search.lane))

    def _first_free(self) -> int:
        """Return the lane that is free first; among equals, the one of the lowest number."""
        while self._by_time[0][0] != self._free_ns[self._by_time[0][1]]:
            heappop(self._by_time)
        return self._by_time[0][1]
