"""The animation of a run as one HTML file, which needs no server and no other file."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lab.analysis.run_data import events
from lab.common.errors import InputError
from lab.reporting.animation.scene import MOST_QUERIES, TABLES, Scene, scene
from lab.reporting.render import render
from lab.runs.run_directory import SUMMARY, read_run_summary, scan
from lab.version import __version__


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


def of_run(run: Path) -> tuple[Scene, str]:
    """Return the scene of a run's directory, and a sentence about it.

    Raises InputError if the run has no results, or damaged ones.
    """
    if not (run / SUMMARY).is_file():
        raise InputError(f"RUN={run}: has no {SUMMARY}, so it is no directory of a run")
    summary: Mapping[str, Any] = read_run_summary(run)
    tables = {name: scan(run, name).collect() for name in TABLES}
    title = f"{run.resolve().name}: {summary['planner']}, seed {summary['seed']}"
    made = scene(tables, title, float(summary["simulated_s"]), events(run))
    goodput, active = summary["service_goodput_mean"], summary["active_queries_mean"]
    note = f"Service goodput {goodput:.2f} of {active:.2f} active queries." if active else ""
    if summary["status"] != "finished":
        note += f" The run is {summary['status']}, so queries that are still open are missing."
    if made["left_out"]:
        note += f" Only the first {MOST_QUERIES:,} queries are drawn."
    return made, note.strip()
