"""Figures 10 and 19 to 21: service goodput over time where machines are short.

As many machines as the least demand takes, queries from an empty start that stay for ten minutes on
average, and the load of the figures' axes at the end (100 queries small; 200 for the 1,600 of the
large figure, which two cores cannot run often). The paper simulates an hour; we the first minutes,
in which the load grows to its end. The exact optimum is out of reach at that size, and is compared
with 20 queries that stay.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import counted, ratios
from lab.reporting.plotting.canvas import canvas, curves, legend_below, palette, save
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, above, of_range
from studies.common.measured import curve
from studies.common.store import each_cell
from studies.common.sweep_files import experiment
from studies.experiments.headline import GOODPUT, PAPER

SCENES = {"fig19": "speech, small", "fig20": "tracking, small", "fig21": "tracking, large"}
WITH_OPTIMUM = "fig10_optimum"
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in (*SCENES, WITH_OPTIMUM))
REFERENCE, OPTIMUM = "compass", "ilp"
NEAR = 0.9
NEXT_TO_OPTIMUM = "20 queries"


def jobs(quick: bool) -> list[Job]:
    """Return the runs: every planner in every scene."""
    scenes = {**SCENES, WITH_OPTIMUM: NEXT_TO_OPTIMUM}
    return [
        job
        for name, scene in scenes.items()
        for job in experiment(name, quick).jobs(curve, scene=scene)
    ]


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return the ratios of goodput, against the paper's range and the optimum."""
    found = []
    beside = pl.col("scene") == NEXT_TO_OPTIMUM
    for (scene,), part in rows.filter(~beside).group_by("scene", maintain_order=True):
        for row in ratios(part, GOODPUT, REFERENCE).iter_rows(named=True):
            found.append(
                of_range(
                    f"{scene}: 2.4 to 5.1 times the goodput of {row['planner']}",
                    (row["ratio"], row["low"], row["high"]),
                    PAPER["goodput"],
                    "the fewer machines and items per configuration, the larger the ratio",
                    counted(row["n"], row["of"]),
                    row["sign"],
                )
            )
    for (application,), part in rows.filter(beside).group_by("application", maintain_order=True):
        both = part.filter(pl.col("planner").is_in([REFERENCE, OPTIMUM]))
        for row in ratios(both, GOODPUT, REFERENCE).iter_rows(named=True):
            found.append(
                above(
                    f"{application}: near the optimum",
                    (row["ratio"], row["low"], row["high"]),
                    NEAR,
                    f"taken to mean {NEAR:g} of it; the optimum is that of the planning model, not "
                    "of the queueing world",
                    counted(row["n"], row["of"]),
                    row["sign"],
                )
            )
    return found


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield nothing more."""
    yield from ()


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw goodput over time."""
    rows = rows.filter(pl.col("scene") != NEXT_TO_OPTIMUM)
    scenes = rows["scene"].unique(maintain_order=True).to_list()
    figure, panels = canvas(1, len(scenes), 3.4)
    colors = palette(rows["planner"].unique(maintain_order=True).to_list())
    keys = "scene", "planner", "seed"
    tidy = each_cell(rows, *keys)
    for axes, scene in zip(panels[0], scenes, strict=True):
        curves(axes, tidy.filter(scene=scene), "time_s", "goodput", colors=colors)
        axes.set(title=scene, xlabel="simulated time, s", ylabel="service goodput, queries")
        axes.set_ylim(bottom=0)
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "fig10_goodput.png")]
