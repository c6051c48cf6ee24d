"""The best planner of a cell by one metric, or a tie, or that the seeds cannot tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lab.analysis.sequential import surely_close, surely_positive
from lab.analysis.statistics import Floats

TIE_WITHIN = 0.05
"""Planners tie if each mean is at least 1 - this share of the other."""


class Outcome(StrEnum):
    """What the seeds say about the best planner of a cell."""

    WINNER = "winner"
    TIE = "tie"
    NOBODY = "nobody"  # no planner serves any query
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class CellVerdict:
    """The verdict on one cell by one metric."""

    outcome: Outcome
    best: tuple[str, ...]  # the winner; the planners of the tie; or those that could be best

    @property
    def label(self) -> str:
        """The winner's name, or the outcome."""
        return self.best[0] if self.outcome is Outcome.WINNER else str(self.outcome)


def judged(values: Mapping[str, Floats], error: float) -> CellVerdict:
    """Return the verdict from each planner's values on the same seeds, of shape (n,); n > 0.

    The leader is the planner of the highest mean. Each other planner is either *close*, so that
    neither mean is below 0.95 of the other, or *below* the leader, or unclear. The leader wins if
    all others are below. It ties with the close ones if the rest is below. Each comparison errs
    with probability at most `error` on either side.
    """
    leader = max(values, key=lambda name: float(values[name].mean()))
    ours = values[leader]
    if not any(each.any() for each in values.values()):
        if surely_close(ours, ours, TIE_WITHIN, error):
            return CellVerdict(Outcome.NOBODY, ())
        return CellVerdict(Outcome.UNDECIDED, tuple(values))
    close, unclear = [], []
    for name, theirs in values.items():
        if name == leader:
            continue
        if surely_close(ours, theirs, TIE_WITHIN, error):
            close.append(name)
        elif not surely_positive(ours - theirs, error):
            unclear.append(name)
    if unclear:
        return CellVerdict(Outcome.UNDECIDED, (leader, *close, *unclear))
    if close:
        return CellVerdict(Outcome.TIE, (leader, *close))
    return CellVerdict(Outcome.WINNER, (leader,))


def hopeless(values: Mapping[str, Floats], error: float) -> set[str]:
    """Return the planners that are surely more than 5 % below some other planner."""
    leader = max(values, key=lambda name: float(values[name].mean()))
    least = (1 - TIE_WITHIN) * values[leader]
    return {
        name
        for name, theirs in values.items()
        if name != leader and surely_positive(np.asarray(least - theirs), error)
    }
