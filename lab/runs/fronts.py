"""The kinds of plan that could serve each of many queries, in one compiled loop."""

from typing import NamedTuple

import numpy as np

from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints


class Kinds(NamedTuple):
    """The T kinds of plan for the queries of one data set; W paths lead through the operators.

    Kinds are sorted by the sum of their shares of resources, so that no kind takes more of every
    resource than a later one.
    """

    configuration: Ints  # (T,)
    demand: Floats  # of each resource, of shape (T, R)
    usd_per_hour: Floats  # (T,)
    sent_bytes: Floats  # all messages on the access uplink, of shape (T,)
    # By path, of shape (W, T):
    node_s: Floats  # time on nodes and on the backhaul
    up_bytes: Floats  # messages on the access uplink
    down_bytes: Floats  # messages on the access downlink
    crossings: Floats  # crossings of the access link
    fixed_s: Floats  # propagation on the backhaul


class OnDevice(NamedTuple):
    """What a device of one model does under each of T kinds of plan of a data set."""

    fits: Bools  # whether its memory suffices, of shape (T,)
    work_s: Floats  # time of its busiest operator for a mean request, of shape (T,)
    time_s: Floats  # time along each path, of shape (W, T)


class Best(NamedTuple):
    """The properties of Q queries of one data set and device model, at their best."""

    good: Bools  # whether each configuration is accurate enough, of shape (Q, C)
    bound_s: Floats  # latency bound; infinite without one, of shape (Q,)
    usd_per_hour: Floats  # cost ceiling; infinite without one, of shape (Q,)
    speed: Floats  # of the device, of shape (Q,)
    up: Floats  # capacity of the access uplink, in bytes/s, of shape (Q,)
    down: Floats  # of the downlink, of shape (Q,)
    rtt_s: Floats  # round trip of the access link, of shape (Q,)


@compiled
def fronts(  # noqa: PLR0912
    kinds: Kinds,
    device: OnDevice,
    best: Best,
    small: float,
    still: float,
    rate: float,
    window_s: float,
    every: bool,
) -> tuple[Ints, Ints]:
    """Return each query's kinds of plan that could serve it, unless another takes no more.

    Args:
        kinds: the kinds of plan of a data set.
        device: what the device does under them.
        best: the queries.
        small: factor of times that depend on a request's size.
        still: factor of other times.
        rate: the least number of requests per second, in mean requests.
        window_s: length of a window.
        every: whether kinds of plan remain that take no less than others.

    Returns:
        The first kind of each query, and the end, of shape (Q + 1,), and the kinds, in order.
    """
    queries, many, resources = len(best.speed), len(kinds.configuration), kinds.demand.shape[1]
    begin = np.zeros(queries + 1, dtype=np.int64)
    chosen = np.empty(64 + 16 * queries, dtype=np.int64)
    count = 0
    for query in range(queries):
        bound_s, speed = best.bound_s[query], best.speed[query]
        up, down, rtt_s = best.up[query], best.down[query], best.rtt_s[query]
        busy = (1 + min(bound_s, 1e9) / window_s) / rate
        first = count
        for kind in range(many):
            if not (best.good[query, kinds.configuration[kind]] and device.fits[kind]):
                continue
            if device.work_s[kind] / speed > busy or kinds.sent_bytes[kind] / up > busy:
                continue
            if kinds.usd_per_hour[kind] > best.usd_per_hour[query]:
                continue
            late = False
            for path in range(len(kinds.node_s)):
                moving_s = kinds.node_s[path, kind] + device.time_s[path, kind] / speed
                moving_s += kinds.up_bytes[path, kind] / up + kinds.down_bytes[path, kind] / down
                still_s = kinds.fixed_s[path, kind] + kinds.crossings[path, kind] * rtt_s / 2
                late = late or small * moving_s + still * still_s > bound_s
            if late:
                continue
            needed = True
            for other in range(count if every else first, count):
                less = True
                for resource in range(resources):
                    if kinds.demand[chosen[other], resource] > kinds.demand[kind, resource]:
                        less = False
                        break
                if less:
                    needed = False
                    break
            if not needed:
                continue
            if count == len(chosen):
                chosen = np.concatenate((chosen, np.empty_like(chosen)))
            chosen[count] = kind
            count += 1
        begin[query + 1] = count
    return begin, chosen[:count].copy()
