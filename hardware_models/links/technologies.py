"""Access links by technology: published capacities and round trips, and how capacity changes.

Each row of table ``links`` holds the quantiles of one quantity of a technology. Table
``link_technologies`` names the row for each quantity. If a technology was not measured, this is a
row of another technology. Table ``link_autocorrelation`` says how fast capacity changes. Main
source: Ookla speed tests of "A Variegated Look at 5G" (SIGCOMM 2021).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.constants import speed_of_light
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import ndtri

from hardware_models.errors import TableError, pick
from hardware_models.tables import SHIPPED, load_table, required_row, table_cache, using_tables

_BPS_PER_MBPS = 1e6
_S_PER_MS = 1e-3
_PERCENTILES = {f"p{percent}": percent / 100 for percent in (5, 10, 25, 50, 75, 90, 95)}

Floats = npt.NDArray[np.float64]


OUT = 0.01
"""A link has outages if its 5th percentile is below this fraction of its median."""

_NODES = 21
_ALMOST = 1 - 1e-6  # largest correlation of the driving process


@dataclass(frozen=True)
class Marginal:
    """The distribution of a positive quantity, interpolated between its published percentiles.

    Attributes:
        values: Its percentiles, ascending.
        levels: The fraction that lies below each of them. They are symmetric about one half; by
            default, those of 5, 10, 25, 50, 75, 90 and 95 %.
    """

    values: tuple[float, ...]
    levels: tuple[float, ...] = tuple(_PERCENTILES.values())

    @property
    def median(self) -> float:
        """The 50th percentile."""
        return self.values[len(self.values) // 2]

    @cached_property
    def _between(self) -> PchipInterpolator:
        return PchipInterpolator(ndtri(list(self.levels)), np.log(self.values))

    def at(self, normals: Floats | float) -> Floats:
        """Map standard normal variables, of any shape, to values that have this distribution.

        As a function of the normal variable, the logarithm of the value is a monotone cubic through
        the percentiles (PCHIP: Fritsch and Butland, 1984). Below the first and above the last, such
        as p5 and p95, it is a straight line with the slope of a log-normal distribution that has
        the same two percentiles. If the link has outages (`OUT`), the slope above the last is that
        from the median to the last.
        """
        z = np.asarray(normals, dtype=np.float64)
        edge = float(ndtri(self.levels[-1]))
        below = above = math.log(self.values[-1] / self.values[0]) / (2 * edge)
        if self.values[0] < OUT * self.median:
            above = math.log(self.values[-1] / self.median) / edge
        inside = z.clip(-edge, edge)
        slope = np.where(z < 0, below, above)
        return np.asarray(np.exp(self._between(inside) + slope * (z - inside)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class LinkModel:
    """A technology of access links.

    Attributes:
        technology: Its name, such as ``"4G-LTE"``.
        uplink_bps: Distribution of the uplink capacity over links and times, in bits per second.
        downlink_bps: Distribution of the downlink capacity over links and times, in bits per
            second.
        round_trip_s: Distribution over links of the round trip to a nearby server, in seconds.
        autocorrelation: Correlation of a link's capacities in successive seconds.
    """

    technology: str
    uplink_bps: Marginal
    downlink_bps: Marginal
    round_trip_s: Marginal
    autocorrelation: float

    @property
    def nominal_uplink_bps(self) -> float:
        """Median uplink capacity, in bits per second."""
        return self.uplink_bps.median

    @property
    def nominal_downlink_bps(self) -> float:
        """Median downlink capacity, in bits per second."""
        return self.downlink_bps.median

    @property
    def rtt_s(self) -> float:
        """Median round trip to a nearby server, in seconds."""
        return self.round_trip_s.median


@table_cache
def _rows() -> Mapping[str, Mapping[str, dict[str, Any]]]:
    """Return the rows of table ``links`` by technology and quantity."""
    chosen = load_table("link_technologies").select(
        "quantity", "dataset", "metric", "measured_technology", named="technology"
    )
    found = chosen.join(
        load_table("links"),
        left_on=("dataset", "measured_technology", "metric"),
        right_on=("dataset", "technology", "metric"),
        how="left",
        maintain_order="left",
    )
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found.iter_rows(named=True):
        result.setdefault(row["named"], {})[row["quantity"]] = row
    return result


def technologies() -> tuple[str, ...]:
    """Return the names of the access technologies."""
    return tuple(_rows())


def _marginal(technology: str, quantity: str, unit: float) -> Marginal:
    rows = _rows()[technology]
    pick(f"quantity of {technology} in table link_technologies", quantity, rows)
    row = rows[quantity]
    values = tuple(row[name] for name in _PERCENTILES)
    named = f"{row['dataset']}, {row['measured_technology']}, {row['metric']}"
    if None in values:
        raise TableError(
            f"link_technologies: the {quantity} of {technology} is that of {named}, "
            f"a row that table links does not have"
        )
    if values[0] <= 0 or list(values) != sorted(values):
        raise TableError(
            f"links: the percentiles p5 to p95 of {named} must be above 0 and not descend"
        )
    return Marginal(tuple(value * unit for value in values))


@table_cache
def link_model(technology: str) -> LinkModel:
    """Return the model of an access technology.

    Raises:
        UnknownNameError: The technology, or one of its quantities, is not in the tables.
        TableError: A quantity refers to a missing row, or its percentiles are 0 or not ascending.
    """
    pick("link technology", technology, _rows())
    correlations = load_table("link_autocorrelation")
    known = dict(zip(correlations["technology"], correlations["lag1"], strict=True))
    pick("technology of table link_autocorrelation", technology, known)
    return LinkModel(
        technology=technology,
        uplink_bps=_marginal(technology, "uplink", _BPS_PER_MBPS),
        downlink_bps=_marginal(technology, "downlink", _BPS_PER_MBPS),
        round_trip_s=_marginal(technology, "rtt", _S_PER_MS),
        autocorrelation=known[technology],
    )


@table_cache
def between_link_share() -> float:
    """Return the share of the variance of log capacity that is due to differences between links.

    The value is the mean over two data sets, the traces of FCC broadband and those of Norway HSDPA,
    of (coefficient of variation of the per-trace means / coefficient of variation of all
    samples)^2. A squared coefficient of variation approximates the variance of the logarithm. Links
    in a user's own tables do not change the value.
    """
    with using_tables(SHIPPED):
        links = load_table("links")
    table = links.filter(pl.col("metric").str.starts_with("downlink throughput"))
    wide = table.pivot("metric", index=("dataset", "technology"), values="cv").drop_nulls()
    ratio = wide["downlink throughput, per-trace mean"] / wide["downlink throughput samples"]
    return float((ratio.to_numpy() ** 2).mean())


@table_cache
def process_correlation(marginal: Marginal, autocorrelation: float) -> float:
    """Return the correlation of normal variables that gives capacities their autocorrelation.

    The non-linear map from normal variables to capacities lowers the correlation (Cario and Nelson
    1997, NORTA). The correlation within links is the mean covariance divided by the mean variance.
    Both means are taken over the average levels of links, by Gauss-Hermite quadrature.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    share = between_link_share()
    level = math.sqrt(share) * nodes[:, np.newaxis, np.newaxis]

    def correlation(coefficient: float) -> float:
        now, shock = nodes[:, np.newaxis], nodes[np.newaxis, :]
        later = coefficient * now + math.sqrt(1 - coefficient**2) * shock
        first = marginal.at(level + math.sqrt(1 - share) * now)
        second = marginal.at(level + math.sqrt(1 - share) * later)
        mean = np.einsum("lns,n->l", first, weights)[:, np.newaxis, np.newaxis]
        both = np.einsum("lns,n,s->l", (first - mean) * (second - mean), weights, weights)
        spread = np.einsum("lns,n->l", (first - mean) ** 2, weights)
        return float(weights @ both / (weights @ spread))

    if marginal.values[0] == marginal.values[-1]:
        return 0.0  # capacity is constant
    if autocorrelation == 0 or correlation(_ALMOST) <= autocorrelation:
        return 0.0 if autocorrelation == 0 else _ALMOST
    return float(brentq(lambda value: correlation(value) - autocorrelation, 0.0, _ALMOST))


