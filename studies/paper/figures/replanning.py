"""Figure 17: SLO violations after a step of latency and a step of accuracy.

Queries that stay; in the middle half of the devices become a fifth as fast, or half of the links
carry a third of what they did, or the content of all moves by two fifths to its hardest stratum.
Followed are the queries that arrived a minute before. Violations are the share of their time whose
window does not meet the SLO. They are taken to return if they end within 5 points of what they
were.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from lab.analysis.comparison import of_difference
from lab.analysis.paired import PERCENT, mean_interval
from lab.reporting.markdown import estimated
from lab.reporting.plotting.canvas import canvas, curves, legend_below, palette, save
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, Verdict
from studies.common.sweep_files import experiment
from studies.experiments import drift

CASES = {"fig17": "devices", "fig17_links": "links", "fig17_content": "content"}
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in CASES)
REFERENCE, WITHOUT = "compass", "compass_no_replanning"
POINTS = drift.GOAL_POINTS
BEFORE_S = 120.0
"""The stretch before the step that the end is compared with."""


def jobs(quick: bool) -> list[Job]:
    """Return the runs."""
    return [
        job
        for name, case in CASES.items()
        for job in experiment(name, quick).jobs(drift.violations, case=case)
    ]


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether violations return with replanning, and whether they do without."""
    tidy = drift.rates(rows)
    found = []
    for case in CASES.values():
        for planner in (REFERENCE, WITHOUT):
            part = tidy.filter(case=case, planner=planner)
            rise = _rise(part)
            middle, low, high = mean_interval(rise, of_difference(PERCENT))
            returns = high is not None and high <= POINTS
            stays = low is not None and low > POINTS
            if planner == REFERENCE:
                claim = f"{case}: violations return to what they were"
                verdict = _verdict(returns, stays)
            else:
                claim = f"{case}: without replanning they do not"
                verdict = _verdict(stays, returns)
            found.append(
                Finding(
                    claim,
                    f"{estimated(middle, low, high)} points above before ({len(rise)} seeds)",
                    verdict,
                    f"the mean of the last {drift.LAST_S:g} s less that of the {BEFORE_S:g} s "
                    f"before the step; within {POINTS:g} points counts as returned",
                )
            )
    return found


def _verdict(yes: bool, no: bool) -> Verdict:
    return Verdict.AGREES if yes else Verdict.DIFFERS if no else Verdict.UNKNOWN


def _rise(part: pl.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return by how many points each seed's violations at the end exceed those before."""
    end = pl.col("end_s")
    before = end.is_between(drift.STEP_S - BEFORE_S, drift.STEP_S, closed="right")
    by = part.group_by("seed").agg(
        pl.col("rate").filter(before).mean().alias("before"),
        pl.col("rate").filter(end > drift.HORIZON_S - drift.LAST_S).mean().alias("after"),
    )
    return (by.sort("seed")["after"] - by.sort("seed")["before"]).drop_nulls().to_numpy()


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield nothing more."""
    yield from ()


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw violations over time."""
    tidy = drift.rates(rows)
    figure, panels = canvas(1, len(CASES), 3.2, sharey=True)
    colors = palette([REFERENCE, WITHOUT])
    for axes, case in zip(panels[0], CASES.values(), strict=True):
        curves(axes, tidy.filter(case=case), "end_s", "rate", colors=colors)
        axes.axvline(drift.STEP_S, color="firebrick", lw=1)
        axes.set(title=case, xlabel="simulated time, s", ylabel="SLO violations, %", ylim=(-2, 102))
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "fig17_replanning.png")]
