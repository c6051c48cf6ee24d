"""When a planner is called, what it may ask and order, and when its orders take effect."""

from pathlib import Path

from matplotlib.axes import Axes

from lab.reporting.plotting.canvas import save
from sim.api.charges import CHARGES_S
from studies.concepts.boxes import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    SMALL,
    STRONG_ORANGE,
    WIDTH,
    area,
    arrow,
    box,
    say,
    sheet,
)

WORLD, PLANNER, CONTEXT = 26.5, 42.0, 58.0
"""Horizontal middles of the three lifelines, in units."""

STATES = (
    ("waiting", RED, 54.0, 50.5),
    ("searching", ORANGE, 50.5, 15.5),
    ("loading", GREY, 15.5, 8.0),
    ("running", GREEN, 8.0, 1.0),
)
"""The query's states, from top to bottom, with their colours and heights in units."""

QUESTIONS = (
    ("candidates, telemetry", None),
    ("profile", "profile"),
    ("predict", "predict"),
    ("fits, ready_s", "fits"),
)
"""What a planner may ask, and the operation whose charge it costs."""

PLAIN = {"facecolor": "0.97", "edgecolor": "none", "pad": 1}
ORDERS = ("remember", "deploy, release", "keep_standby")


def planning(path: Path) -> Path:
    """Draw one call of a planner as a sequence; return the path."""
    figure, axes = sheet(60)
    for x, name, words in (
        (WORLD, "world", "simulated time"),
        (PLANNER, "your planner", "plan(context)"),
        (CONTEXT, "context", "all it may see"),
    ):
        box(axes, (x - 6.5, 55.4, 13, 4.2), "", BLUE)
        say(axes, x, 58.3, name, weight="bold")
        say(axes, x, 56.5, words, SMALL)
        bottom = 1.0 if x == WORLD else 20.0
        axes.plot([x, x], [bottom, 55.4], color=FAINT, lw=1, zorder=1.5)
    _states(axes)
    _call(axes)
    _after(axes)
    return save(figure, path)


def _states(axes: Axes) -> None:
    """Draw the states of the query at the left, with what separates them."""
    say(axes, 13.5, 57.5, "the query is", SMALL, weight="bold")
    for name, color, top, bottom in STATES:
        box(axes, (9.8, bottom, 7.4, top - bottom), name, color, size=SMALL)
    events = ("it arrives", "it is planned", "search ends", "plan is active")
    for (_, _, top, _), words in zip(STATES, events, strict=True):
        axes.plot([9, 9.8], [top, top], color=INK, lw=1)
        say(axes, 8.7, top, words, SMALL, ha="right")


def _call(axes: Axes) -> None:
    """Draw the call, in which simulated time stands still."""
    area(axes, (18.5, 20, WIDTH - 19, 30.5), "")
    say(
        axes,
        19.2,
        49.1,
        "a call: simulated time stands still",
        SMALL,
        ha="left",
        weight="bold",
        bbox=PLAIN,
    )
    say(axes, 59, 48.4, "charged to the\nquery's search", SMALL, ha="left", weight="bold")
    arrow(axes, (WORLD, 45.5), (PLANNER, 45.5))
    say(
        axes,
        34.3,
        41.7,
        "trigger: arrival,\ndeparture, refusal,\nfailure, recovery,\nor tick",
        SMALL,
    )
    for row, (words, operation) in enumerate(QUESTIONS):
        y = 43.6 - 3.8 * row
        arrow(axes, (PLANNER, y), (CONTEXT, y))
        arrow(axes, (CONTEXT, y - 0.9), (PLANNER, y - 0.9), ls="--", color=FAINT)
        cost = "nothing" if operation is None else f"{1e6 * CHARGES_S[operation]:,.0f} µs"
        more = "\n+ time on boards" if operation == "profile" else ""
        say(axes, 50, y + 1.0, words, SMALL)
        say(axes, 59, y - 0.4, cost + more, SMALL, ha="left")
    for row, words in enumerate(ORDERS):
        y = 43.6 - 3.8 * len(QUESTIONS) - 3.0 * row
        arrow(axes, (PLANNER, y), (CONTEXT, y), color=STRONG_ORANGE, lw=1.8)
        say(axes, 50, y + 1.0, words, SMALL)
    arrow(axes, (PLANNER, 22), (WORLD, 22))
    say(axes, 34.3, 23.1, "the call ends", SMALL)


def _after(axes: Axes) -> None:
    """Draw what happens when simulated time goes on."""
    steps = (
        (17.9, "simulated time goes on until the search's charges are over"),
        (15.5, "the last order is carried out if the plan still fits"),
        (8.0, "the models are loaded: new requests use the plan"),
        (3.0, "each window is judged, and telemetry shows it to later calls"),
    )
    for y, words in steps:
        axes.plot(WORLD, y, "o", ms=5, color=INK, zorder=5)
        say(axes, WORLD + 1.5, y, words, SMALL, ha="left")
    arrow(axes, (57, 15.5), (65, 20), bend=-0.3, color=STRONG_ORANGE, lw=1.8)
    say(axes, 65.6, 14.6, "else it is refused,\nand a call follows", SMALL)
