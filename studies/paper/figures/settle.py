"""The test that would sink the claim: unlike devices, hundreds of queries, every baseline.

Phones of all speeds on links of all kinds, 400 living queries at the end, as many machines as the
least demand takes, rounded, and one planner of each kind that we have but those that see the truth.
All plan for five seconds a query, as Compass does, but for Vulcan and VideoStorm, which are there
with fifteen too: JellyBean and INFaaS, made for profiles of all configurations that take minutes,
know few by then. The claim falls where a baseline comes within a tenth of Compass's goodput, or
Compass takes more than five seconds to respond at the median.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, counted, mean_interval
from lab.reporting.plotting.canvas import canvas, legend_below, save
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, above, below
from studies.common.means import means, sign
from studies.common.measures import totals
from studies.common.ratio_figure import dots
from studies.common.sweep_files import experiment
from studies.experiments.headline import GOODPUT

SCENES = {"settle": "tracking", "settle_speech": "speech"}
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in SCENES)
REFERENCE = "compass"
LEAD = 1.1
WITHIN_S = 5.0


def jobs(quick: bool) -> list[Job]:
    """Return the runs."""
    return [
        job
        for name, scene in SCENES.items()
        for job in experiment(name, quick).jobs(totals, scene=scene)
    ]


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether the lead over each baseline is above a tenth, and planning takes seconds."""
    found = [
        above(
            f"{row['scene']}: over 1.1 times the goodput of {row['planner']}",
            (row["ratio"], row["low"], row["high"]),
            LEAD,
            "above 1.1 by the whole interval, or not",
            counted(row["n"], row["of"]),
            row["sign"],
        )
        for row in by_scene(rows, [GOODPUT], REFERENCE, ["scene"]).iter_rows(named=True)
    ]
    for (scene,), part in rows.filter(planner=REFERENCE).group_by("scene", maintain_order=True):
        found.append(
            below(
                f"{scene}: plans within seconds",
                mean_interval(part["response_s"].to_numpy()),
                WITHIN_S,
                "median response time in seconds, queries that are never served included; within "
                f"{WITHIN_S:g} s",
                part.height,
                sign(part, "response_s"),
            )
        )
    return found


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the means."""
    named = rows.with_columns(application="scene")
    columns = ["goodput", "active", "response_s", "served", "usd_per_query_hour"]
    yield from means(named, ["application", "planner"], columns)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios."""
    figure, panels = canvas(1, 1, 5.0)
    axes = panels[0][0]
    dots(axes, by_scene(rows, [GOODPUT], REFERENCE, ["scene"]), None)
    axes.axvline(LEAD, color="firebrick", lw=1)
    axes.set(title="goodput of Compass over that of the other; red: the claim")
    legend_below(figure, axes)
    return [save(figure, directory / "settle.png")]
