"""The formula of goodput, for NumPy arrays and Polars columns."""

from typing import Any, TypeVar

Times = TypeVar("Times")
"""Numbers, arrays or polars expressions."""


def goodput_time(met: Any, deployed: Times) -> Times:
    """Return the time that counts as goodput: deployed time in windows that met the whole SLO.

    ``deployed`` can have any unit of time. Summed over queries and divided by the length of a
    period, the result is the service goodput. Summed over queries and divided by their total
    lifetime, it is the fraction of time in which the SLO was met.
    """
    time: Times = met * deployed
    return time
