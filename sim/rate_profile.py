"""Servers whose rate varies in time, exact in the work domain.

A server is given work, measured in units of (rate unit) x nanoseconds, and a rate that is constant
between break points. The work is done when the integral of the rate reaches it. All quantities are
integers, so the answer is exact and rounded once, up to the next nanosecond. The same function
serves links (rate in bytes per second, work in 1e-9 bytes) and stations (rate in millionths of the
nominal speed, work in 1e-6 ns).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

NOMINAL = 1_000_000


@dataclass(frozen=True, slots=True)
class RateProfile:
    """A rate as a step function of time; the last step holds for ever.

    Args:
        starts_ns: when each step begins, increasing. The first step also holds before its start.
        rates: rate of each step, a whole number of 0 or more; the last must be above 0.

    Raises:
        ValueError: the steps are empty, not increasing, or end in a rate that serves nothing.
    """

    starts_ns: tuple[int, ...]
    rates: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.starts_ns or len(self.starts_ns) != len(self.rates):
            raise ValueError("a rate profile needs as many rates as starts, at least one")
        if any(a >= b for a, b in zip(self.starts_ns, self.starts_ns[1:], strict=False)):
            raise ValueError("the steps of a rate profile must start one after another")
        if min(self.rates) < 0 or self.rates[-1] <= 0:
            raise ValueError("rates must be 0 or more, and the last one above 0")

    def finish_ns(self, start_ns: int, work: int) -> int:
        """Return when ``work``, begun at ``start_ns``, is done; at least 1 ns later."""
        starts, rates = self.starts_ns, self.rates
        last = len(rates) - 1
        step = max(0, bisect_right(starts, start_ns) - 1)
        now = start_ns
        while step < last:
            capacity = rates[step] * (starts[step + 1] - now)
            if capacity >= work:
                break
            work -= capacity
            step += 1
            now = starts[step]
        # Divide rounding up; only here is anything rounded.
        return max(start_ns + 1, now - (-work // rates[step]) if work else now)


def constant(rate: int = NOMINAL) -> RateProfile:
    """Return a rate that never changes."""
    return RateProfile((0,), (rate,))


def stepwise(steps: Sequence[tuple[int, float]]) -> RateProfile:
    """Return the speed of a server from successive slow-downs.

    Args:
        steps: (time in nanoseconds, factor); factors multiply up from the nominal speed.
    """
    starts, rates = [0], [NOMINAL]
    factor = 1.0
    for at_ns, change in steps:
        factor *= change
        rate = max(1, round(NOMINAL * factor))
        if at_ns <= starts[-1]:
            rates[-1] = rate
        else:
            starts.append(at_ns)
            rates.append(rate)
    return RateProfile(tuple(starts), tuple(rates))
