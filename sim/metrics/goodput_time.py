"""The formula of goodput, for arrays and for columns alike."""

from typing import Any, TypeVar

Times = TypeVar("Times")
"""Numbers, arrays or polars expressions."""


def goodput_time(met: Any, deployed: Times) -> Times:
    """Return the time that counts as goodput: deployed, in windows that met every part of the SLO.

    ``deployed`` may have any unit. Summed over queries and divided by a stretch of time, it is the
    service goodput; divided by the time that queries lived, the fraction in which the SLO was met.
    """
    time: Times = met * deployed
    return time
