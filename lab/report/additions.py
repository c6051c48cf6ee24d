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
    verdicts: tuple[Bools, Bools, Bools, Bools],
    added_s: Floats,
    added_ns: Ints,
) -> None:
    """Add up rows of windows, each window's behind one another.

    Args:
        first: the first row of each window, shape (n,).
        bounds_s: starts and ends of the windows.
        lived_s: how long queries were active, and deployed.
        verdicts: whether the SLO was met, and its parts: latency, accuracy, cost.
        added_s: gets the least start and the greatest end, shape (n, 2).
        added_ns: gets the sums, 0 before, shape (n, 6).
    """
    starts_s, ends_s = bounds_s
    active_s, deployed_s = lived_s
    met, in_time, accurate, cheap = verdicts
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
            elif not in_time[row]:
                added_ns[at, LATE] += deployed_ns
            elif not accurate[row]:
                added_ns[at, INACCURATE] += deployed_ns
            elif not cheap[row]:
                added_ns[at, TOO_DEAR] += deployed_ns
        added_s[at, 0], added_s[at, 1] = start_s, end_s


@unlocked
def add_operators(mean_s: Floats, completed: Ints, first: int, added_ns: Ints) -> None:
    """Add up a part of the time of completed requests, by operator.

    Args:
        mean_s: mean time of a request; a row for each operator, window after window.
        completed: how many requests each window completed.
        first: number of the first of these rows.
        added_ns: gets the sums added, by operator.
    """
    operators = len(added_ns)
    window, operator = first // operators, first % operators
    for row in range(len(mean_s)):
        added_ns[operator] += int(np.rint(mean_s[row] * completed[window] * 1e9))
        operator += 1
        if operator == operators:
            window, operator = window + 1, 0
