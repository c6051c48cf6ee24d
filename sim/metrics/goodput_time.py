"""The formula of goodput, for arrays and for columns alike."""

from typing import Any, TypeVar

Times = TypeVar("Times")
"""Numbers, arrays or polars expressions."""


def goodput_time(met: Any, deployed: Times) -> Times:
    """Return how much of the time in windows counts as goodput.

    That is the time with a deployment in force, in the windows that met every part of the SLO.
    Summed over queries and divided by the length of a stretch of time, it is the service goodput;
    divided by the time that queries lived, it is the fraction of time in which the SLO was met.

    Args:
        met: whether each window met its SLO.
        deployed: time of each window with a deployment in force, in any unit.
    """
    time: Times = met * deployed
    return time
