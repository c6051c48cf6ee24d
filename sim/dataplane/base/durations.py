"""Durations in whole nanoseconds: the arithmetic that both data planes must share to the last bit.

Everything here is compiled without fast-math, and every duration is rounded once.

The integral of a rate that is constant between break points is exact in integers: work is measured
in (rate unit) x nanoseconds, and is done when the integral reaches it. The steps of a rate are held
in one array: the starts of ``n`` steps, then their ``n`` rates.
"""

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import in_place

NOMINAL = 1_000_000  # rate of a server at nominal speed: millionths

NS_PER_S = 1_000_000_000

NEVER = np.iinfo(np.int64).max
"""A time that never comes."""


@in_place
def divided_up(work: int, rate: int) -> int:
    """Return ``work / rate`` rounded up; both are above 0."""
    return int(np.uint64(work + rate - 1) // np.uint64(rate))


@in_place
def step_at(steps: NDArray[np.int64], at: int, n: int, guess: int, time_ns: int) -> int:
    """Return which of ``n`` steps, from index ``at`` on, holds at a time, the first also before.

    Begins at step ``guess``: times mostly rise, so a few steps ahead come before a binary search
    (Knuth, TAOCP 3, 6.2.1, algorithm B). O(log n) at worst.
    """
    low = guess if steps[at + guess] <= time_ns else 0
    for _ in range(4):
        if low + 1 >= n or steps[at + low + 1] > time_ns:
            return low
        low += 1
    # The step lies in [low, high).
    high = n
    while high - low > 1:
        middle = (low + high) // 2
        if steps[at + middle] <= time_ns:
            low = middle
        else:
            high = middle
    return low


@in_place
def finish_ns(
    steps: NDArray[np.int64], at: int, n: int, step: int, start_ns: int, work: int
) -> int:
    """Return when ``work`` of 1 or more, begun in a step, is done; at least 1 ns later.

    The inverse of the integral of a piecewise constant rate, step by step: the work of whole steps
    is subtracted exactly, and only the time in the last one is rounded, up. O(steps passed).
    """
    now = start_ns
    while step < n - 1:
        rate = steps[at + n + step]
        if rate > 0:
            span = steps[at + step + 1] - now
            if divided_up(work, rate) <= span:
                break
            work -= rate * span
        step += 1
        now = steps[at + step]
    return now + divided_up(work, steps[at + n + step])


@in_place
def whole(amount: float) -> int:
    """Return an amount as a whole number of at least 1, rounded half to even."""
    return max(1, int(np.rint(amount)))


@in_place
def bound_of(bound_ns: int, allowance: float) -> int:
    """Return the latency bound of a request with this allowance, in nanoseconds."""
    return bound_ns if allowance == 1.0 else max(1, int(np.rint(bound_ns * allowance)))


@in_place
def deadline_ns(birth_ns: int, bound_ns: int, allowance: float) -> int:
    """Return the deadline of a request, ``NEVER`` if that is the bound."""
    return NEVER if bound_ns == NEVER else birth_ns + bound_of(bound_ns, allowance)


@in_place
def batch_ns(work_ns: int, factor: float, slowdown: float) -> int:
    """Return how long a batch takes at nominal speed, given the largest work of its members in ns.

    ``factor`` is the time of such a batch over that of one request; ``slowdown`` is 1 without
    neighbours. Each product is rounded half to even.
    """
    if factor != 1.0:
        work_ns = int(np.rint(work_ns * factor))
    if slowdown != 1.0:
        work_ns = int(np.rint(work_ns * slowdown))
    return work_ns


@in_place
def prompt_ns(tokens: int, ns_per_token: float, ns_per_token2: float) -> int:
    """Return how long a prompt's prefill takes, without its fixed part; attention is quadratic."""
    return whole(tokens * (ns_per_token + tokens * ns_per_token2))
