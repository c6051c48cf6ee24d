"""The smallest change of the default scene that reverses the order of two planners.

Each change moves one axis of `lab.atlas.axes` from its default. Its size is the part of the axis
that it moves over, on the axis's logarithmic scale; another category counts as `OF_CATEGORY`. All
planners run every change on a few seeds. Then, for each pair, fresh seeds must confirm that one is
surely ahead in the default scene, and, beginning with the smallest change that reverses their
means, that the other one is surely ahead there. Half of the error is for the default scene. The
k-th change that is tried gets 1 / (k (k + 1)) of the other half, which adds up to all of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from joblib import Parallel, delayed

from lab.analysis.sequential import surely_positive
from lab.atlas.axes import AXES, DEFAULT, Cell, Ordered
from lab.atlas.race import GOODPUT, Row
from lab.atlas.runs import CellRuns, Length
from lab.run_cache.jobs import prepare_workers

STEPS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75)
"""Parts of an axis by which values move, up and down."""

OF_CATEGORY = 0.5
"""Size of a change to another category."""

SCREENED = range(5)
CONFIRMED = range(100, 116)
"""Numbers of the seeds that search for changes, and of the fresh ones that confirm them."""

ERROR = 0.05
"""Probability with which a confirmation may err."""


@dataclass(frozen=True)
class Change:
    """A scene that differs from the default in one axis; ``axis`` is empty for the default."""

    axis: str
    words: str  # such as "the load is 0.9 instead of 0.28"
    size: float
    cell: Cell


def changes() -> list[Change]:
    """Return the default scene and all changes of one axis, the smallest first."""
    found = [Change("", "nothing changes", 0.0, Cell(DEFAULT))]
    for axis in AXES:
        default = DEFAULT[axis.name]
        for size, value in _others(axis, default):
            if isinstance(axis, Ordered):
                words = f"{axis.words} is {axis.shown(value)} instead of {axis.shown(default)}"
            else:
                words = f"{axis.words} is {value} instead of {default}"
            found.append(Change(axis.name, words, size, Cell({**DEFAULT, axis.name: value})))
    return sorted(found, key=lambda each: each.size)


def _others(axis: Any, default: Any) -> Iterator[tuple[float, Any]]:
    if not isinstance(axis, Ordered):
        yield from ((OF_CATEGORY, value) for value in axis.values if value != default)
        return
    at = axis.coordinate(default)
    for step in STEPS:
        for coordinate in (at - step, at + step):
            if 0 <= coordinate <= 1:
                yield step, axis.at(coordinate)


def screen(
    planners: Sequence[str], length: Length, processes: int, seeds: Sequence[int] = SCREENED
) -> pl.DataFrame:
    """Run all planners on every change; the rows have the change's number as ``cell``."""
    prepare_workers()
    tasks = [
        (number, change.cell, name) for number, change in enumerate(changes()) for name in planners
    ]
    made = Parallel(processes)(
        delayed(_runs)(number, cell, length, name, seeds) for number, cell, name in tasks
    )
    return pl.DataFrame([row for rows in made for row in rows], infer_schema_length=None)


def _runs(number: int, cell: Cell, length: Length, planner: str, seeds: Sequence[int]) -> list[Row]:
    return CellRuns(number, cell, length)(planner, seeds)


@dataclass(frozen=True)
class Reversal:
    """What reverses the order of two planners; ``change`` is None if no tried change does."""

    ahead: str  # the planner that is ahead in the default scene
    behind: str
    change: Change | None
    ratio: float | None = None  # of goodput, second planner over first, after the change
    ordered: bool = True  # whether the first planner is surely ahead in the default scene


def reversals(
    rows: pl.DataFrame, planners: Sequence[str], length: Length, processes: int
) -> list[Reversal]:
    """Return the smallest confirmed change for each pair of planners, from the rows of `screen`."""
    means: Mapping[tuple[int, str], float] = {
        (cell, name): value
        for cell, name, value in rows.group_by("cell", "planner")
        .agg(pl.col(GOODPUT).mean())
        .iter_rows()
    }
    every, kept = changes(), {}

    def confirmed(number: int, name: str) -> np.ndarray[Any, Any]:
        if (number, name) not in kept:
            parts = np.array_split(np.array(CONFIRMED), processes)
            made = Parallel(processes)(
                delayed(_runs)(number, every[number].cell, length, name, part.tolist())
                for part in parts
            )
            kept[number, name] = np.array([row[GOODPUT] for part in made for row in part])
        return kept[number, name]

    found = []
    for pair in combinations(planners, 2):
        ahead, behind = sorted(pair, key=lambda name: -means[0, name])
        answer, tried = Reversal(ahead, behind, None), 0
        if not surely_positive(confirmed(0, ahead) - confirmed(0, behind), ERROR / 2):
            found.append(Reversal(ahead, behind, None, ordered=False))
            continue
        for number, change in enumerate(every):
            if means[number, behind] > means[number, ahead]:
                tried += 1
                ours, theirs = confirmed(number, behind), confirmed(number, ahead)
                if surely_positive(ours - theirs, ERROR / 2 / (tried * (tried + 1))):
                    mean = float(theirs.mean())
                    ratio = float(ours.mean()) / mean if mean else None
                    answer = Reversal(ahead, behind, change, ratio)
                    break
        found.append(answer)
    return found
