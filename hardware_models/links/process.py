"""Capacity of access links over time, fitted to recorded traces: two time scales and outages.

In second t, a link has the standard normal variable

    g(t) = sqrt(b) L + sqrt(1 - b) (sqrt(w) F(t) + sqrt(1 - w) S(t)),

where L is the link's level, constant in time, and F and S are Gaussian autoregressions of first
order with a short and a long time constant. Outages are a Markov chain of two states, with share q
of the time and a mean length. Outside outages, capacity is the quantile q + (1 - q) Phi(g) of the
distribution over links and times; within them, it is the quantile q Phi(g). So capacity has this
distribution, and outages take its lowest part.

Table ``fit_links`` has the parameters; `hardware_models.fits.links` says how they were fitted.
Table ``link_processes`` says which fit, and which distribution, each direction of a technology has.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from hardware_models.errors import TableError, pick
from hardware_models.links.technologies import (
    Floats,
    LinkModel,
    Marginal,
    between_link_share,
    link_model,
    technologies,
)
from hardware_models.surfaces import coefficients
from hardware_models.tables import load_table, table_cache

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
"""The percentiles of a trace."""

LEVELS = tuple(percent / 100 for percent in PERCENTILES)

LEAST_MBPS = 0.001
"""Lower capacities are raised to this one, which is the resolution of the traces' statistics."""

NORMALS = 3
"""Number of normal variables that each second needs."""

ALLOWED = {
    "between_share": (0.0, 1.0),
    "fast_share": (0.0, 1.0),
    "fast_s": (0.01, 1e6),
    "slow_s": (0.01, 1e6),
    "outage_share": (0.0, 0.5),
    "outage_s": (2.0, 1e6),
    "correlation": (0.0, 0.999),
}
"""The coefficients in table ``fit_links``, apart from the percentiles, and their allowed ranges.
With outages of at least 2 s for at most half of the time, no variable both begins and ends one.
"""

FITTED = tuple(name for name in ALLOWED if name != "correlation")

UPDOWN = ("updown", "correlation")
"""The key of the correlation of both directions in table ``fit_links``."""

PUBLISHED = "published"
"""In ``link_processes``: percentiles of table ``links``, which are of other traces there. The share
of the variance between links is then `between_link_share`, which was measured on them.
"""

_NEGLIGIBLE = 1e-17  # weight of a shock that no longer changes a sum in float64


