"""Graders of notebook 7: drift."""

import math
from collections.abc import Iterable
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from lab.course.forms import near, number, whole
from lab.course.given import Array
from lab.course.grading import (
    Arguments,
    Exercise,
    Mistake,
    NotYetError,
    Step,
    check_function,
    formed,
)

STREAMS = 30
LENGTH = 400
NO_ALARM = -1


def _watched(answer: Any, rng: np.random.Generator) -> None:
    """Grade an alarm by its false alarms, and by its delay after a shift by one deviation."""
    check_function(answer)
    false_alarms, missed, delays = 0, 0, []
    for _ in range(STREAMS):
        usual_s, sd_s = float(rng.uniform(0.2, 1)), float(rng.uniform(0.02, 0.1))
        quiet = rng.normal(usual_s, sd_s, LENGTH)
        false_alarms += _alarm(answer, quiet, usual_s, sd_s) != NO_ALARM
        start = int(rng.integers(60, 200))
        drifted = rng.normal(usual_s, sd_s, LENGTH)
        drifted[start:] += sd_s
        at = _alarm(answer, drifted, usual_s, sd_s)
        if at >= 0 and _alarm(answer, drifted[: at + 1], usual_s, sd_s) != at:
            raise NotYetError(
                "it needs observations from after its alarm; when they arrive, it is too late"
            )
        missed += at == NO_ALARM
        if at >= start:
            delays.append(at - start)
    if false_alarms > 0.1 * STREAMS:
        raise NotYetError(
            f"it raised an alarm in {false_alarms} of {STREAMS} streams of {LENGTH} observations "
            "without drift; one large observation is not yet a drift"
        )
    if missed > 0.1 * STREAMS:
        raise NotYetError(f"it missed {missed} of {STREAMS} drifts")
    if not delays:
        raise NotYetError("it raised every alarm before the drift")
    if np.mean(delays) > 30:
        raise NotYetError(
            f"its alarm came {np.mean(delays):.0f} observations after the drift on average; at "
            "most 30 are allowed, so let what is long past not count against a recent change"
        )


def _alarm(answer: Any, observed_s: Array, usual_s: float, sd_s: float) -> int:
    value = formed(
        answer,
        (observed_s.copy(), usual_s, sd_s),
        f"the number of an observation, from 0 to {len(observed_s) - 1}, or -1",
        lambda at: whole(at) and NO_ALARM <= at < len(observed_s),
    )
    return int(value)


