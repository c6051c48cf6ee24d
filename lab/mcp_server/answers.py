"""What a tool answers: sentences, numbers with units and intervals, and the command."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.analysis.comparison import Comparison
from lab.analysis.statistics import allowed_error
from lab.common.formatting import interval, number, p_value
from lab.common.metrics import GOODPUT, HEADLINES, METRICS, SLO_MET, Metric

SAID = (GOODPUT, SLO_MET)
"""Metrics that the sentences of an answer are about."""


@dataclass(frozen=True)
class Place:
    """Where and how a server works.

    Args:
        directory: everything is written below it.
        jobs: most simultaneous runs of a call; None for one per core.
    """

    directory: Path
    jobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a tool answers.

    Args:
        answer: the answer in sentences.
        numbers: the numbers behind it.
        command: the shell command that repeats them; empty if there is none.
        directory: the directory of the results.
        runs: seeds and names of runs whose tables are kept, for explain and fork.
        finished: whether all of the work was done.
        note: what else there is to know.
    """

    answer: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    directory: str = ""
    runs: Sequence[Mapping[str, Any]] = ()
    finished: bool = True
    note: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a tool is.

    Args:
        done: how much is done.
        total: how much there is to do; None if it is not known.
        words: what was just done.
        so_far: the answer as far as it is known.
    """

    done: float
    total: float | None
    words: str
    so_far: Answer | None = None


Tell = Callable[[Progress], None]
"""A function that gets the progress of a tool."""


def cut_short(so_far: Answer | None, why: str) -> Answer:
    """Return the answer of a call that was ended early."""
    known = so_far or Answer(answer="No result yet.")
    return replace(known, finished=False, note=" ".join(filter(None, (why, known.note))))


def unit(metric: str) -> str:
    """Return the unit of a metric; a share has none."""
    known = METRICS.get(metric)
    if known is None:
        return ""
    return known.unit or ("share from 0 to 1" if known.range[1] == 1 else "count")


def numbers_of(comparison: Comparison) -> dict[str, Any]:
    """Return the means and differences of the metrics that the tables of a comparison show."""
    found: dict[str, Any] = {}
    for metric in (one.name for one in HEADLINES):
        means = comparison.means.filter(metric=metric)
        differences = comparison.differences.filter(metric=metric)
        found[metric] = {
            "unit": unit(metric),
            "means": [
                {"of": row["planner"], **_some(row, "n", "mean", "low", "high")}
                for row in means.iter_rows(named=True)
            ],
        }
        if differences.height:
            found[metric]["differences"] = [
                {
                    "of": row["planner"],
                    "minus": row["other"],
                    **_some(row, "n", "difference", "low", "high"),
                    "p": row["p_holm"],
                }
                for row in differences.iter_rows(named=True)
            ]
    return found


def _some(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def sentences(numbers: Mapping[str, Any]) -> str:
    """Return the main numbers of `numbers_of` in sentences."""
    found = []
    for metric in SAID:
        about = numbers[metric.name]
        means = ", ".join(f"{one['of']} {_mean(one)}" for one in about["means"] if one["n"])
        known = [one for one in about.get("differences", ()) if one["n"]]
        parts = [means or "no value", *map(_difference, known)]
        found.append(f"{head(metric)}: {'; '.join(parts)}.")
    return " ".join(found)


def head(metric: Metric) -> str:
    """Return what begins the sentence on a metric."""
    return f"{metric.title[:1].upper()}{metric.title[1:]}"


def _mean(one: Mapping[str, Any]) -> str:
    return f"{number(one['mean'])} {interval(one['low'], one['high'])}".strip()


def _difference(one: Mapping[str, Any]) -> str:
    what = f"{one['of']} minus {one['minus']} {number(one['difference'])}"
    if one["p"] is None:
        return f"{what}, of one seed, so without an interval"
    excluded = one["low"] > 0 or one["high"] < 0
    clear = "clear" if excluded and one["p"] < allowed_error() else "not clear"
    return f"{what} {interval(one['low'], one['high'])}, {p_value(one['p'])}, which is {clear}"
