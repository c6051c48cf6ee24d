"""The test that would sink the claim: unlike devices, hundreds of queries, every baseline.

Phones of all speeds on links of all kinds, 400 living queries at the end, as many machines as the
least demand takes, and all planners that we have but those for teaching and those that see the
truth. The claim falls where a baseline comes within a tenth of Compass's goodput, or Compass takes
more than five seconds to respond at the median.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from evaluation.figures import canvas, legend_below, save
from evaluation.grid import Job
from evaluation.headline import GOODPUT
from evaluation.markdown import estimated, table
from evaluation.measures import totals
from evaluation.paired import by_scene, mean_interval
from evaluation.paper.experiments import experiment
from evaluation.paper.figure import Finding, Verdict, above
from evaluation.ratio_figure import dots
from lab.wording import number

SCENES = {"settle": "tracking", "settle_speech": "speech"}
COMMANDS = tuple(f"compass-sim -m experiment={name}" for name in SCENES)
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
            row["n"],
            row["sign"],
        )
        for row in by_scene(rows, [GOODPUT], REFERENCE, ["scene"]).iter_rows(named=True)
    ]
    for (scene,), part in rows.filter(planner=REFERENCE).group_by("scene", maintain_order=True):
        middle, low, high = mean_interval(part["response_s"].to_numpy())
        within = high is not None and high < WITHIN_S
        beyond = low is not None and low > WITHIN_S
        found.append(
            Finding(
                f"{scene}: plans within seconds",
                f"{estimated(middle, low, high)} s at the median ({part.height} seeds)",
                Verdict.AGREES if within else Verdict.DIFFERS if beyond else Verdict.UNKNOWN,
                f"response time, queries that are never served included; within {WITHIN_S:g} s",
            )
        )
    return found


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the means."""
    columns = ["goodput", "active", "response_s", "served", "usd_per_query_hour"]
    by = rows.group_by("scene", "planner", maintain_order=True).agg(pl.col(columns).mean())
    heads = ["goodput", "of living", "response, s", "ever served", "$ a query-hour"]
    yield from table(
        ["application", "planner", *heads],
        ([*row[:2], *map(number, row[2:])] for row in by.iter_rows()),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios."""
    figure, panels = canvas(1, 1, 5.0)
    axes = panels[0][0]
    dots(axes, by_scene(rows, [GOODPUT], REFERENCE, ["scene"]), None)
    axes.axvline(LEAD, color="firebrick", lw=1)
    axes.set(title="goodput of Compass over that of the other; red: the claim")
    legend_below(figure, axes)
    return [save(figure, directory / "settle.png")]
