"""Additions over the rows of one run, in compiled code that leaves other threads to run.

Times are added as whole nanoseconds, in which the order of addition does not matter.
"""

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import unlocked

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ACTIVE, DEPLOYED, MET, LATE, INACCURATE, TOO_DEAR = range(6)
"""Columns of what ``add_windows`` adds up."""


@unlocked
def add_windows(
    first: Ints,
    bounds_s: tuple[Floats, Floats],
    lived_s: tuple[Floats, Floats],
    verdicts: tuple[Bools, Bools, Bools, Bools, Bools],
    added_s: Floats,
    added_ns: Ints,
) -> None:
    """Add up rows of windows, each window's behind one another.

    Args:
        first: the first row of each window, shape (n,).
        bounds_s: starts and ends of the windows.
        lived_s: how long queries were active, and deployed.
        verdicts: whether the SLO was met, whether that only repeats the verdict before for want of
            requests, and the parts: latency, accuracy, cost.
        added_s: gets the least start and the greatest end, shape (n, 2).
        added_ns: gets the sums, 0 before, shape (n, 6).
    """
    starts_s, ends_s = bounds_s
    active_s, deployed_s = lived_s
    met, repeated, in_time, accurate, cheap = verdicts
    for at in range(len(first)):
        last = first[at + 1] if at + 1 < len(first) else len(met)
        start_s, end_s = starts_s[first[at]], ends_s[first[at]]
        for row in range(first[at], last):
            start_s, end_s = min(start_s, starts_s[row]), max(end_s, ends_s[row])
            deployed_ns = int(np.rint(deployed_s[row] * 1e9))
            added_ns[at, ACTIVE] += int(np.rint(active_s[row] * 1e9))
            added_ns[at, DEPLOYED] += deployed_ns
            if met[row]:
                added_ns[at, MET] += deployed_ns
            elif repeated[row]:
                continue  # It has no reason of its own, and no accuracy that could reach a floor.
            elif not in_time[row]:
                added_ns[at, LATE] += deployed_ns
            elif not accurate[row]:
                added_ns[at, INACCURATE] += deployed_ns
            elif not cheap[row]:
                added_ns[at, TOO_DEAR] += deployed_ns
        added_s[at, 0], added_s[at, 1] = start_s, end_s


@unlocked
def add_operators(
    start: int,
    keys: tuple[Ints, Ints],
    means_s: tuple[Floats, Floats, Floats, Floats],
    windows: tuple[Ints, Ints],
    completed: Ints,
    added_ns: Ints,
) -> bool:
    """Add up the times of completed requests, by part and operator.

    Args:
        start: how many rows of the run were added before these.
        keys: query and window of each row, which has one operator.
        means_s: mean time of a request there, by part.
        windows: query and window of all windows of the run that completed requests, in the order of
            the rows, of which each has one for every operator; shape (w,).
        completed: how many requests each of them completed, shape (w,).
        added_ns: gets the sums added, shape (parts, operators).

    Returns:
        Whether the rows are those of the windows.
    """
    queries, numbers = keys
    of_query, of_number = windows
    queueing_s, batching_s, compute_s, transfer_s = means_s
    operators, row = added_ns.shape[1], 0
    at, operator = start // operators, start % operators
    if start + len(queries) > len(completed) * operators:
        return False
    while row < len(queries):
        query, number, count = of_query[at], of_number[at], completed[at]
        while operator < operators and row < len(queries):
            if queries[row] != query or numbers[row] != number:
                return False
            added_ns[0, operator] += int(np.rint(queueing_s[row] * count * 1e9))
            added_ns[1, operator] += int(np.rint(batching_s[row] * count * 1e9))
            added_ns[2, operator] += int(np.rint(compute_s[row] * count * 1e9))
            added_ns[3, operator] += int(np.rint(transfer_s[row] * count * 1e9))
            operator += 1
            row += 1
        at, operator = at + 1, 0
    return True
