"""Access links by technology: nominal capacity, spread, round trip, and capacity in time.

Sources, table ``links``: Ookla speed tests of "A Variegated Look at 5G" (SIGCOMM 2021) for the
technologies; FCC and Norway HSDPA traces for how much of the spread lies between links.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.signal import lfilter
from scipy.stats import norm

from hardware_models.errors import pick
from hardware_models.tables import load_table, table_cache

_NEAR_RTT = "RTT servers < 100 km"
_ALL_RTT = "RTT all servers"
_BPS_PER_MBPS = 1e6
_MS_PER_S = 1e3


@dataclass(frozen=True, slots=True)
class LinkModel:
    """An access technology, as log-normal quantities with the published median.

    Attributes:
        technology: Its name, such as ``"4G-LTE"``.
        nominal_uplink_bps: Median uplink capacity, in bits per second.
        nominal_downlink_bps: Median downlink capacity, in bits per second.
        log_sd_uplink: Standard deviation of the logarithm of uplink capacity.
        log_sd_downlink: Standard deviation of the logarithm of downlink capacity.
        rtt_s: Median round trip to a server within 100 km, in seconds.
        rtt_log_sd: Standard deviation of the logarithm of that round trip.
    """

    technology: str
    nominal_uplink_bps: float
    nominal_downlink_bps: float
    log_sd_uplink: float
    log_sd_downlink: float
    rtt_s: float
    rtt_log_sd: float


@table_cache
def _speed_tests() -> dict[str, dict[str, dict[str, Any]]]:
    """Rows of the speed tests by technology and metric."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    tests = load_table("links").filter(pl.col("dataset").str.starts_with("SIGCOMM21-5G"))
    for row in tests.iter_rows(named=True):
        result.setdefault(row["technology"], {})[row["metric"]] = row
    return result


def technologies() -> tuple[str, ...]:
    """Name the access technologies."""
    return tuple(_speed_tests())


def _log_sd(row: dict[str, Any]) -> float:
    """Fit a log-normal's spread to the distance between p5 and p95."""
    return float(math.log(row["p95"] / row["p5"]) / (2 * norm.ppf(0.95)))


@table_cache
def _link_model(technology: str) -> LinkModel:
    rows = _speed_tests()[technology]
    up, down, rtt = rows["uplink"], rows["downlink"], rows[_NEAR_RTT]
    return LinkModel(
        technology=technology,
        nominal_uplink_bps=up["p50"] * _BPS_PER_MBPS,
        nominal_downlink_bps=down["p50"] * _BPS_PER_MBPS,
        log_sd_uplink=_log_sd(up),
        log_sd_downlink=_log_sd(down),
        rtt_s=rtt["p50"] / _MS_PER_S,
        rtt_log_sd=_log_sd(rtt),
    )


def link_model(technology: str) -> LinkModel:
    """Describe an access technology.

    Each quantity keeps its published median (p50); its spread is ln(p95/p5) / (2 x 1.6449). The
    fit is therefore wrong at p5 and p95 by one and the same factor where the data are skewed: at
    most 1.28 for uplinks, 1.89 for downlinks (5G-NSA-mmWave) and 1.18 for round trips.

    Raises:
        UnknownNameError: The technology is not in the table.
    """
    pick("link technology", technology, _speed_tests())
    return _link_model(technology)


@table_cache
def between_link_share() -> float:
    """Share of the variance of log capacity that lies between links and is constant in time.

    Derived: the mean over FCC broadband and Norway HSDPA of (coefficient of variation of the
    per-trace means / that of all samples)^2, where the squared coefficient stands for the variance
    of the logarithm. Those links are slower and older than the technologies it is used with.
    """
    table = load_table("links").filter(pl.col("metric").str.starts_with("downlink throughput"))
    wide = table.pivot("metric", index="dataset", values="cv")
    ratio = wide["downlink throughput, per-trace mean"] / wide["downlink throughput samples"]
    return float((ratio.to_numpy() ** 2).mean())


def capacity_series_bps(
    nominal_bps: float,
    log_sd: float,
    normals: npt.NDArray[np.float64],
    autocorrelation: float,
) -> npt.NDArray[np.float64]:
    """Generate a link's capacity, second by second.

    Log capacity is a level of the link, constant in time, plus a stationary AR(1) process; the
    level has `between_link_share` of the variance. Over links and times, the capacity is
    log-normal with median ``nominal_bps`` and ``log_sd``.

    Args:
        nominal_bps: Median capacity, in bits per second.
        log_sd: Standard deviation of the logarithm of capacity, over links and times.
        normals: n + 1 independent standard normals: the link's level, then one for each second.
        autocorrelation: Correlation of log capacity at successive seconds within a link, at least
            0 and below 1. The table does not hold it: it is an assumption of the scenario.

    Returns:
        The n capacities, in bits per second.

    Raises:
        ValueError: A number is out of its range, or there are fewer than two normals.
    """
    if not (math.isfinite(nominal_bps) and nominal_bps > 0):
        raise ValueError(f"nominal_bps is {nominal_bps!r}: give a positive number of bits/s")
    if not (math.isfinite(log_sd) and log_sd >= 0):
        raise ValueError(f"log_sd is {log_sd!r}: give a number of at least 0")
    if not 0 <= autocorrelation < 1:
        raise ValueError(
            f"autocorrelation is {autocorrelation!r}: give a number of at least 0 and below 1"
        )
    if normals.ndim != 1 or normals.size < 2:
        raise ValueError(f"normals has shape {normals.shape}: give one row of at least 2 numbers")
    share = between_link_share()
    shocks = normals[1:] * math.sqrt(1 - autocorrelation**2)
    shocks[0] = normals[1]  # Start in the stationary distribution, not at its mean.
    within = lfilter([1.0], [1.0, -autocorrelation], shocks)
    log_ratio = math.sqrt(share) * normals[0] + math.sqrt(1 - share) * within
    return np.asarray(nominal_bps * np.exp(log_sd * log_ratio), dtype=np.float64)


@table_cache
def wide_area_rtt_s() -> float:
    """Extra round trip, in seconds, from an edge site near the user to a cloud region.

    Derived: median over the technologies of the median round trip to all servers of the speed
    tests (far ones included on purpose) less that to servers within 100 km.
    """
    extra = [rows[_ALL_RTT]["p50"] - rows[_NEAR_RTT]["p50"] for rows in _speed_tests().values()]
    return float(np.median(extra)) / _MS_PER_S
