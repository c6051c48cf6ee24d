"""What a what-if question is made of: overrides, varied keys, and a metric of the summary."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from textwrap import fill
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from lab.common.errors import InputError, choices, one_line
from lab.common.metrics import ANY, METRICS, by_tier, metric_and_tier, range_of
from lab.config.compose import Setup
from lab.config.overrides import repeated, swept_values
from lab.runs.api import Result

TITLE_WIDTH = 70
"""Characters of a line of a figure's title."""


@dataclass(frozen=True)
class Varied:
    """A key, and the values that it is to take.

    Args:
        key: the key.
        values: the values, as they are written in overrides.
    """

    key: str
    values: tuple[str, ...]

    @property
    def is_number(self) -> bool:
        """Whether all values are numbers."""
        return all(_number(value) is not None for value in self.values)

    def ascending(self) -> "Varied":
        """Return the same with numbers in ascending order, and other values as they were."""
        if not self.is_number:
            return self
        return Varied(self.key, tuple(sorted(self.values, key=float)))


def varied(option: str, text: str) -> Varied:
    """Return a varied key from ``KEY=A,B``, ``KEY=range(1,9)``, or ``KEY=A``.

    Args:
        option: the option that it was given by, for complaints.
        text: what was given.

    Raises:
        InputError: it is no sweep of one key, or names no value, or one twice.
    """
    try:
        parsed = OverridesParser.create().parse_override(text)
    except Exception as error:
        raise InputError(
            f"{option} {text}: write KEY=A,B or KEY=range(1,9) ({one_line(error)})"
        ) from None
    if parsed.is_sweep_override():
        values = tuple(swept_values(parsed, f"{option} {text}"))
    else:
        values = (parsed.get_value_element_as_str(),)
    return Varied(parsed.key_or_group, values)


def all_varied(option: str, texts: Sequence[str]) -> list[Varied]:
    """Return the varied keys, each with all its values, see `varied`.

    Args:
        option: the option that each was given by, for complaints.
        texts: what was given.

    Raises:
        InputError: one is no sweep of one key, or two are of the same.
    """
    found = [varied(option, text) for text in texts]
    if twice := repeated(each.key for each in found):
        raise InputError(f"{twice[0]} is varied twice; name all its values in one {option}")
    return found


def low_and_high(option: str, text: str) -> Varied:
    """Return a key with its low and high value, from ``KEY=LOW,HIGH``.

    Args:
        option: the option that it was given by, for complaints.
        text: what was given.

    Raises:
        InputError: it is no sweep of one key over two values.
    """
    found = varied(option, text)
    count = len(found.values)
    if count != 2:
        values = "1 value" if count == 1 else f"{count} values"
        raise InputError(
            f"{option} {text}: names {values} of {found.key}; must be exactly two, "
            f"{found.key}=LOW,HIGH"
        )
    return found


def numbers(result: Result) -> Mapping[str, Any]:
    """Return all numbers of a run's summary, those of single classes of service too."""
    return {
        name: value
        for name, value in {**result.summary, **by_tier(result.summary)}.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def check_metric(metric: str) -> None:
    """Refuse a metric that no summary has as a number.

    Raises:
        InputError: there is no such metric.
    """
    if metric not in METRICS and not metric_and_tier(metric)[1]:
        raise InputError(
            f"--metric {metric}: must be a number of the summary; {choices(metric, METRICS)}"
        )


def check_tier(metric: str, tiers: Iterable[str]) -> None:
    """Refuse a metric of a class of service that a scenario does not have.

    Args:
        metric: the metric, such as ``slo_met_fraction.premium``.
        tiers: the classes of service of the scenario.

    Raises:
        InputError: there is no such class.
    """
    tier = metric_and_tier(metric)[1]
    if tier and tier not in set(tiers):
        raise InputError(f"--metric {metric}: no such class of service; {choices(tier, tiers)}")


def check_target(option: str, target: float, metric: str) -> None:
    """Refuse a target that no mean of a metric can have.

    Args:
        option: the option that it was given by, for complaints.
        target: what was given.
        metric: the metric.

    Raises:
        InputError: it is no number, or out of the metric's range.
    """
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


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def planner_of(setup: Setup, default: bool) -> str:
    """Return the name of the planner of a run, and that it is the default if it is."""
    [name] = setup.planners
    return f"{name} (the default)" if default else name


def lacking(metric: str, seeds: int, of: int) -> str:
    """Say that some seeds have no value of a metric.

    Args:
        metric: the metric.
        seeds: how many have none.
        of: how many there are.
    """
    what = "the median was not reached" if null_is_late(metric) else "there is no value"
    return f"{what} on {seeds} of {of} seeds"


def null_is_late(metric: str) -> bool:
    """Return whether a seed lacks a metric where it would be later than any number."""
    return metric in METRICS and METRICS[metric].null_is_late


def in_words(settings: Mapping[str, str]) -> str:
    """Return settings as overrides."""
    return " ".join(f"{key}={value}" for key, value in settings.items()) or "as it is"


def titled(question: str, overrides: Sequence[str]) -> str:
    """Return the title of a figure: the question, and below it what it is asked of."""
    lines = [question, " ".join(overrides)]
    return "\n".join(fill(line, TITLE_WIDTH, break_on_hyphens=False) for line in lines if line)


def paired(
    base: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], metric: str
) -> Iterator[tuple[float, float]]:
    """Yield the metric of each seed in two settings, where both have one."""
    theirs = {row["seed"]: row.get(metric) for row in other}
    for row in base:
        ours, its = row.get(metric), theirs.get(row["seed"])
        if ours is not None and its is not None:
            yield float(ours), float(its)
