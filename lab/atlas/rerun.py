"""Reruns random cells of an atlas at full length with all planners, to check the short runs."""

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

import polars as pl
from joblib import Parallel, delayed

from lab.atlas.axes import Cell
from lab.atlas.race import GOODPUT, race
from lab.atlas.runs import FULL, CellRuns, Plan
from lab.atlas.verdicts import Outcome
from lab.common.errors import InputError
from lab.run_cache.jobs import prepare_workers

FRESH = 1000
"""The first seed number of reruns, so that they share no seed with the atlas."""


def rerun(
    found: pl.DataFrame,
    cells: Sequence[Cell],
    plan: Plan,
    count: int,
    processes: int,
    until_s: float,
) -> pl.DataFrame:
    """Rerun `count` random decided cells; return both verdicts on goodput for each.

    Column ``same`` says whether the winner is the same, or whether a tie has a planner in common
    with the earlier tie. A rerun whose seeds cannot tell is the same if the earlier best planner is
    still among those that could be best.
    """
    decided = found.filter(pl.col(f"{GOODPUT}_verdict") != Outcome.UNDECIDED)
    chosen = decided.sample(min(count, len(decided)), shuffle=True, seed=1)
    started = perf_counter()
    prepare_workers()
    tasks = (
        (row["cell"], cells[row["cell"]])
        for row in chosen.iter_rows(named=True)
        if perf_counter() - started < until_s
    )
    again = Parallel(processes, return_as="generator_unordered", pre_dispatch=processes)(
        delayed(partial(_again, plan))(*each) for each in tasks
    )
    made = sorted(again, key=lambda row: int(row["cell"]))
    if not made:
        raise InputError("no cell was rerun: no cell is decided, or --hours is too short")
    rows = pl.DataFrame(made).join(chosen, "cell")
    before, after = (pl.col(name).str.split(",") for name in (f"{GOODPUT}_best", "full_best"))
    common = before.list.set_intersection(after).list.len() > 0
    either = (pl.col("full_verdict") == pl.col(f"{GOODPUT}_verdict")) | (
        pl.col("full_verdict") == Outcome.UNDECIDED
    )
    return rows.with_columns(same=common & either)


def _again(plan: Plan, number: int, cell: Cell) -> dict[str, Any]:
    runs = CellRuns(number, cell, FULL, FRESH)
    verdict = race(plan.planners, runs, plan.looks).verdicts[GOODPUT]
    return {
        "cell": number,
        "full_verdict": verdict.label,
        "full_best": ",".join(sorted(verdict.best)),
    }