@table_cache
def wide_area_rtt_s() -> float:
    """Return the round trip in seconds between an edge site near the user and a cloud region.

    For each technology, the median round trip to servers within 100 km is subtracted from the
    median round trip to all servers of the speed tests. The result is the median of these
    differences. For a given distance, see `distance_rtt_s`.

    Raises:
        TableError: No technology has a round trip to far servers, or the result is negative.
    """
    extra_s = [
        _marginal(technology, "rtt_far", _S_PER_MS).median
        - _marginal(technology, "rtt", _S_PER_MS).median
        for technology, rows in _rows().items()
        if "rtt_far" in rows
    ]
    if not extra_s:
        raise TableError("link_technologies: no technology has a row of quantity rtt_far")
    extra = float(np.median(extra_s))
    if extra < 0:
        raise TableError(
            f"links: by its rows, far servers are {-extra:g} s nearer than those within 100 km; "
            "rtt_far of table link_technologies must be above rtt"
        )
    return extra


@table_cache
def distance_rtt_s(distance_km: float) -> float:
    """Return the round-trip time of light in fibre over a distance, in seconds, without queueing.

    The round trip is twice the distance times the route's detour factor, divided by the speed of
    light in fibre. Table ``path_propagation`` has the speed and the factor, which is assumed.

    Raises:
        ValueError: The distance is negative or not finite.
    """
    if not (math.isfinite(distance_km) and distance_km >= 0):
        raise ValueError(f"distance_km is {distance_km!r}: give a number of at least 0")
    detour, index = (
        required_row("path_propagation", quantity=name)["value"]
        for name in ("route_factor", "fibre_group_index")
    )
    route_m = 2e3 * distance_km * detour
    return float(route_m * index / speed_of_light)
