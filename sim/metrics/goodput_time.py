"""The formula of goodput, for NumPy arrays and Polars columns."""

from typing import Any, TypeVar

Times = TypeVar("Times")
"""Numbers, arrays or polars expressions."""


def goodput_time(met: Any, deployed: Times) -> Times:
    """Return the time that counts as goodput: deployed time in windows that met the whole SLO.

    ``deployed`` may be in any unit of time. The sum of the result over queries is the service
    goodput if divided by the length of a period, and the fraction of time that met the SLO if
    divided by the queries' total lifetime.
    """
    time: Times = met * deployed
    return time
