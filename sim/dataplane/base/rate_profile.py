"""Rates over time: in bytes per second for links, in millionths of nominal speed for stations."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.dataplane.base.durations import NOMINAL, finish_ns, share_of, shared_ns, step_at


@dataclass(frozen=True, slots=True, eq=False)
class RateProfile:
    """A rate as a step function of time; the last step has no end.

    Raises:
        ValueError: there are no steps, times do not increase, or the last rate is 0.
    """

    # Start times of the steps, increasing. The first step also holds before its start.
    starts_ns: Sequence[int] | NDArray[np.int64]
    # Rate of each step, a whole number of at least 0; the last one must be above 0.
    rates: Sequence[int] | NDArray[np.int64]
    # The starts, then the rates, as ``durations`` takes them, int64, of shape (2 x steps,).
    steps: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        starts = np.asarray(self.starts_ns, dtype=np.int64)
        rates = np.asarray(self.rates, dtype=np.int64)
        if not len(starts) or len(starts) != len(rates):
            raise ValueError("a rate profile needs as many rates as starts, at least one")
        if (np.diff(starts) <= 0).any():
            raise ValueError("the steps of a rate profile must start one after another")
        if rates.min() < 0 or rates[-1] <= 0:
            raise ValueError("rates must be 0 or more, and the last one above 0")
        steps, n = np.concatenate((starts, rates)), len(starts)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "starts_ns", steps[:n])
        object.__setattr__(self, "rates", steps[n:])

    def finish_ns(self, start_ns: int, work: int) -> int:
        """Return the time at which ``work``, at least 1 and begun at ``start_ns``, is done."""
        n, step = len(self.rates), self._step_at(start_ns)
        return int(finish_ns(self.steps, 0, n, step, start_ns, work))

    def shared_ns(self, start_ns: int, work: int, sharers: int) -> int:
        """Return the time at which each of ``sharers`` has got ``work`` since ``start_ns``."""
        n, step = len(self.rates), self._step_at(start_ns)
        return int(shared_ns(self.steps, 0, n, step, start_ns, work, sharers))

    def share_of(self, start_ns: int, end_ns: int, sharers: int) -> int:
        """Return the work that each of ``sharers`` gets between two times, rounded up."""
        n, step = len(self.rates), self._step_at(start_ns)
        return int(share_of(self.steps, 0, n, step, start_ns, end_ns, sharers))

    def _step_at(self, time_ns: int) -> int:
        n = len(self.rates)
        return int(step_at(self.steps, 0, n, 0, time_ns)) if n > 1 else 0


def constant(rate: int = NOMINAL) -> RateProfile:
    """Return a profile whose rate never changes."""
    return RateProfile((0,), (rate,))


def stepwise(steps: Sequence[tuple[int, float]]) -> RateProfile:
    """Return a server's speed under cumulative slowdowns, given as pairs (time in ns, factor)."""
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
