"""The shipped applications: their operators and knobs, and what each configuration is worth."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from lab.reporting.plotting.canvas import canvas, palette, save
from lab.reporting.plotting.style import plain_log
from scenarios.applications.application import Application
from scenarios.applications.pipeline import Operator
from scenarios.applications.shipped import shipped_application, shipped_applications
from studies.concepts.boxes import (
    BLUE,
    FAINT,
    GREEN,
    NORMAL,
    SMALL,
    VIOLET,
    WIDTH,
    arrow,
    box,
    say,
    sheet,
)

KINDS = {"cpu": (BLUE, "classical code"), "gpu": (GREEN, "neural network")} | {
    "llm": (VIOLET, "language model")
}
ROW, HEAD, LEFT = 9.4, 3.5, 18.6
"""Height of an application's row and of the legend, and where operators begin, in units."""


def applications(path: Path) -> Path:
    """Draw each application as a graph of operators; return the path."""
    names = shipped_applications()
    figure, axes = sheet(ROW * len(names) + HEAD)
    for at, (kind, (color, words)) in enumerate(KINDS.items()):
        left = LEFT + 2 + 17.4 * at
        box(axes, (left, ROW * len(names) + 0.8, 2, 1.6), "", color)
        say(axes, left + 2.8, ROW * len(names) + 1.6, f"{words} ({kind})", SMALL, ha="left")
    say(axes, 0.8, ROW * len(names) + 1.6, "knob: number of choices", SMALL, ha="left")
    for row, name in enumerate(names):
        _application(axes, shipped_application(name), ROW * (len(names) - 1 - row))
    return save(figure, path)


def _application(axes: Axes, application: Application, bottom: float) -> None:
    pipeline = application.pipeline
    middle = bottom + ROW / 2
    axes.plot([0.5, WIDTH - 0.5], [bottom + ROW, bottom + ROW], color="0.85", lw=0.8)
    say(
        axes,
        0.8,
        middle + 1.2,
        application.name.replace("_", " "),
        NORMAL,
        ha="left",
        weight="bold",
    )
    words = f"{len(pipeline.configurations)} configurations"
    say(axes, 0.8, middle - 1.2, words, SMALL, ha="left", color=FAINT)
    # Operators at the same distance from the request are drawn below each other.
    depth: list[int] = []
    for at in range(len(pipeline.operators)):
        depth.append(1 + max((depth[each] for each in pipeline.after[at]), default=-1))
    step = (WIDTH - LEFT) / (max(depth) + 1)
    width = step - 2.2
    for at, operator in enumerate(pipeline.operators):
        left = LEFT + step * depth[at]
        place = (left, bottom + 0.8, width, ROW - 1.6)
        _operator(axes, operator, place)
        for each in pipeline.after[at]:
            arrow(axes, (LEFT + step * depth[each] + width, middle), (left, middle))


def _operator(axes: Axes, operator: Operator, place: tuple[float, float, float, float]) -> None:
    left, bottom, width, height = place
    box(axes, place, "", KINDS[operator.kind][0])
    knobs = [f"{knob.name}: {len(knob.choices)}" for knob in operator.knobs]
    x = left + width / 2
    say(axes, x, bottom + height - 1.5, operator.name, SMALL, weight="bold")
    words = "\n".join(knobs) or "no knob"
    color = {} if knobs else {"color": FAINT}
    say(axes, x, bottom + (height - 2.4) / 2, words, SMALL, **color)


def application_figures(path: Path) -> Path:
    """Draw the accuracy of each configuration against its compute time; return the path."""
    names = shipped_applications()
    figure, panels = canvas(2, len(names) // 2, 2.7)
    for axes, name in zip([each for row in panels for each in row], names, strict=True):
        _worth(axes, shipped_application(name))
    figure.supxlabel("compute time of a request on the reference hardware (s)", size="medium")
    figure.supylabel("mean accuracy", size="medium")
    return save(figure, path)


def _worth(axes: Axes, application: Application) -> None:
    """Draw a dot for each configuration on each data set, and the best accuracy up to each time."""
    colors = palette(list(application.datasets))
    for (name, dataset), marker in zip(application.datasets.items(), "os^", strict=False):
        time_s = dataset.service_time_s.sum(axis=1)
        accuracy = dataset.expected_accuracy(dataset.stratum_weights)
        look = {"color": colors[name]}
        axes.scatter(time_s, accuracy, s=10, marker=marker, alpha=0.45, lw=0, **look)
        order = np.lexsort((-accuracy, time_s))
        best = np.maximum.accumulate(accuracy[order])
        axes.plot(time_s[order], best, drawstyle="steps-post", lw=1.3, **look)
        axes.plot([], [], marker, ms=4, label=name, **look)
    axes.set(xscale="log", title=application.name.replace("_", " "))
    plain_log(axes.xaxis)
    axes.margins(y=0.25)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.03), min(high, 1.05))
    axes.legend(fontsize=8, handletextpad=0.1, borderpad=0.2, framealpha=0.8)
    axes.title.set_fontsize(9.5)
    axes.tick_params(labelsize=8)
