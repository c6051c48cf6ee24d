"""The formula of goodput, for arrays and columns."""

from typing import Any, TypeVar

Times = TypeVar("Times")
"""Numbers, arrays or polars expressions."""


def goodput_time(met: Any, deployed: Times) -> Times:
    """Return the time that counts as goodput: deployed, in windows that met every part of the SLO.

    ``deployed`` may have any unit. The sum over queries, divided by the length of a period, is the
    service goodput. Divided by the lifetime of the queries, it is the fraction with the SLO met.
    """
    time: Times = met * deployed
    return time
