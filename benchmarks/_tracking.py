"""Tracking frame by frame at the size of the large scenario, as a data plane sees it.

A frame is resized on its phone, sent over the phone's own link and the shared backhaul, detected on
a GPU shared by 20 queries, tracked on four cores shared by the same queries, and answered over the
phone's own link: three station visits and three links. Every GPU is busy for 84 % of the time.
Frames and windows are those of the application.
"""

from collections.abc import Callable

import numpy as np

from hardware_models.devices import devices
from scenarios.applications.application import Application
from scenarios.applications.shipped import shipped_application
from scenarios.queries import Query
from scenarios.requests import request_blocks
from scenarios.slo import SLO
from sim.clock import NS_PER_S
from sim.dataplane.base.interface import DataPlane, LinkSpec, Recorder, Route, StationSpec, Visit
from sim.dataplane.base.rate_profile import RateProfile
from sim.metrics.goodput import SloMonitor

QUERIES, SHARING = 1600, 20
STATION_VISITS = 3
SLOWEST_BYTES_PER_S, FASTEST_BYTES_PER_S = 4_000_000, 12_000_000
STEPS = 600
ANSWER_BYTES, FRAME_BYTES = 500.0, 27_000.0
RESIZE_NS, DETECT_NS, TRACK_NS = 8e6, 1.4e6, 5e6


def application() -> Application:
    """Return the application."""
    return shipped_application("visual_tracking_frames")


def monitor(app: Application, queries: int, slower: float = 1.0) -> SloMonitor:
    """Return a goodput monitor with these queries; see `tracking`."""
    made = SloMonitor(app.window_s, len(app.operators), lambda _: None, lambda _: None)
    for number in range(queries):
        made.arrive(query(app, number, slower), 0)
        made.deploy(number, number, 0, [(0, 0.9)])
    return made


def query(app: Application, number: int, slower: float = 1.0) -> Query:
    """Return a query; see `tracking`."""
    slo = SLO(latency_s=slower, accuracy=0.5)
    dataset = next(iter(app.datasets))
    rate = app.requests_per_s / slower
    return Query(number, app.name, dataset, "standard", slo, devices("phone")[0], "5G", 0.0, rate)


def tracking(
    kind: Callable[[Recorder], DataPlane],
    recorder: Recorder,
    app: Application,
    queries: int,
    slower: float = 1.0,
    steps: int = STEPS,
) -> DataPlane:
    """Return a data plane that serves these queries.

    Args:
        kind: class of the data plane.
        recorder: recorder of its requests.
        app: the application.
        queries: number of queries; a multiple of `SHARING`, or less.
        slower: factor by which a query has fewer frames and each frame takes longer everywhere, so
            that everything is as busy as with 1.
        steps: number of changes of the capacity of each phone's link.
    """
    plane = kind(recorder)
    backhaul_bps = FRAME_BYTES * app.requests_per_s * queries * 1.5 / slower
    backhaul = RateProfile((0,), (round(backhaul_bps),))
    for direction in (0, 1):
        plane.add_link(LinkSpec(direction, backhaul, 5_000_000))
    rng = np.random.default_rng(0)
    for number in range(queries):
        for direction in (0, 1):
            # A mobile link, whose capacity changes every second.
            rates = rng.integers(SLOWEST_BYTES_PER_S, FASTEST_BYTES_PER_S, steps) / slower
            profile = RateProfile(NS_PER_S * np.arange(steps), rates.astype(np.int64))
            plane.add_link(LinkSpec(2 + 2 * number + direction, profile, 10_000_000))
        plane.add_station(StationSpec(3 * number))
        group = number - number % SHARING
        if group == number:
            plane.add_station(StationSpec(3 * group + 1))
            plane.add_station(StationSpec(3 * group + 2, servers=4))
        plane.open_source(0, number, request_blocks(app, query(app, number, slower), 0))
        up, down = 2 + 2 * number, 3 + 2 * number
        visits = (
            Visit(0, 3 * number, None, RESIZE_NS * slower),
            Visit(1, None, up, FRAME_BYTES),
            Visit(1, None, 0, FRAME_BYTES),
            Visit(1, 3 * group + 1, None, DETECT_NS * slower),
            Visit(2, 3 * group + 2, None, TRACK_NS * slower),
            Visit(3, None, down, ANSWER_BYTES),
        )
        plane.route(0, number, Route(number, visits))
    return plane
