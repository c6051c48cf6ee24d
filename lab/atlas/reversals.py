"""The smallest change of the default scene that reverses the order of two planners.

The default scene has about 60 living queries, more than the cells of the atlas.

Each change moves one axis of `lab.atlas.axes` from its default. Its size is the part of the axis
that it moves over, on the axis's logarithmic scale; another category counts as `OF_CATEGORY`.

For each pair, fresh seeds must first confirm that one planner is surely ahead in the default scene.
Then planners run every change on one seed. Changes that reverse a pair there are tried, the
smallest first: if a few more seeds reverse the means, too, fresh seeds must confirm that the other
planner is surely ahead. Half of the error is for the default scene. The k-th confirmation gets
1 / (k (k + 1)) of the other half, which adds up to all of it.

Runs are cached (`lab.run_cache.jobs`), so an interrupted search continues.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from lab.analysis.sequential import surely_positive
from lab.analysis.statistics import Floats
from lab.atlas.axes import AXES, BOARDS, DEFAULT, LEAST_QUERIES, PRICE, Cell, Ordered
from lab.atlas.race import GOODPUT
from lab.atlas.runs import SHORT, goodput_and_active, overrides
from lab.run_cache.jobs import Job, make
from lab.runs.api import Result

STEPS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75)
"""Parts of an axis by which values move, up and down."""

OF_CATEGORY = 0.5
"""Size of a change to another category."""

SCREENED = range(9000, 9005)
CONFIRMED = range(9100, 9116)
"""Seeds that search for changes, and fresh ones that confirm them."""

ERROR = 0.05
"""Probability with which the answer on a pair may err, over all its confirmations."""


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
        if axis is PRICE:
            continue  # It changes no goodput.
        default = DEFAULT[axis.name]
        seen = {default}
        for size, value in _others(axis, default):
            cell = Cell({**DEFAULT, axis.name: value})
            if value in seen or cell.queries < LEAST_QUERIES:
                continue  # The same scene, or one whose results are mostly noise.
            seen.add(value)
            if isinstance(axis, Ordered):
                words = f"{axis.words} is {axis.shown(value)} instead of {axis.shown(default)}"
            else:
                words = f"{axis.words} is {value} instead of {default}"
            found.append(Change(axis.name, words, size, cell))
    return sorted(found, key=lambda each: each.size)


def _others(axis: Any, default: Any) -> Iterator[tuple[float, Any]]:
    if not isinstance(axis, Ordered):
        yield from ((OF_CATEGORY, value) for value in axis.values if value != default)
        return
    at = axis.coordinate(default)
    for step in STEPS:
        for coordinate in (at - step, at + step):
            if 0 <= coordinate <= 1:
                value = axis.at(coordinate)
                value = float(round(value)) if axis is BOARDS else value
                yield abs(axis.coordinate(value) - at), value


Key = tuple[int, str]
"""The number of a change, and the name of a planner."""


class Runs:
    """Makes the runs of the changes, a batch at a time.

    Args:
        cache: directory of the finished runs.
        processes: number of runs at the same time.
    """

    def __init__(self, cache: Path, processes: int) -> None:
        self._cache, self._processes = cache, processes
        self.changes = changes()

    def __call__(self, keys: Iterable[Key], seeds: Sequence[int]) -> dict[Key, Floats]:
        """Return the goodput on all seeds, of shape (n,), for each key."""
        keys = list(keys)
        jobs = [
            Job(
                overrides(self.changes[number].cell, SHORT, name),
                seed,
                goodput_late,
                {"change": self.changes[number].words, "planner": name},
            )
            for number, name in keys
            for seed in seeds
        ]
        rows = make(jobs, self._processes, self._cache)
        values = np.array([row[GOODPUT] for row in rows], dtype=float).reshape(
            len(keys), len(seeds)
        )
        return dict(zip(keys, values, strict=True))


def goodput_late(result: Result) -> dict[str, float]:
    """Return the goodput of a short run after the warm-up."""
    horizon_s = result.scenario.horizon_s
    return {GOODPUT: goodput_and_active(result.windows, horizon_s, SHORT)[0]}


@dataclass(frozen=True)
class Reversal:
    """What reverses the order of two planners; ``change`` is None if no tried change does."""

    ahead: str  # the planner that is ahead in the default scene
    behind: str
    change: Change | None
    ratio: float | None = None  # of goodput, second planner over first, after the change
    ordered: bool = True  # whether the first planner is surely ahead in the default scene


def reversals(planners: Sequence[str], runs: Runs) -> list[Reversal]:
    """Return the smallest confirmed change for each pair of planners.

    Raises what `lab.run_cache.jobs.make` raises; finished runs are kept.
    """
    default = [(0, name) for name in planners]
    usual, fresh = runs(default, SCREENED), runs(default, CONFIRMED)
    pairs = [
        sorted(pair, key=lambda name: -usual[0, name].mean()) for pair in combinations(planners, 2)
    ]
    ordered = [
        (ahead, behind)
        for ahead, behind in pairs
        if surely_positive(fresh[0, ahead] - fresh[0, behind], ERROR / 2)
    ]
    names = dict.fromkeys(name for pair in ordered for name in pair)
    numbers = range(1, len(runs.changes))
    first = runs([(number, name) for number in numbers for name in names], SCREENED[:1])
    return [
        _smallest(ahead, behind, first, runs)
        if (ahead, behind) in ordered
        else Reversal(ahead, behind, None, ordered=False)
        for ahead, behind in pairs
    ]


def _smallest(ahead: str, behind: str, first: Mapping[Key, Floats], runs: Runs) -> Reversal:
    """Return the smallest confirmed change; ``first`` has the goodput on the first seed."""
    confirmations = 0
    for number, change in enumerate(runs.changes[1:], start=1):
        ours, theirs = (number, behind), (number, ahead)
        if first[ours][0] <= first[theirs][0]:
            continue
        found = runs([ours, theirs], SCREENED)
        if found[ours].mean() <= found[theirs].mean():
            continue
        confirmations += 1
        found = runs([ours, theirs], CONFIRMED)
        error = ERROR / 2 / (confirmations * (confirmations + 1))
        if surely_positive(found[ours] - found[theirs], error):
            least = float(found[theirs].mean())
            ratio = float(found[ours].mean()) / least if least else None
            return Reversal(ahead, behind, change, ratio)
    return Reversal(ahead, behind, None)
