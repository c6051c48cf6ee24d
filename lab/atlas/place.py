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
from lab.run_cache.jobs import prepare_workers

AHEAD, CLOSE, BEHIND, UNCLEAR = "ahead", "tie", "behind", "undecided"
PLACES = (AHEAD, CLOSE, BEHIND, UNCLEAR)


@dataclass(frozen=True)
class Placed:
    """How a planner does in one cell against the best planner of the atlas there."""

    cell: Cell
    best: str
    place: str  # one of `PLACES`


def place(planner: str, made: Atlas, processes: int, until_s: float) -> list[Placed]:
    """Run a planner in the cells of an atlas, in random order, until ``until_s`` seconds are over.

    In each cell it races with the best planner by goodput, whose stored runs are used first. Their
    seeds also chose the best planner, which is a little in its favour.
    """
    found = verdicts(made.frame, made.plan).sample(fraction=1.0, shuffle=True, seed=0)
    started = perf_counter()

    def in_time() -> Iterator[tuple[int, Cell, str, list[Row]]]:
        for row in found.iter_rows(named=True):
            if perf_counter() - started > until_s:
                return
            part = made.frame.filter(pl.col("cell") == row["cell"])
            names = [each for each in str(row[f"{GOODPUT}_best"]).split(",") if each]
            mean = part.filter(pl.col("planner").is_in(names or made.plan.planners))
            mean = mean.group_by("planner").agg(pl.col(GOODPUT).mean()).sort(GOODPUT, "planner")
            best = mean["planner"][-1]
            theirs: list[Row] = [*part.filter(pl.col("planner") == best).sort("seed").to_dicts()]
            yield row["cell"], Cell({axis.name: row[axis.name] for axis in AXES}), best, theirs

    prepare_workers()
    make = delayed(partial(_placed, planner, made.plan))
    return list(
        Parallel(processes, return_as="generator_unordered", pre_dispatch=processes)(
            make(*each) for each in in_time()
        )
    )


def _placed(
    planner: str, plan: Plan, number: int, cell: Cell, best: str, stored: list[Row]
) -> Placed:
    run, names = CellRuns(number, cell, plan), {AHEAD: planner, BEHIND: best}

    def measure(who: str, numbers: Sequence[int]) -> list[Row]:
        known = stored[numbers[0] : numbers[-1] + 1] if who == BEHIND else []
        return [*known, *run(names[who], numbers[len(known) :])]

    verdict = race((AHEAD, BEHIND), measure, plan.looks, (GOODPUT,)).verdicts[GOODPUT]
    answers = {Outcome.TIE: CLOSE, Outcome.NOBODY: CLOSE, Outcome.UNDECIDED: UNCLEAR}
    return Placed(cell, best, answers.get(verdict.outcome, verdict.label))


def counted(placed: Sequence[Placed]) -> dict[str, int]:
    """Return the number of cells by place."""
    return {place: sum(each.place == place for each in placed) for place in PLACES}