@dataclass(frozen=True, slots=True)
class LinkProcess:
    """The capacity of one direction of a technology's links, over links and times.

    Attributes:
        marginal: Distribution of capacity over links and times, in bits per second.
        between_share: Share of the variance of g that is due to differences between links (b).
        fast_share: Share of the variance within links that is fast (w).
        fast_s: Time constant of the fast part, in seconds.
        slow_s: Time constant of the slow part, in seconds.
        outage_share: Share of time in outages (q), at most 0.5.
        outage_s: Mean length of an outage in seconds, at least 2.
    """

    marginal: Marginal
    between_share: float
    fast_share: float
    fast_s: float
    slow_s: float
    outage_share: float
    outage_s: float

    def capacity_bps(self, normals: Floats) -> Floats:
        """Return the capacity of links in each of n seconds, in bits per second.

        Args:
            normals: Independent standard normals, shape (..., n + 1, 3). The first in the first row
                gives the link's level. Each other row is a second: its fast shock, its slow shock,
                and a variable that decides whether an outage begins or ends.

        Returns:
            Capacities, shape (..., n). Those of fewer seconds are the beginning of these.
        """
        fast, slow, change = np.moveaxis(normals[..., 1:, :], -1, 0)
        b, w = self.between_share, self.fast_share
        g = math.sqrt(b) * normals[..., :1, 0] + math.sqrt(1 - b) * (
            math.sqrt(w) * autoregression(fast, math.exp(-1 / self.fast_s))
            + math.sqrt(1 - w) * autoregression(slow, math.exp(-1 / self.slow_s))
        )
        q = self.outage_share
        level = np.where(self._outages(ndtr(change)), q * ndtr(g), q + (1 - q) * ndtr(g))
        return self.marginal.at(ndtri(level.clip(1e-300, 1 - 1e-16)))

    def _outages(self, uniform: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return whether there is an outage in each second, shape (..., n), from uniform variables.

        A low variable starts an outage, a high one ends it, and any other leaves it as it is. So
        the state is that of the last second with a low or high variable. The first second has an
        outage with probability ``outage_share``.
        """
        end = 1 / self.outage_s
        begin = end * self.outage_share / (1 - self.outage_share)
        low, high = uniform < begin, uniform >= 1 - end
        low[..., 0] = uniform[..., 0] < self.outage_share
        high[..., 0] = ~low[..., 0]
        at = np.where(low | high, np.arange(uniform.shape[-1]), 0)
        return np.take_along_axis(low, np.maximum.accumulate(at, axis=-1), axis=-1)


def autoregression(shocks: Floats, coefficient: float) -> Floats:
    """Return stationary autoregressions of first order with variance 1, shape (..., n).

    Each value is ``coefficient`` times the last one plus a scaled shock. The sum over the past is
    formed by doubling: it covers 1, 2, 4, ... seconds in turn, as in a parallel prefix sum (Hillis
    and Steele 1986).

    Args:
        shocks: Independent standard normals, shape (..., n).
        coefficient: At least 0 and below 1.
    """
    values = shocks * math.sqrt(1 - coefficient**2)
    values[..., 0] = shocks[..., 0]  # Start in the stationary distribution, not at its mean.
    span, weight = 1, coefficient
    while span < values.shape[-1] and weight > _NEGLIGIBLE:
        values[..., span:] = values[..., span:] + weight * values[..., :-span]
        span, weight = 2 * span, weight**2
    return values


def correlate(first: Floats, second: Floats, correlation: float) -> Floats:
    """Return standard normals that have a correlation with the first ones, from independent ones.

    All have the same shape; the correlation is at least 0 and below 1.
    """
    return correlation * first + math.sqrt(1 - correlation**2) * second


@dataclass(frozen=True, slots=True)
class TracedLink:
    """A technology of access links whose capacity follows recorded traces.

    Attributes:
        technology: Its name, such as ``"4G-LTE"``.
        uplink: Capacity of the uplink.
        downlink: Capacity of the downlink.
        round_trip_s: Distribution over links of the round trip to a nearby server, in seconds.
        updown: Correlation of the normal variables of both directions.
    """

    technology: str
    uplink: LinkProcess
    downlink: LinkProcess
    round_trip_s: Marginal
    updown: float

    @property
    def nominal_uplink_bps(self) -> float:
        """Median uplink capacity, in bits per second."""
        return self.uplink.marginal.median

    @property
    def nominal_downlink_bps(self) -> float:
        """Median downlink capacity, in bits per second."""
        return self.downlink.marginal.median

    @property
    def rtt_s(self) -> float:
        """Median round trip to a nearby server, in seconds."""
        return self.round_trip_s.median


def _published(model: LinkModel, direction: str) -> Marginal:
    return model.uplink_bps if direction == "uplink" else model.downlink_bps


def _value(group: str, name: str) -> float:
    """Return a value of table ``fit_links``."""
    values = coefficients("links")
    if (group, name) not in values:
        pick("group of table fit_links", group, dict.fromkeys(group for group, _ in values))
        raise TableError(f"fit_links: group {group!r} lacks coefficient {name}")
    value = values[group, name]
    low, high = ALLOWED.get(name, (-math.inf, math.inf))
    if not low <= value <= high:
        raise TableError(
            f"fit_links: {name} of {group} is {value:g} and must lie between {low:g} and {high:g}"
        )
    return value


def _fitted_marginal(group: str) -> Marginal:
    values = [_value(group, f"p{at}") for at in PERCENTILES]
    if values[0] <= 0 or values != sorted(values):
        raise TableError(
            f"fit_links: the percentiles p1 to p99 of {group} must be above 0 and not descend"
        )
    return Marginal(tuple(1e6 * value for value in values), LEVELS)


def _marginal(technology: str, row: dict[str, Any]) -> Marginal:
    """Return the distribution of capacity that a row of ``link_processes`` asks for.

    ``traces`` are the percentiles of the fit, ``published`` those of table ``links``. ``scaled``
    are those of table ``links``, times the ratio of the fitted to the published percentiles of the
    downlink of the technology in column ``like``.
    """
    published = _published(link_model(technology), row["direction"])
    if row["percentiles"] == PUBLISHED:
        return published
    if row["percentiles"] == "traces":
        return _fitted_marginal(row["fit"])
    if row["like"] is None:
        raise TableError(
            f"link_processes: the {row['direction']} of {technology} is scaled; name a technology "
            "in column like"
        )
    like = _published(link_model(row["like"]), "downlink")
    traced = _fitted_marginal(f"{row['like']} downlink")
    z = ndtri(np.array(LEVELS))
    scaled = np.maximum.accumulate(published.at(z) * traced.at(z) / like.at(z))
    return Marginal(tuple(scaled.tolist()), LEVELS)


@table_cache
def traced_link(technology: str) -> TracedLink:
    """Return the model of an access technology that follows recorded traces.

    Raises:
        UnknownNameError: The technology is not in the tables.
        TableError: The tables lack a row that another one names.
    """
    pick("link technology", technology, technologies())
    rows = {
        row["direction"]: row
        for row in load_table("link_processes").filter(technology=technology).iter_rows(named=True)
    }
    processes = {}
    for direction in ("uplink", "downlink"):
        if direction not in rows:
            raise TableError(f"link_processes: lacks the {direction} of {technology}")
        row = rows[direction]
        fitted = {name: _value(row["fit"], name) for name in FITTED}
        if row["percentiles"] == PUBLISHED:
            fitted["between_share"] = between_link_share()
        processes[direction] = LinkProcess(_marginal(technology, row), **fitted)
    return TracedLink(
        technology=technology,
        uplink=processes["uplink"],
        downlink=processes["downlink"],
        round_trip_s=link_model(technology).round_trip_s,
        updown=_value(*UPDOWN),
    )
