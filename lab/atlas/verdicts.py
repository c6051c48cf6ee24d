"""The best planner of a cell by one metric, or a tie, or that the seeds cannot tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lab.analysis.sequential import forecast, surely_positive
from lab.analysis.statistics import Floats

TIE_WITHIN = 0.05
"""Planners tie if they differ by at most this share of what serving all queries would give."""

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


@dataclass(frozen=True)
class Values:
    """A planner's values of a metric on some seeds, and what serving all queries would give.

    Both have shape (n,). Serving all queries gives their number or, per dollar, their number over
    the planner's own bill.
    """

    found: Floats
    full: Floats


def judged(values: Mapping[str, Values], error: float) -> CellVerdict:
    """Return the verdict from each planner's values on the same seeds; n > 0.

    The leader is the planner of the highest mean. With m = `TIE_WITHIN` of the leader's mean of
    ``full``, each other planner is *below* the leader if it is surely more than m below, or else
    *close* if it is surely at most m below, or else *below* if it is surely below at all, or else
    unclear. The leader wins if all others are below. It ties with the close ones if the rest is
    below. Each comparison errs with probability at most `error`.
    """
    leader = _leader(values)
    close, unclear = [], []
    for name, theirs in values.items():
        if name == leader:
            continue
        ahead, near = _ahead(values[leader], theirs)
        if surely_positive(-near, error):
            continue
        if surely_positive(near, error):
            close.append(name)
        elif not surely_positive(ahead, error):
            unclear.append(name)
    if unclear:
        return CellVerdict(Outcome.UNDECIDED, (leader, *close, *unclear))
    if close:
        return CellVerdict(Outcome.TIE, (leader, *close))
    return CellVerdict(Outcome.WINNER, (leader,))


def _leader(values: Mapping[str, Values]) -> str:
    return max(values, key=lambda name: float(values[name].found.mean()))


def _ahead(leader: Values, other: Values) -> tuple[Floats, Floats]:
    """Return how far the leader is ahead on each seed, and how much less this is than a tie."""
    ahead = leader.found - other.found
    return ahead, TIE_WITHIN * leader.full - ahead


def out_of_reach(
    values: Mapping[str, Values], verdict: CellVerdict, error: float, seeds: int
) -> bool:
    """Return whether an undecided verdict is likely to stay so after some more seeds.

    This is so if, with the mean and deviation that they have now, some planner would be neither
    below the leader nor close to it. ``error`` is that of the comparisons then.
    """
    leader, *others = verdict.best
    pairs = [_ahead(values[leader], values[name]) for name in others]
    return any(
        max(forecast(ahead, error, seeds), forecast(near, error, seeds)) <= 0
        for ahead, near in pairs
    )


def nobody_serves(served: Mapping[str, tuple[Floats, Floats]], error: float) -> bool:
    """Return whether each planner surely serves less than `LEAST_SERVED` of the queries' time.

    ``served`` has, for each planner, the mean numbers of queries that met their SLO and of queries
    that lived, on the same seeds, of shape (n,).
    """
    return all(
        surely_positive(LEAST_SERVED * active - goodput, error)
        for goodput, active in served.values()
    )


def hopeless(values: Mapping[str, Values], error: float) -> set[str]:
    """Return the planners that are surely too far below the leader for a tie."""
    leader = _leader(values)
    return {
        name
        for name, theirs in values.items()
        if name != leader and surely_positive(-_ahead(values[leader], theirs)[1], error)
    }
