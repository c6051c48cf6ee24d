"""The test that decides if Compass leads: diverse devices, hundreds of queries, every baseline.

Phones have all speeds and all types of links. There are 400 queries at the end. There are as many
machines as the least demand needs, rounded. The study compares one planner of each kind, except
kinds that see the true values. All plan for five seconds per query, as Compass does. Vulcan and
VideoStorm also run with fifteen. JellyBean and INFaaS are designed for profiles of all
configurations. Such profiles take minutes, so here these planners know only a few configurations.
The claim fails if a baseline comes within a tenth of Compass's goodput, or if Compass's median
response time exceeds five seconds.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, mean_interval
from studies.common.claims import Finding, above, below, measured
from studies.common.measures import totals
from studies.common.metrics import GOODPUT
from studies.common.pictures import draw_ratios
from studies.common.sweep_files import runs
from studies.common.tables import means, sign

TITLE = "Diverse devices, hundreds of queries, every baseline"
SCENES = {"settle": "tracking", "settle_speech": "speech"}
REFERENCE = "compass"
LEAD = 1.1
WITHIN_S = 5.0

jobs = partial(runs, SCENES, measure=totals)


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether Compass leads in goodput by a tenth, and whether planning takes seconds."""
    found = [
        above(
            f"{row['scene']}: over 1.1 times the goodput of {row['planner']}",
            threshold=LEAD,
            why="the whole interval must lie above 1.1",
            **measured(row),
        )
        for row in by_scene(rows, [GOODPUT], REFERENCE, ["scene"]).iter_rows(named=True)
    ]
    for (scene,), part in rows.filter(planner=REFERENCE).group_by("scene", maintain_order=True):
        found.append(
            below(
                f"{scene}: plans within seconds",
                mean_interval(part["response_s"].to_numpy()),
                WITHIN_S,
                "median response time in seconds, including queries that are never served; within "
                f"{WITHIN_S:g} s",
                part.height,
                sign(part, "response_s"),
                str(scene),
            )
        )
    return found


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the means."""
    columns = ["goodput", "active", "response_s", "served", "usd_per_query_hour"]
    yield from means(rows, ["scene", "planner"], columns)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios."""
    found = by_scene(rows, [GOODPUT], REFERENCE, ["scene"])
    titles = {GOODPUT: "goodput of Compass over that of the other planner; red: the claim"}
    return [draw_ratios(found, titles, directory / "settle.png", 5.0, goal=LEAD)]
