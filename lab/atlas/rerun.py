"""Reruns random cells of an atlas at full length with all planners, to check the short runs.

The reruns are an atlas of their own, `FULL_LENGTH` in the directory of the first one. It has other
seeds and is judged by goodput only.
"""

from dataclasses import replace
from enum import StrEnum

import polars as pl

from lab.atlas.advice import verdicts
from lab.atlas.axes import AXES, Cell
from lab.atlas.race import GOODPUT
from lab.atlas.runs import FULL, Atlas
from lab.atlas.verdicts import Outcome
from scenarios.random_streams import stream

FULL_LENGTH = "full_length"
SKIPPED = 50
"""Seeds of each cell that reruns skip, so that they share no seed with the atlas."""


class Again(StrEnum):
    """What a rerun says about the verdict of a cell."""

    SAME = "same"  # the same winner, or a tie with a planner in common
    POSSIBLE = "possible"  # undecided, and a planner of the verdict can still be the best
    OTHER = "other"


def full_length(made: Atlas) -> Atlas:
    """Return the atlas of reruns that belongs to an atlas."""
    plan = replace(made.plan, length=FULL, metrics=(GOODPUT,), skipped=SKIPPED)
    return Atlas(made.directory / FULL_LENGTH, plan)


def rerun(made: Atlas, again: Atlas, count: int, processes: int, until_s: float) -> list[str]:
    """Rerun `count` random decided cells; return the sentences of those that failed."""
    found = verdicts(made.frame, made.plan)
    decided = found.filter(pl.col(f"{GOODPUT}_verdict") != Outcome.UNDECIDED)
    # Each cell has its own random rank, so that a larger atlas reruns no other cells at first.
    ranked = sorted(
        decided.iter_rows(named=True), key=lambda row: stream(0, "rerun", row["cell"]).random()
    )
    cells = {
        row["cell"]: Cell({axis.name: row[axis.name] for axis in AXES}) for row in ranked[:count]
    }
    with again.locked():
        return again.extend(cells, processes, until_s)


def compared(made: Atlas, again: Atlas) -> pl.DataFrame:
    """Return a row per rerun cell: both verdicts on goodput, and ``again``, one of `Again`."""
    full = verdicts(again.frame, again.plan).select(
        "cell",
        full_verdict=f"{GOODPUT}_verdict",
        full_best=f"{GOODPUT}_best",
    )
    rows = verdicts(made.frame, made.plan).join(full, "cell").sort("cell")
    before, after = (pl.col(name).str.split(",") for name in (f"{GOODPUT}_best", "full_best"))
    common = before.list.set_intersection(after).list.len() > 0
    nobody = pl.col("full_verdict") == Outcome.NOBODY
    same = pl.col("full_verdict") == pl.col(f"{GOODPUT}_verdict")
    open_ = pl.col("full_verdict") == Outcome.UNDECIDED
    return rows.with_columns(
        again=pl.when(same & (common | nobody))
        .then(pl.lit(str(Again.SAME)))
        .when(common & open_)
        .then(pl.lit(str(Again.POSSIBLE)))
        .otherwise(pl.lit(str(Again.OTHER)))
    )
