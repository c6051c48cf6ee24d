"""What a figure of the paper offers here, and what was found of its claim."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from lab.analysis.paired import Interval, counted
from lab.common.formatting import probability
from lab.reporting.markdown import estimated
from lab.run_cache.jobs import Job


class Verdict(StrEnum):
    """Whether we find what the paper claims."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "cannot be known"


BEYOND = {
    "≥": "infinite: the other has none on any seed",
    "≤": "0: the reference has none on any seed",
}
"""What a ratio is where no seed gives one, by its sign; see `lab.analysis.paired.ratios`."""


@dataclass(frozen=True)
class Finding:
    """One claim, and what we found.

    Args:
        claim: what the paper says, in our words, with its figures where it gives any.
        ours: our number with its interval, in words.
        verdict: whether we agree.
        why: why, or what the number hinges on.
    """

    claim: str
    ours: str
    verdict: Verdict
    why: str


class Figure(Protocol):
    """What a module that reproduces a figure offers.

    Its ``__doc__`` says what is done, in its first line as a heading of the page.
    """

    COMMANDS: tuple[str, ...]

    def jobs(self, quick: bool) -> list[Job]:
        """Return the runs."""

    def findings(self, rows: pl.DataFrame) -> list[Finding]:
        """Return what the rows say of the claims."""

    def draw(self, rows: pl.DataFrame, directory: Path) -> list[Path]:
        """Draw our figure; return its files, PNG."""

    def lines(self, rows: pl.DataFrame) -> Iterator[str]:
        """Yield what else the page is to show, as Markdown."""


SIGNIFICANT = 0.05
"""p-value below which planners are told apart, adjusted for all that are compared."""

BY_SIDE = {1: Verdict.AGREES, 0: Verdict.UNKNOWN, -1: Verdict.DIFFERS}
"""What is said of a claim by the side of its threshold on which the value lies, see `_side`."""


def of_range(
    claim: str,
    ratio: Interval,
    paper: tuple[float, float],
    why: str,
    seeds: int | str,
    sign: str = "",
) -> Finding:
    """Return what a ratio says of a range, above 1, that the paper claims for it.

    It agrees if its whole interval lies in the range, and differs if that lies beside it, or if the
    ratio is 0 or infinite on all seeds.

    Args:
        claim: what the paper says.
        ratio: our ratio with its 95 % interval.
        paper: the range.
        why: what the ratio hinges on.
        seeds: how many seeds it rests on, or of how many, see `lab.analysis.paired.counted`.
        sign: whether the ratio is a bound, see `lab.analysis.paired.ratios`.
    """
    middle, low, high = ratio
    ours = _ours(ratio, seeds, sign)
    if middle is None:
        # Where the same one never has a value, the ratio lies beyond all ranges.
        verdict = Verdict.DIFFERS if sign in BEYOND else Verdict.UNKNOWN
        return Finding(claim, BEYOND.get(sign, "no ratio: no seed has both"), verdict, why)
    if low is None or high is None:
        return Finding(claim, ours, Verdict.UNKNOWN, f"one seed has no interval; {why}")
    # A bound from below may lie below the range, and one from above above it, without telling.
    apart = (high < paper[0] and sign in ("", "≤")) or (low > paper[1] and sign in ("", "≥"))
    sure = not sign and paper[0] <= low and high <= paper[1]
    verdict = Verdict.DIFFERS if apart else Verdict.AGREES if sure else Verdict.UNKNOWN
    return Finding(claim, ours, verdict, why)


def ahead(claim: str, row: Mapping[str, Any], why: str) -> Finding:
    """Return whether the reference is ahead of another planner, which takes more than an interval.

    As one of several comparisons, it must also be told apart by the p-value that is adjusted for
    all of them.

    Args:
        claim: what the paper says.
        row: of `lab.analysis.paired.ratios`.
        why: what the ratio hinges on.
    """
    ratio = row["ratio"], row["low"], row["high"]
    found = above(claim, ratio, 1.0, why, counted(row["n"], row["of"]), row["sign"])
    p = row["p_holm"]
    if p is None or p < SIGNIFICANT or found.verdict is Verdict.UNKNOWN:
        return found
    words = f"of all comparisons in this scene, p = {probability(p)}; {why}"
    return replace(found, verdict=Verdict.UNKNOWN, why=words)


def above(
    claim: str, ratio: Interval, threshold: float, why: str, seeds: int | str, sign: str = ""
) -> Finding:
    """Return whether a value lies above a threshold: by its whole interval, or not at all.

    Args:
        claim: what the paper says.
        ratio: our value with its 95 % interval.
        threshold: the threshold.
        why: what the value hinges on.
        seeds: how many seeds it rests on, or of how many, see `lab.analysis.paired.counted`.
        sign: whether the value is a bound, see `lab.analysis.paired.ratios`.
    """
    if ratio[0] is None and sign == "≥":
        return Finding(claim, BEYOND[sign], Verdict.AGREES, why)
    side = _side(ratio, threshold, sign)
    return Finding(claim, _ours(ratio, seeds, sign), BY_SIDE[side], why)


def below(
    claim: str, value: Interval, threshold: float, why: str, seeds: int | str, sign: str = ""
) -> Finding:
    """Return whether a value lies below a threshold: by its whole interval, or not at all.

    Args:
        claim: what the paper says.
        value: our value with its 95 % interval.
        threshold: the threshold.
        why: what the value hinges on.
        seeds: how many seeds it rests on, or of how many, see `lab.analysis.paired.counted`.
        sign: as for `above`.
    """
    side = _side(value, threshold, sign)
    return Finding(claim, _ours(value, seeds, sign), BY_SIDE[-side], why)


def _side(value: Interval, threshold: float, sign: str) -> int:
    """Return 1 if a value's whole interval lies above a threshold, -1 if below, 0 if neither."""
    _, low, high = value
    if low is None or high is None:
        return 0
    return (low > threshold and sign in ("", "≥")) - (high < threshold and sign in ("", "≤"))


def _ours(value: Interval, seeds: int | str, sign: str) -> str:
    return f"{estimated(*value, sign)} ({seeds} seeds)"
