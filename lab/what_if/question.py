"""The parts of a what-if question, and the files of its answer."""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from textwrap import fill
from typing import Any

import polars as pl
from hydra.core.override_parser.overrides_parser import OverridesParser

from lab.common.errors import InputError, choices, key_of, one_line
from lab.common.formatting import count
from lab.common.metrics import ANY, METRICS, by_tier, metric_and_tier, range_of
from lab.config.compose import Setup
from lab.config.overrides import readable, repeated, swept_values
from lab.runs.api import Result
from lab.runs.run_directory import write_aside
from lab.runs.summary import numbers_of

TITLE_WIDTH = 70
"""Largest number of characters in a line of a title."""


@dataclass(frozen=True)
class Varied:
    """A varied key and its values, as written in overrides."""

    key: str
    values: tuple[str, ...]

    @property
    def is_number(self) -> bool:
        """Whether all values are numbers."""
        try:
            list(map(float, self.values))
        except ValueError:
            return False
        return True

    @property
    def ascending(self) -> Sequence[str]:
        """Values, in ascending order if they are numbers."""
        return sorted(self.values, key=float) if self.is_number else self.values


def varied(text: str) -> Varied:
    """Parse a varied key: ``KEY=A,B``, ``KEY=range(1,9)`` or ``KEY=A``; else raise InputError."""
    own = readable(text) != text  # whether Hydra cannot parse the key
    try:
        parsed = OverridesParser.create().parse_override(
            f"value={text.partition('=')[2]}" if own else text
        )
    except Exception as error:
        raise InputError(
            f"--vary {text}: write KEY=A,B or KEY=range(1,9) ({one_line(error)})"
        ) from None
    if parsed.is_sweep_override():
        values = tuple(swept_values(parsed, f"--vary {text}"))
    else:
        values = (parsed.get_value_element_as_str(),)
    return Varied(key_of(text) if own else parsed.key_or_group, values)


def all_varied(texts: Sequence[str]) -> list[Varied]:
    """Return the varied keys of texts (see `varied`); raise InputError if a key occurs twice."""
    found = [varied(text) for text in texts]
    if twice := repeated(each.key for each in found):
        raise InputError(f"{twice[0]} is varied twice; give all its values in one --vary")
    return found


def low_and_high(text: str) -> Varied:
    """Return a key with its low and high value from ``KEY=LOW,HIGH``, or raise InputError."""
    found = varied(text)
    if len(found.values) != 2:
        raise InputError(
            f"--vary {text}: has {count(len(found.values), 'value')} of {found.key}; must have "
            f"exactly two, {found.key}=LOW,HIGH"
        )
    return found


def numbers(result: Result) -> Mapping[str, Any]:
    """Return the numbers of a run's summary, including those of single classes of service."""
    return numbers_of({**result.summary, **by_tier(result.summary)})


def check_metric(metric: str) -> None:
    """Raise InputError if a metric is not a number of the summary."""
    if metric not in METRICS and not metric_and_tier(metric)[1]:
        raise InputError(
            f"--metric {metric}: must be a number of the summary; {choices(metric, METRICS)}"
        )


def check_tier(metric: str, tiers: Iterable[str]) -> None:
    """Raise InputError if a metric is for a class of service that the scenario lacks."""
    tier = metric_and_tier(metric)[1]
    if tier and tier not in set(tiers):
        raise InputError(f"--metric {metric}: no such class of service; {choices(tier, tiers)}")


def check_target(option: str, target: float, metric: str) -> None:
    """Raise InputError for a target that is not finite, or out of the range of its metric."""
    given = f"{option} {target:.10g}"
    if not isfinite(target):
        raise InputError(f"{given}: must be a finite number")
    if range_of(metric) == ANY:
        return
    low, high = range_of(metric)
    if not low <= target <= high:
        if not isfinite(high):
            raise InputError(f"{given}: {metric} is never below {low:g}")
        percent = f"; did you mean {target / 100:.10g}?" if 1 < target <= 100 else ""
        raise InputError(f"{given}: {metric} is a share from {low:g} to {high:g}{percent}")


def planner_of(setup: Setup, default: bool) -> str:
    """Return the name of the planner of a run, with a note if it is the default."""
    [name] = setup.planners
    return f"{name} (the default)" if default else name


def missing_in_words(metric: str, seeds: int, of: int) -> str:
    """Return a clause saying that `seeds` of `of` seeds have no value of a metric."""
    what = "the median was not reached" if null_is_late(metric) else "there is no value"
    return f"{what} on {seeds} of {of} seeds"


def null_is_late(metric: str) -> bool:
    """Return whether a missing value of a metric counts as later than any number."""
    return metric in METRICS and METRICS[metric].null_is_late


def in_words(settings: Mapping[str, str]) -> str:
    """Return settings as overrides in one text."""
    return " ".join(f"{key}={value}" for key, value in settings.items()) or "as it is"


def titled(question: str, overrides: Sequence[str]) -> str:
    """Return the title of a figure: the question, and the overrides below it."""
    lines = [question, " ".join(overrides)]
    return "\n".join(fill(line, TITLE_WIDTH, break_on_hyphens=False) for line in lines if line)


@dataclass(frozen=True)
class Files:
    """The files of an answer, named by `about` and a hash of the question's words."""

    directory: Path
    about: str
    words: Sequence[str]

    @property
    def figure(self) -> Path:
        """Path of the figure."""
        return self._path("png")

    def write_table(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as CSV, with the question in each; print the paths of figure and table."""
        path = self._path("csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        asked = [{**row, "question": shlex.join(self.words)} for row in rows]
        write_aside(path, pl.DataFrame(asked, infer_schema_length=None).write_csv())
        print(f"figure: {self.figure}\ntable: {path}", file=sys.stderr)

    def _path(self, ending: str) -> Path:
        digest = sha256(shlex.join(self.words).encode()).hexdigest()[:8]
        return self.directory / f"{self.about}_{digest}.{ending}"
