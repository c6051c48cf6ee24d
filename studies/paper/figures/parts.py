"""Figure 14a: what each part of Compass is for.

The paper states factors over a reference that it does not name: 3.0 for the whole and 1.8, 1.8 and
1.7 without profiler, search and scheduler on tracking; 5.6 and 4.7, 4.5 and 4.2 on code generation.
The whole over each ablation needs no reference, and is what we compare: by how much goodput falls
when a part is replaced.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene
from lab.reporting.plotting.canvas import canvas, legend_below, save
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, ahead
from studies.common.means import means
from studies.common.measures import totals
from studies.common.ratio_figure import dots
from studies.common.sweep_files import experiment
from studies.experiments.headline import GOODPUT

SCENES = {"fig14a": "tracking", "fig14a_code": "code generation"}
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in SCENES)
REFERENCE = "compass"
PAPER = {
    "tracking": {
        "compass_no_profiler": 3.0 / 1.8,
        "compass_no_search": 3.0 / 1.8,
        "compass_no_scheduler": 3.0 / 1.7,
    },
    "code generation": {
        "compass_no_profiler": 5.6 / 4.7,
        "compass_no_search": 5.6 / 4.5,
        "compass_no_scheduler": 5.6 / 4.2,
    },
}
"""The whole over each ablation, by the factors that figure 14a shows."""

WHY = {
    "compass_no_profiler": "early stopping saves profiling and response time; where machines are "
    "short, goodput hardly depends on it",
    "compass_no_search": "configurations come in random order",
    "compass_no_scheduler": "most queries come alone, so that there is one bid to match; running "
    "queries stay where they are",
}


def jobs(quick: bool) -> list[Job]:
    """Return the runs."""
    return [
        job
        for name, scene in SCENES.items()
        for job in experiment(name, quick).jobs(totals, scene=scene)
    ]


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether goodput of the whole is above that without each part."""
    return [
        ahead(
            f"{row['scene']}: the whole serves more than {row['planner']}",
            row,
            f"the paper has {PAPER[row['scene']][row['planner']]:.2f} times, of which this says "
            f"nothing; {WHY[row['planner']]}",
        )
        for row in by_scene(rows, [GOODPUT], REFERENCE, ["scene"]).iter_rows(named=True)
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the means."""
    named = rows.with_columns(application="scene")
    columns = ["goodput", "active", "response_s", "planning_device_hours"]
    yield from means(named, ["application", "planner"], columns)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios."""
    figure, panels = canvas(1, 1, 3.4)
    axes = panels[0][0]
    dots(axes, by_scene(rows, [GOODPUT], REFERENCE, ["scene"]), None)
    axes.set(title="goodput of the whole over that without a part")
    legend_below(figure, axes)
    return [save(figure, directory / "fig14a_parts.png")]