def _decisions(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw tables of decisions: some queries are there before the drift, others come later."""
    for _ in range(4):
        drift_s, rows = float(np.round(rng.uniform(200, 400), 1)), []
        for query in range(int(rng.integers(12, 30))):
            decided_s = float(rng.uniform(0, 1.5 * drift_s))
            for _ in range(int(rng.integers(1, 5))):
                waits_s = float(rng.uniform(2, 60))
                rows.append((query, decided_s, decided_s + waits_s))
                decided_s += waits_s + float(rng.exponential(150))
        table = pl.DataFrame(rows, schema=["query", "decided_s", "in_force_s"], orient="row")
        yield table.sort("decided_s"), drift_s


Row = tuple[float, float]


def _of_queries(decisions: pl.DataFrame) -> list[list[Row]]:
    """Return for each query when its plans were decided and in force, in order."""
    found: dict[int, list[Row]] = {}
    for row in decisions.sort("decided_s").to_dicts():
        found.setdefault(row["query"], []).append((row["decided_s"], row["in_force_s"]))
    return list(found.values())


def _reactions(
    decisions: pl.DataFrame, drift_s: float, column: int = 1, newcomers: bool = False
) -> list[float]:
    """Return the seconds from the drift to the next plan of each query that was there."""
    return [
        min(row[column] for row in rows if row[0] > drift_s) - drift_s
        for rows in _of_queries(decisions)
        if (newcomers or rows[0][0] <= drift_s) and any(row[0] > drift_s for row in rows)
    ]


def _last(decisions: pl.DataFrame, drift_s: float) -> list[float]:
    return [
        rows[-1][1] - drift_s
        for rows in _of_queries(decisions)
        if rows[0][0] <= drift_s < rows[-1][0]
    ]


def _reacted(value: float, decisions: pl.DataFrame, drift_s: float) -> str:
    return near(value, median(_reactions(decisions, drift_s)))


_REACTION = Exercise(
    "a number of seconds, such as 42.5",
    number,
    _decisions,
    _reacted,
    (
        Mistake(
            lambda decisions, drift_s: median(_reactions(decisions, drift_s, column=0)),
            "a decision does not help yet: its plan is in force only once models are loaded",
        ),
        Mistake(
            lambda decisions, drift_s: median(_reactions(decisions, drift_s, newcomers=True)),
            "queries that came after the drift got their first plan then, which is no reaction",
        ),
        Mistake(
            lambda decisions, drift_s: median(_last(decisions, drift_s)),
            "you take the last plan of each query; the first after the drift is the reaction",
        ),
        Mistake(
            lambda decisions, drift_s: np.mean(_reactions(decisions, drift_s)),
            "that is the mean; the median is wanted, which a few slow reactions do not move",
        ),
    ),
)


def _rates(rng: np.random.Generator) -> Iterable[Arguments]:
    for _ in range(5):
        yield (
            float(rng.uniform(1, 20)),
            float(1 / rng.uniform(100, 2_000)),
            float(rng.uniform(0.05, 0.8)),
        )


def lost_share(period_s: float, pause_s: float, drifts_per_s: float, loss: float) -> float:
    """Return which share of the service is lost if planned again every so often.

    Within a period, drifts come evenly; each costs its loss until the period's end.
    """
    parts = 2_000
    remaining_s = (np.arange(parts) + 0.5) / parts * period_s
    lost_s = pause_s + float(np.sum(remaining_s)) / parts * period_s * drifts_per_s * loss
    return lost_s / period_s


def _period(value: float, pause_s: float, drifts_per_s: float, loss: float) -> str:
    if value <= 0:
        return "a period is longer than 0 s"
    here, shorter, longer = (
        lost_share(value * factor, pause_s, drifts_per_s, loss) for factor in (1, 0.97, 1.03)
    )
    if shorter < here or math.isinf(here):
        return "less would be lost if it were planned more often"
    return "less would be lost if it were planned less often" if longer < here else ""


_PERIOD = Exercise(
    "a number of seconds, such as 120.0",
    number,
    _rates,
    _period,
    (
        Mistake(
            lambda pause_s, drifts_per_s, loss: math.sqrt(pause_s / (drifts_per_s * loss)),
            "you count the loss of every drift for the whole period; on average it happens in the "
            "middle",
        ),
        Mistake(
            lambda pause_s, drifts_per_s, loss: 1 / drifts_per_s,
            "that is the mean time between drifts; what planning costs must matter, too",
        ),
        Mistake(
            lambda pause_s, drifts_per_s, loss: pause_s / loss,
            "that is how long one drift must last to pay for one planning; how often do drifts "
            "come?",
        ),
    ),
)


STEPS = (
    Step(
        "7.1",
        "An alarm",
        4,
        (
            "One observation says little. Which sum of observations grows under drift, and stays "
            "small without it?",
            "CUSUM: add up how far observations are above the usual, less half a deviation each; "
            "whenever the sum is negative, start again from 0.",
            "total = max(0, total + (observed - usual_s) / sd_s - 0.5); raise the alarm when total "
            "exceeds 9.",
        ),
        _watched,
    ),
    Step(
        "7.2",
        "How soon does a planner react?",
        2,
        (
            "Which queries had a plan before the drift? Which of their rows come after it?",
            "Take the first decision of each after the drift. When was its plan in force?",
            "old = queries with a decided_s up to drift_s. Of the rows with decided_s > drift_s "
            "and query in old, take the smallest in_force_s per query, subtract drift_s, take "
            "the median.",
        ),
        _REACTION,
    ),
    Step(
        "7.3",
        "How often to plan again?",
        3,
        (
            "What is lost in a period of length T by planning, and what by drifts? Which of them "
            "grows with T?",
            "Per second, planning costs pause_s / T. A period has drifts_per_s * T drifts, and "
            "each costs `loss` for half of the period on average.",
            "Minimise pause_s / T + drifts_per_s * loss * T / 2: set its derivative to 0.",
        ),
        _PERIOD,
    ),
)
