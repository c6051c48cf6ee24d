"""Places another planner in an atlas: where it beats, ties with or loses to the best so far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
import polars as pl
from joblib import Parallel, delayed

from lab.analysis.sequential import Looks, surely_close, surely_positive
from lab.analysis.statistics import Floats
from lab.atlas.advice import verdicts
from lab.atlas.axes import AXES, Cell
from lab.atlas.race import Row
from lab.atlas.runs import CellRuns, Plan
from lab.atlas.verdicts import TIE_WITHIN
from lab.run_cache.jobs import prepare_workers

AHEAD, CLOSE, BEHIND, UNCLEAR = "ahead", "within 5 %", "behind", "undecided"
PLACES = (AHEAD, CLOSE, BEHIND, UNCLEAR)


@dataclass(frozen=True)
class Placed:
    """How a planner does in one cell against the best planner of the atlas there."""

    cell: Cell
    best: str
    place: str  # one of `PLACES`
    ours: float  # mean of the metric
    theirs: float


def place(
    planner: str, runs: pl.DataFrame, plan: Plan, metric: str, processes: int, until_s: float
) -> list[Placed]:
    """Run a planner in the cells of an atlas, in random order, until ``until_s`` seconds are over.

    It runs on the seeds of the best planner of each cell, look by look, until its place is known.
    The same seeds chose the best planner, which is a little in its favour.
    """
    found = verdicts(runs, plan).sample(fraction=1.0, shuffle=True, seed=0)
    started = perf_counter()

    def in_time() -> Iterator[tuple[int, Cell, str, list[float]]]:
        for row in found.iter_rows(named=True):
            if perf_counter() - started > until_s:
                return
            part = runs.filter(pl.col("cell") == row["cell"])
            names = str(row[f"{metric}_best"]).split(",")
            mean = part.filter(pl.col("planner").is_in(names)).group_by("planner")
            best = mean.agg(pl.col(metric).mean()).sort(metric, "planner")["planner"][-1]
            theirs = part.filter(pl.col("planner") == best).sort("seed")
            cell = Cell({axis.name: row[axis.name] for axis in AXES})
            yield row["cell"], cell, best, theirs[metric].to_list()

    prepare_workers()
    make = delayed(partial(_placed, planner, plan, metric))
    return list(
        Parallel(processes, return_as="generator_unordered", pre_dispatch=processes)(
            make(*each) for each in in_time()
        )
    )


def _placed(
    planner: str, plan: Plan, metric: str, number: int, cell: Cell, best: str, theirs: list[float]
) -> Placed:
    measure = CellRuns(number, cell, plan)
    rows: list[Row] = []
    for seeds in plan.looks.seeds:
        rows += measure(planner, range(len(rows), min(seeds, len(theirs))))
        ours = np.array([row[metric] for row in rows], dtype=float)
        answer = _compared(ours, np.array(theirs[: len(ours)]), plan.looks, seeds)
        if answer != UNCLEAR or len(rows) == len(theirs):
            break
    return Placed(cell, best, answer, float(ours.mean()), float(np.mean(theirs[: len(ours)])))


def _compared(ours: Floats, theirs: Floats, looks: Looks, seeds: int) -> str:
    error = looks.error_at(seeds)
    if surely_close(ours, theirs, TIE_WITHIN, error):
        return CLOSE
    if surely_positive(ours - theirs, error):
        return AHEAD
    return BEHIND if surely_positive(theirs - ours, error) else UNCLEAR


def counted(placed: Sequence[Placed]) -> dict[str, int]:
    """Return the number of cells by place."""
    return {place: sum(each.place == place for each in placed) for place in PLACES}
