"""Places another planner in an atlas: where it beats, ties with or loses to the best so far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import polars as pl
from joblib import Parallel, delayed

from lab.atlas.advice import verdicts
from lab.atlas.axes import AXES, Cell
from lab.atlas.race import GOODPUT, Row, race
from lab.atlas.runs import Atlas, CellRuns, Plan
from lab.atlas.verdicts import Outcome
from lab.common.errors import one_line
from lab.run_cache.jobs import on_cluster, prepare_workers, told_if_killed

AHEAD, CLOSE, BEHIND, UNCLEAR = "ahead", "tie", "behind", "undecided"
PLACES = (AHEAD, CLOSE, BEHIND, UNCLEAR)


@dataclass(frozen=True)
class Placed:
    """How a planner does in one cell against the best planner of the atlas there."""

    cell: Cell
    best: str
    place: str  # one of `PLACES`


def place(
    planner: str, made: Atlas, processes: int, until_s: float
) -> tuple[list[Placed], list[str]]:
    """Run a planner in the cells of an atlas, in random order, until ``until_s`` seconds are over.

    In each cell it races with the best planner by goodput, on the stored runs as far as there are
    any. Their seeds also chose the best planner, which is a little in its favour. Returns the
    places, and the sentences of cells that failed.
    """
    frame = made.frame
    found = verdicts(frame, made.plan).sample(fraction=1.0, shuffle=True, seed=0)
    started = perf_counter()

    def in_time() -> Iterator[tuple[int, Cell, str, Sequence[Row]]]:
        for row in found.iter_rows(named=True):
            if perf_counter() - started > until_s:
                return
            part = frame.filter(pl.col("cell") == row["cell"])
            names = [each for each in str(row[f"{GOODPUT}_best"]).split(",") if each]
            mean = part.filter(pl.col("planner").is_in(names or made.plan.planners))
            mean = mean.group_by("planner").agg(pl.col(GOODPUT).mean()).sort(GOODPUT, "planner")
            cell = Cell({axis.name: row[axis.name] for axis in AXES})
            yield row["cell"], cell, mean["planner"][-1], part.to_dicts()

    prepare_workers()
    make = delayed(partial(_attempt, planner, made.plan))
    placed: list[Placed] = []
    failures: list[str] = []
    with on_cluster():
        ended = Parallel(processes, return_as="generator_unordered", pre_dispatch=processes)(
            make(*each) for each in in_time()
        )
    for number, answer in told_if_killed(ended):
        if isinstance(answer, Exception):
            failures.append(f"cell {number}: {one_line(answer)}")
        else:
            placed.append(answer)
    return placed, failures


def _attempt(
    planner: str, plan: Plan, number: int, cell: Cell, best: str, stored: Sequence[Row]
) -> tuple[int, Placed | Exception]:
    runs, names = CellRuns(number, cell, plan, stored), {AHEAD: planner, BEHIND: best}

    def measure(who: str, numbers: Sequence[int]) -> list[Row]:
        return runs(names[who], numbers)

    try:
        verdict = race((AHEAD, BEHIND), measure, plan.looks, (GOODPUT,)).verdicts[GOODPUT]
    except Exception as error:
        return number, error
    answers = {Outcome.TIE: CLOSE, Outcome.NOBODY: CLOSE, Outcome.UNDECIDED: UNCLEAR}
    return number, Placed(cell, best, answers.get(verdict.outcome, verdict.label))


def counted(placed: Sequence[Placed]) -> dict[str, int]:
    """Return the number of cells by place."""
    return {place: sum(each.place == place for each in placed) for place in PLACES}
