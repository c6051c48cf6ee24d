"""The animation of a run as one HTML file, which needs no server and no other file."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from lab.analysis.run_data import events
from lab.common.errors import InputError
from lab.reporting.animation.scene import MOST_QUERIES, TABLES, Scene, scene
from lab.reporting.damaged import reading
from lab.reporting.render import render
from lab.runs.api import Result
from lab.runs.run_directory import SUMMARY, read_run_summary, scan
from lab.version import __version__

HEIGHT_PX = 760
"""Height of an animation inside another page, with room for what is told of a query."""
MOST_BYTES = 5_000_000
"""Largest size of all animations in a report."""


def code(name: str) -> str:
    """Return the text of ``animation.js`` or ``animation.css``."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def page(what: Scene, note: str = "") -> str:
    """Return the page of a scene, with a sentence below it."""
    # A script element ends at the first "</", wherever that is.
    data = json.dumps(what, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return render(
        "animation.html.jinja",
        title=what["title"],
        note=note,
        version=__version__,
        scene=Markup(data),
        script=Markup(code("animation.js")),
        style=Markup(code("animation.css")),
    )


class Frame:
    """The page of a scene inside another page, such as a report, a notebook or its slides.

    The inner page can run its own script, and reach nothing else. It is loaded when it gets near
    the visible part of the page.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __html__(self) -> str:
        return (
            '<iframe loading="lazy" sandbox="allow-scripts" title="animation" style="width: 100%; '
            f'height: {HEIGHT_PX}px; border: 0" srcdoc="{escape(self.text)}"></iframe>'
        )

    _repr_html_ = __html__


def animated(result: Result) -> Frame:
    """Return the animation of a run from Python, which a notebook shows as a cell's result."""
    happens = [(one.kind, one.at_s) for one in result.scenario.drift.in_order()]
    tables = {name: getattr(result, name) for name in TABLES}
    title = f"{result.summary['planner']}, seed {result.seed}"
    made = scene(tables, title, float(result.summary["simulated_s"]), happens)
    return Frame(page(made, _note(made, result.summary)))


def small(runs: Iterable[Path]) -> Iterator[tuple[str, Frame]]:
    """Yield planner and animation of those runs that have at most `MOST_BYTES` together."""
    left = MOST_BYTES
    for run in runs:
        summary = read_run_summary(run)
        if summary["queries"] > MOST_QUERIES:
            continue
        frame = Frame(page(*of_run(run)))
        size = len(frame.__html__().encode())
        if size <= left:
            left -= size
            yield str(summary["planner"]), frame


def of_run(run: Path) -> tuple[Scene, str]:
    """Return the scene of a run's directory, and a sentence about it.

    Raises InputError if the run has no results, or damaged ones.
    """
    if not (run / SUMMARY).is_file():
        raise InputError(f"RUN={run}: has no {SUMMARY}, so it is no directory of a run")
    summary: Mapping[str, Any] = read_run_summary(run)
    title = f"{run.resolve().name}: {summary['planner']}, seed {summary['seed']}"
    with reading("RUN", run):
        tables = {name: scan(run, name).collect() for name in TABLES}
        made = scene(tables, title, float(summary["simulated_s"]), events(run))
    return made, _note(made, summary)


def _note(made: Scene, summary: Mapping[str, Any]) -> str:
    """Return a sentence on a run."""
    goodput, active = summary["service_goodput_mean"], summary["active_queries_mean"]
    note = f"Service goodput {goodput:.2f} of {active:.2f} active queries." if active else ""
    if summary["status"] != "finished":
        note += f" The run is {summary['status']}, so queries that are still open are missing."
    if made["left_out"]:
        note += f" Only the first {MOST_QUERIES:,} queries are drawn."
    return note.strip()
