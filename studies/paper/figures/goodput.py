"""Figures 10 and 19 to 21: service goodput over time with scarce machines.

There are as many machines as the least demand needs. As in the paper, a run is an hour, with 100
queries in small scenes and 1,600 in large ones. It starts without queries; they stay for ten
minutes on average, and the second half counts. The exact optimum cannot be computed at that size,
so the comparison with it uses 20 queries that stay until the end of a run of 15 minutes.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene
from studies.common.claims import Finding, above, measured, of_range
from studies.common.measures import curve
from studies.common.metrics import GOODPUT, OWN_ARMS, PAPER
from studies.common.pictures import draw_curves, draw_ratios
from studies.common.store import each_cell
from studies.common.sweep_files import runs
from studies.common.tables import means, ratio_table

TITLE = "Goodput against Vulcan and VideoStorm"
NEXT_TO_OPTIMUM = "20 queries"
SCENES = {
    "fig19": "speech, small",
    "fig20": "tracking, small",
    "fig19_large": "speech, large",
    "fig21": "tracking, large",
    "fig10_optimum": NEXT_TO_OPTIMUM,
}
OPTIMUM = "ilp"
NEAR = 0.9

jobs = partial(runs, SCENES, measure=curve)


def in_scenes(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the ratios of goodput in the scenes with scarce machines."""
    rows = rows.filter(pl.col("scene") != NEXT_TO_OPTIMUM)
    return by_scene(rows, [GOODPUT], str(rows["planner"].first()), ["scene"])


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return verdicts on ratios of goodput to the baselines and to the optimum."""
    found = [
        of_range(
            f"{row['scene']}: 2.4 to 5.1 times the goodput of {row['planner']}",
            paper=PAPER["goodput"],
            why="the ratio grows with fewer machines and with fewer items per configuration",
            **measured(row),
        )
        for row in in_scenes(rows).iter_rows(named=True)
        if row["planner"] not in OWN_ARMS
    ]
    few = rows.filter(scene=NEXT_TO_OPTIMUM)
    if few.is_empty():
        return found
    reference = str(few["planner"][0])
    both = few.filter(pl.col("planner").is_in([reference, OPTIMUM]))
    return found + [
        above(
            f"{row['application']}: near the optimum",
            threshold=NEAR,
            why=f"taken to mean {NEAR:g} of it; the optimum is that of the planning model, not of "
            "the simulated world",
            **{**measured(row), "scene": NEXT_TO_OPTIMUM},
        )
        for row in by_scene(both, [GOODPUT], reference, ["application"]).iter_rows(named=True)
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the ratios, and means over seeds."""
    yield (
        f"The ratios are goodput of `{rows['planner'][0]}` over that of the other planner, in "
        "limited clusters, in the second half."
    )
    yield ""
    labels = {"scene": "scene", "planner": "against"}
    yield from ratio_table(in_scenes(rows), labels, paper=True)
    yield from means(rows, ["scene", "planner"])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios, and also goodput over time if the rows have it."""
    found = in_scenes(rows)
    if found.is_empty():
        return []
    paths = [draw_ratios(found, [GOODPUT], directory / "goodput.png", ranges=PAPER)]
    if "cells" not in rows.columns:
        return paths
    tidy = each_cell(rows.filter(pl.col("scene") != NEXT_TO_OPTIMUM), "scene", "planner", "seed")
    path = directory / "goodput-over-time.png"
    labels = {"xlabel": "simulated time, s", "ylabel": "service goodput, queries"}
    draw_curves(tidy, "scene", "time_s", "goodput", path, markers=False, settings=labels)
    return [*paths, path]
