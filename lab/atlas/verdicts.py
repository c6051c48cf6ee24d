"""The best planner of a cell by one metric, or a tie, or that the seeds cannot tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lab.analysis.sequential import forecast, surely_close, surely_positive
from lab.analysis.statistics import Floats

TIE_WITHIN = 0.05
"""Planners tie if each mean is at least 1 - this share of the other."""


LEAST_SERVED = 0.1
"""Share of the queries' time that a planner must serve to be of any use."""


class Outcome(StrEnum):
    """What the seeds say about the best planner of a cell."""

    WINNER = "winner"
    TIE = "tie"
    NOBODY = "nobody"  # no planner serves more than `LEAST_SERVED`
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


def out_of_reach(
    values: Mapping[str, Floats], verdict: CellVerdict, error: float, seeds: int
) -> bool:
    """Return whether an undecided verdict is likely to stay so after some more seeds.

    This is so if, with the mean and deviation that they have now, some planner would be neither
    below the leader nor close to it. ``error`` is that of the comparisons then.
    """
    leader, *others = verdict.best
    ours, least = values[leader], 1 - TIE_WITHIN

    def open_(theirs: Floats) -> bool:
        below, near, nor_above = ours - theirs, theirs - least * ours, ours - least * theirs
        close = min(forecast(near, error, seeds), forecast(nor_above, error, seeds)) > 0
        return not close and forecast(below, error, seeds) <= 0

    return any(open_(values[name]) for name in others)


def nobody_serves(served: Mapping[str, tuple[Floats, Floats]], error: float) -> bool:
    """Return whether each planner surely serves less than `LEAST_SERVED` of the queries' time.

    ``served`` has, for each planner, the mean numbers of queries that met their SLO and of queries
    that lived, on the same seeds, of shape (n,).
    """
    return all(
        surely_positive(LEAST_SERVED * active - goodput, error)
        for goodput, active in served.values()
    )


def hopeless(values: Mapping[str, Floats], error: float) -> set[str]:
    """Return the planners that are surely more than 5 % below some other planner."""
    leader = max(values, key=lambda name: float(values[name].mean()))
    least = (1 - TIE_WITHIN) * values[leader]
    return {
        name
        for name, theirs in values.items()
        if name != leader and surely_positive(np.asarray(least - theirs), error)
    }
