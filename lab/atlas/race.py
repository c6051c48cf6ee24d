"""The race of planners in one cell: more and more seeds, until the best is known.

All planners start. After each look (`lab.analysis.sequential`), planners drop out that are surely
too far below another one for a tie, by every undecided metric, at the error of the look. The race
ends when every metric is decided or will hardly be, when no planner serves a useful part, or after
the last look. Planners of one seed face the very same world.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.analysis.sequential import Looks
from lab.analysis.statistics import Floats
from lab.atlas.verdicts import (
    CellVerdict,
    Outcome,
    Values,
    hopeless,
    judged,
    nobody_serves,
    out_of_reach,
)

GOODPUT, PER_DOLLAR = "goodput", "goodput_per_usd"
METRICS, ACTIVE, BILL = (GOODPUT, PER_DOLLAR), "active", "usd_per_hour"
"""Columns of a run: the mean number of queries that meet their whole SLO; and the hours in which a
query met it per dollar, for machines, egress and profiling together. `ACTIVE` is the mean number of
living queries, and `BILL` the dollars per hour."""

LOOKS = Looks((3, 6, 12, 24), error=0.1)
FORECAST_FROM = 12
"""Number of seeds after which a cell that would stay undecided gets no more."""

Row = Mapping[str, Any]
Measure = Callable[[str, Sequence[int]], Sequence[Row]]
"""Returns the rows of a planner on some seeds, numbered from 0; each has these columns."""


@dataclass(frozen=True)
class Raced:
    """The verdicts on one cell, the rows behind them, and the number of seeds at the end."""

    verdicts: Mapping[str, CellVerdict]  # by metric
    rows: Sequence[Row]
    seeds: int
    over: bool  # whether all verdicts are final


def race(
    planners: Sequence[str],
    measure: Measure,
    looks: Looks = LOOKS,
    metrics: Sequence[str] = METRICS,
    most: int | None = None,
) -> Raced:
    """Compare planners by some of `METRICS` on more and more seeds; see the module.

    With ``most``, the race stops after the last look of at most so many seeds; it can go on later.
    """
    found: dict[str, list[Row]] = {name: [] for name in planners}
    left = {metric: list(planners) for metric in metrics}
    verdicts: dict[str, CellVerdict] = {}
    final: set[str] = set()
    before = 0
    for seeds in looks.seeds:
        if most is not None and seeds > most:
            break
        open_ = [metric for metric in metrics if metric not in final]
        for name in planners:
            if any(name in left[metric] for metric in open_):
                found[name] += measure(name, range(before, seeds))
        error = looks.error_at(seeds)
        served = {
            name: (_column(found[name], GOODPUT), _column(found[name], ACTIVE))
            for name in planners
            if len(found[name]) == seeds
        }
        if GOODPUT in open_ and nobody_serves(served, error):
            verdicts.update(dict.fromkeys(open_, CellVerdict(Outcome.NOBODY, ())))
            final.update(open_)
            before = seeds
            break
        for metric in open_:
            values = {name: _values(found[name], metric) for name in left[metric]}
            verdicts[metric] = judged(values, error)
            if _is_final(verdicts[metric], values, looks, seeds):
                final.add(metric)
            else:
                dropped = hopeless(values, error)
                left[metric] = [name for name in left[metric] if name not in dropped]
        before = seeds
        if final == {*metrics}:
            break
    rows = [row for rows in found.values() for row in rows]
    return Raced(verdicts, rows, before, final == {*metrics})


def _is_final(verdict: CellVerdict, values: Mapping[str, Values], looks: Looks, seeds: int) -> bool:
    """Return whether no further look may change the verdict of this one."""
    if verdict.outcome is not Outcome.UNDECIDED or seeds == looks.most:
        return True
    last = looks.error_at(looks.most)
    return seeds >= FORECAST_FROM and out_of_reach(values, verdict, last, looks.most)


def _values(rows: Sequence[Row], metric: str) -> Values:
    full = _column(rows, ACTIVE)
    if metric == PER_DOLLAR:
        usd_per_hour = _column(rows, BILL)
        full = np.divide(full, usd_per_hour, np.zeros_like(full), where=usd_per_hour > 0)
    return Values(_column(rows, metric), full)


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=float)
