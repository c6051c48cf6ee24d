"""Loading of weights through the disk and host of a machine, whose bandwidth loads can share."""

Busy = list[tuple[int, int]]
"""Sorted disjoint spans, from start to end in nanoseconds, at which a machine loads weights."""


def share_bandwidth(busy: Busy, now_ns: int, start_ns: int, alone_ns: int) -> int:
    """Add a load to the spans of its machine, and return the time at which it ends.

    Loads that were ordered earlier come first; this one uses the bandwidth that they leave from
    ``start_ns`` on. So bandwidth is idle only while nothing is to be loaded, and no later load
    delays this one. ``alone_ns`` is the time that the load takes alone, ``now_ns`` the present.
    """
    busy[:] = [span for span in busy if span[1] > now_ns]
    mine: Busy = []
    at_ns, left_ns = start_ns, alone_ns
    for begin_ns, end_ns in busy.copy():
        if free_ns := min(left_ns, max(0, begin_ns - at_ns)):
            mine.append((at_ns, at_ns + free_ns))
            left_ns -= free_ns
        at_ns = max(at_ns, end_ns)
    if left_ns:
        mine.append((at_ns, at_ns + left_ns))
    busy += mine
    busy.sort()
    return mine[-1][1] if mine else start_ns
