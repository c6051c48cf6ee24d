"""Networks: the access link of each device, and the shared backhaul from the edge to the cloud."""

from dataclasses import dataclass, field
from typing import Annotated

from hardware_models.errors import TableError, pick
from hardware_models.links.process import TracedLink, traced_link
from hardware_models.links.technologies import (
    LinkModel,
    distance_rtt_s,
    link_model,
    technologies,
    wide_area_rtt_s,
)
from scenarios.applications.nodes import pick_key
from scenarios.cluster import FIFO
from scenarios.link_traces import MOST_BPS, LinkTrace, Recording, check_rtt, recording
from scenarios.ranges import Range, check_ranges, check_weights

DISTANCE = Range(ge=0, le=20_100, unit="km", nullable=True)
"""Allowed distances, up to half of the Earth's circumference."""

TRACES, SPEED_TESTS = "traces", "speed_tests"
CAPACITIES = (TRACES, SPEED_TESTS)
"""The sources of the capacity of access links, which ``Network`` describes."""
PROCESSOR_SHARING = "processor_sharing"
LINK_DISCIPLINES = (FIFO, PROCESSOR_SHARING)
"""Queueing disciplines of links, which ``Network`` describes."""


@dataclass
class Network:
    """The links between devices and the edge site, and between this site and the cloud.

    Args:
        technologies: relative share of queries for each access technology or recorded link, by
            name.
        capacity: what the capacity of access links follows. ``traces``: statistics of recorded
            traces, with fast and slow changes, outages, and correlated directions.
            ``speed_tests``: percentiles that are mostly of speed tests, with changes of one time
            scale and independent directions.
        autocorrelation: autocorrelation of a link's capacity between successive seconds, under
            ``speed_tests`` only; None uses the measured value of each technology.
        updown_correlation: correlation of the normal variables from which the capacities of both
            directions of a link are computed, under ``traces`` only; None uses the value that
            gives the correlation of recorded directions.
        traces: recorded links, by names that the user chooses.
        backhaul_bps: capacity of the site's shared link in each direction, bits per second.
        backhaul_rtt_s: round trip between the edge site and the cloud region. If it is None, it is
            computed from ``backhaul_km``. If both are None, it is the measured difference between
            the round trips to far and to near servers.
        backhaul_km: distance between edge site and cloud region, from which the round trip of light
            in fibre is computed.
        discipline: how messages share each direction of a link, of the backhaul too. ``fifo`` sends
            one after the other, in the order of arrival. ``processor_sharing`` divides the capacity
            equally among all messages on the link, as flows with fair queueing or equal round trips
            do.
    """

    technologies: dict[str, float] = field(default_factory=lambda: {"4G-LTE": 1.0})
    capacity: str = TRACES
    autocorrelation: Annotated[float | None, Range(ge=0, lt=1, nullable=True)] = None
    updown_correlation: Annotated[float | None, Range(ge=0, lt=1, nullable=True)] = None
    traces: dict[str, LinkTrace] = field(default_factory=dict)
    backhaul_bps: Annotated[float, Range(ge=8, le=MOST_BPS, unit="bit/s")] = 1e9
    backhaul_rtt_s: float | None = None
    backhaul_km: Annotated[float | None, DISTANCE] = None
    discipline: str = FIFO

    def __post_init__(self) -> None:
        check_ranges(self, "network.")
        pick_key("network.capacity", self.capacity, CAPACITIES, "capacity")
        for key, needed in (("autocorrelation", SPEED_TESTS), ("updown_correlation", TRACES)):
            value = getattr(self, key)
            if value is not None and self.capacity != needed:
                raise ValueError(f"network.{key}={value}: needs network.capacity={needed}")
        pick_key("network.discipline", self.discipline, LINK_DISCIPLINES, "discipline")
        check_weights("network.technologies", self.technologies, "access technology")
        self._recordings: dict[str, Recording] = {}
        for name, trace in self.traces.items():
            if name in technologies():
                raise ValueError(
                    f"network.traces.{name}: this name is taken by an access technology"
                )
            try:
                self._recordings[name] = recording(trace)
            except ValueError as error:
                raise ValueError(f"network.traces.{name}: {error}") from None
        for name in self.technologies:
            try:
                self.link(name)
            except ValueError as error:
                raise ValueError(f"network.technologies.{name}: {error}") from None
        self._check_round_trip()

    def _check_round_trip(self) -> None:
        if self.backhaul_rtt_s is not None:
            check_rtt("network.backhaul_rtt_s", self.backhaul_rtt_s)
        if self.backhaul_km is not None and self.backhaul_rtt_s is not None:
            raise ValueError(
                f"network.backhaul_km={self.backhaul_km}: give this or backhaul_rtt_s, not both"
            )
        try:
            self.backhaul_round_trip_s  # noqa: B018 -- Tables that cannot tell it raise here.
        except TableError as error:
            raise ValueError(
                f"network.backhaul_rtt_s=null: give it, since the tables cannot tell it: {error}"
            ) from None

    @property
    def backhaul_round_trip_s(self) -> float:
        """Round trip between the edge site and the cloud region, in seconds."""
        if self.backhaul_rtt_s is not None:
            return self.backhaul_rtt_s
        return wide_area_rtt_s() if self.backhaul_km is None else distance_rtt_s(self.backhaul_km)

    def link(self, technology: str) -> LinkModel | TracedLink | Recording:
        """Return the access technology or recorded link with this name.

        Planners know its ``nominal_uplink_bps``, ``nominal_downlink_bps`` and ``rtt_s``.

        Raises:
            UnknownNameError: no technology or recorded link has this name.
        """
        if technology in self._recordings:
            return self._recordings[technology]
        pick("link technology", technology, (*technologies(), *self._recordings))
        return (traced_link if self.capacity == TRACES else link_model)(technology)
