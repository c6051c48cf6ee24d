"""Durations in whole nanoseconds, which are equal to the bit in both data planes.

All functions are compiled without fast-math, and every duration is rounded once.

Rates are step functions of time, so their integrals are exact in integers. Work is measured in
(rate unit) x nanoseconds, and is done when the integral of the rate since its start reaches the
work. The steps of a rate are stored in one array: first the start times of ``n`` steps, then their
``n`` rates.
"""

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import in_place

NOMINAL = 1_000_000  # rate of a server at nominal speed: millionths

NS_PER_S = 1_000_000_000

NEVER = np.iinfo(np.int64).max
"""A time that is later than all times of a simulation."""


@in_place
def divided_up(work: int, rate: int) -> int:
    """Return ``work / rate``, rounded up; both numbers are above 0."""
    return int(np.uint64(work + rate - 1) // np.uint64(rate))


@in_place
def step_at(steps: NDArray[np.int64], at: int, n: int, guess: int, time_ns: int) -> int:
    """Return the index of the step that is active at ``time_ns``, out of ``n`` steps.

    The steps are stored from index ``at`` on. The first step also applies to earlier times. Times
    mostly increase between calls, so a few steps from ``guess`` on are tried before a binary search
    (Knuth, TAOCP 3, 6.2.1, algorithm B). This takes O(log n) in the worst case.
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
    """Return the time, later than ``start_ns``, at which ``work`` begun at ``start_ns`` is done.

    ``work`` is at least 1; ``step`` is the step that is active at the start. The integral of the
    rate is inverted step by step: the work done in whole steps is subtracted exactly, and the time
    in the last step is rounded up. This takes O(number of steps until the end).
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
def shared_ns(
    steps: NDArray[np.int64], at: int, n: int, step: int, start_ns: int, work: int, sharers: int
) -> int:
    """Return the time from which each of ``sharers`` has got ``work`` of a rate since ``start_ns``.

    The rate is shared equally. The result is `finish_ns` if there is one sharer, ``start_ns`` if
    ``work`` is 0 or less, and NEVER if it cannot be represented. Each sharer's work in a step is
    rounded up to a whole number, as in `share_of`. ``sharers`` times the rate must be below 2^63.
    """
    now = start_ns
    if work <= 0:
        return now
    while step < n:
        rate = steps[at + n + step]
        until_ns = steps[at + step + 1] if step + 1 < n else NEVER
        # The first comparison keeps the products from overflowing.
        if rate > 0 and (work - 1) // rate <= (until_ns - now) // sharers:
            took_ns = (work - 1) // rate * sharers + (work - 1) % rate * sharers // rate + 1
            if took_ns <= until_ns - now:
                return int(now + took_ns)
        if until_ns == NEVER:
            break
        work -= _share(rate, until_ns - now, sharers)
        step += 1
        now = until_ns
    return NEVER


@in_place
def share_of(
    steps: NDArray[np.int64], at: int, n: int, step: int, start_ns: int, end_ns: int, sharers: int
) -> int:
    """Return the work that each of ``sharers`` gets of a rate between two times; see `shared_ns`.

    The share of each step of the rate is rounded up to a whole number, so that no sharer is late by
    a nanosecond where its work takes a whole number of them. ``step`` is the step that is active at
    ``start_ns``.
    """
    work, now = 0, start_ns
    while step < n - 1 and steps[at + step + 1] < end_ns:
        until_ns = steps[at + step + 1]
        work += _share(steps[at + n + step], until_ns - now, sharers)
        step += 1
        now = until_ns
    return work + _share(steps[at + n + step], end_ns - now, sharers)


@in_place
def _share(rate: int, span_ns: int, sharers: int) -> int:
    """Return ``rate * span_ns / sharers``, rounded up; the product itself could overflow."""
    return rate // sharers * span_ns + divided_up(rate % sharers * span_ns, sharers)


@in_place
def whole(amount: float) -> int:
    """Round an amount half to even; return a whole number of at least 1."""
    return max(1, int(np.rint(amount)))


@in_place
def alone_ns(mean_ns: float, fixed_share: float, size: float, variability: float) -> int:
    """Return the service time of a request that is served alone at nominal speed.

    ``fixed_share`` is the share of the mean time that does not scale with the request's size.
    """
    return whole(mean_ns * (fixed_share + (1.0 - fixed_share) * size) * variability)


@in_place
def bound_of(bound_ns: int, allowance: float) -> int:
    """Return the latency bound of a request, multiplied by its allowance, in nanoseconds."""
    return bound_ns if allowance == 1.0 else max(1, int(np.rint(bound_ns * allowance)))


@in_place
def deadline_ns(birth_ns: int, bound_ns: int, allowance: float) -> int:
    """Return the deadline of a request; ``NEVER`` if its bound is ``NEVER``."""
    return NEVER if bound_ns == NEVER else birth_ns + bound_of(bound_ns, allowance)


@in_place
def batch_ns(work_ns: int, factor: float, slowdown: float) -> int:
    """Return the duration of a batch whose longest member takes ``work_ns`` alone at nominal speed.

    ``factor`` is the time of a batch of this size divided by that of one request. ``slowdown`` is
    the slowdown by neighbours on the GPU, and is 1 without neighbours. Each product is rounded half
    to even.
    """
    if factor != 1.0:
        work_ns = int(np.rint(work_ns * factor))
    if slowdown != 1.0:
        work_ns = int(np.rint(work_ns * slowdown))
    return work_ns


@in_place
def average_batch_ns(total_ns: int, members: int, factor: float) -> int:
    """Return ``factor`` times the average of services that take ``total_ns`` one after the other.

    This is the duration at nominal speed, without neighbours, of a batch whose time is a multiple
    of the time of its average member.
    """
    return whole(total_ns * (factor / members))


@in_place
def prompt_ns(tokens: int, ns_per_token: float, ns_per_token2: float) -> int:
    """Return a prompt's prefill time without the fixed part; attention takes quadratic time."""
    return whole(tokens * (ns_per_token + tokens * ns_per_token2))
