"""The places of the world, the links between them, and the way of one request."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from hardware_models.gpu import mig
from lab.config.compose import compose, set_up
from lab.reporting.plotting.canvas import save
from scenarios.cluster import Node, Profiling
from scenarios.network import Network
from studies.concepts.boxes import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    ORANGE,
    SMALL,
    STRONG_ORANGE,
    area,
    arrow,
    box,
    key,
    say,
    sheet,
)

SCENARIO = ["experiment=speech_small"]
LAYOUT = ("2g.10gb", "3g.20gb", "1g.5gb", "1g.5gb")
"""GPU instances of the card that is drawn; the request visits the first."""

UP, DOWN = 41.5, 36.5
"""Heights at which the request goes up and the answer comes back, in units."""

STOPS = (
    "born on the user's device, which may run operators",
    "waits for the access link, and crosses it",
    "waits for a core of a station at the edge site",
    "crosses the backhaul, which all queries share",
    "waits for a GPU instance of a station in the cloud",
    "the answer returns, and the request's latency ends",
)
WAY: dict[str, Any] = {"color": STRONG_ORANGE, "lw": 2.2}


def world(path: Path) -> Path:
    """Draw the scenario `SCENARIO`; return the path."""
    scenario = set_up(compose(SCENARIO), SCENARIO).scenario()
    first, second, third, last = (each.name for each in scenario.application.pipeline.operators)
    figure, axes = sheet(52)
    _devices(axes, scenario.network, first)
    _edge(axes, scenario.cluster.nodes["edge"], second)
    _cloud(axes, scenario.cluster.nodes["cloud"], third, last)
    _backhaul(axes, scenario.network)
    _profiling(axes, scenario.cluster.profiling)
    _way(axes)
    return save(figure, path)


def _devices(axes: Axes, network: Network, operator: str) -> None:
    area(axes, (0.5, 14, 17, 37.5), "users' devices")
    for row, (technology, share) in enumerate(network.technologies.items()):
        bottom = (34.5, 26.5, 19.5)[row]
        box(axes, (2, bottom, 14, 6 if row else 12), "a phone" if row else "", BLUE, size=SMALL)
        y = bottom + 3 if row else UP
        for each in (y,) if row else (UP, DOWN):
            axes.plot([16, 29.5], [each, each], color=FAINT, lw=2, zorder=1.5)
        say(axes, 18.4, y + 1.4, technology, SMALL, ha="left")
        say(axes, 18.4, y - 1.5, f"{share:.0%} of users", SMALL, ha="left", color=FAINT)
    say(axes, 9, 45, "a phone", SMALL)
    box(axes, (3, 39.3, 12, 4.4), operator, size=SMALL)
    key(axes, 9, 16.8, "workload.devices\nworkload.rate")
    key(axes, 23.5, 16.8, "network.\ntechnologies")


def _edge(axes: Axes, node: Node, operator: str) -> None:
    area(axes, (29.5, 14, 15, 37.5), "edge site")
    box(axes, (30.5, 25.5, 13, 22), "", GREEN)
    say(axes, 37, 46, f"{node.count} x {node.machine}", SMALL)
    box(axes, (31.3, 38.8, 11.4, 5.4), f"a core:\n{operator}", size=SMALL)
    box(axes, (31.3, 30.7, 11.4, 4), f"{node.cores - 1} more cores", GREY, size=SMALL)
    box(axes, (31.3, 26.2, 11.4, 3.6), f"{node.gpus} x {node.gpu_board}", GREY, size=SMALL)
    say(axes, 37, 23.4, f"{node.standby} on standby", SMALL, color=FAINT)
    key(axes, 37, 18, "cluster.\nnodes.edge")


def _cloud(axes: Axes, node: Node, on_gpu: str, on_core: str) -> None:
    area(axes, (54.5, 14, 17, 37.5), "cloud")
    box(axes, (55.3, 25.5, 15.4, 22), "", ORANGE)
    say(axes, 63, 46, f"{node.count} x {node.machine}", SMALL)
    slices = mig.profiles(str(node.gpu_board))
    left, per = 56.0, 14 / sum(slices[each].compute_slices for each in LAYOUT)
    for number, name in enumerate(LAYOUT):
        width = per * slices[name].compute_slices
        text = name.partition(".")[0]
        place = (left, 40.3, width, 2.8) if number else (left, 39.8, width, 3.8)
        box(axes, place, text, GREY if number else "white", size=SMALL)
        left += width
    say(axes, 70, 38.4, f"{on_gpu}\n", SMALL, ha="right", va="center", linespacing=0.6)
    box(axes, (56, 34.7, 14, 3.2), f"a core: {on_core}", size=SMALL)
    say(axes, 63, 29.8, f"each {node.gpus} {node.gpu_board},\ncut into GPU instances", SMALL)
    say(axes, 63, 23.4, "rented while in use", SMALL, color=FAINT)
    key(axes, 63, 18, "cluster.\nnodes.cloud")


def _backhaul(axes: Axes, network: Network) -> None:
    for y in (UP, DOWN):
        axes.plot([44.5, 54.5], [y, y], color=FAINT, lw=5, zorder=1.5)
    rtt_ms = 1e3 * network.backhaul_round_trip_s
    words = f"backhaul\n{network.backhaul_bps / 1e9:g} Gbit/s\n{rtt_ms:g} ms\nround trip"
    say(axes, 49.5, 30.5, words, SMALL)
    key(axes, 49.5, 18, "network.\nbackhaul_*")


def _profiling(axes: Axes, profiling: Profiling) -> None:
    area(axes, (39.5, 0.5, 32, 12), "")
    say(axes, 41, 10.8, "profiling pool", weight="bold", ha="left")
    key(axes, 70.5, 10.8, "cluster.profiling", ha="right")
    for number in range(profiling.count):
        box(axes, (41 + 6.5 * number, 5.4, 5.7, 3.6), "board", GREY, size=SMALL)
    words = f"{profiling.machine}: planners measure here;\nno request is served"
    say(axes, 41, 2.9, words, SMALL, ha="left", color=FAINT)


def _way(axes: Axes) -> None:
    """Draw the way of one request, and number its stops."""
    arrow(axes, (15, UP), (31.3, UP), **WAY)
    arrow(axes, (42.7, UP), (56, UP), **WAY)
    arrow(axes, (58, 39.8), (58, 37.9), **WAY)
    arrow(axes, (56, DOWN), (16, DOWN), ls="--", **WAY)
    places = ((14.4, 44.3), (26.5, UP), (42.7, 44.3), (47.5, UP), (56, 44.3), (47.5, DOWN))
    say(axes, 1, 11.6, "the way of one request", weight="bold", ha="left")
    for number, (at, words) in enumerate(zip(places, STOPS, strict=True), 1):
        y = 11.4 - 1.7 * number
        for x, height in (at, (1.9, y)):
            ring = {"boxstyle": "circle,pad=0.18", "fc": "white", "ec": STRONG_ORANGE, "lw": 1.2}
            say(axes, x, height, str(number), SMALL - 1, zorder=6, bbox=ring)
        say(axes, 3.4, y, words, SMALL, ha="left")
