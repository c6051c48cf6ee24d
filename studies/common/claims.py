"""Claims of the paper and goals of our own, and verdicts on them by intervals over seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import polars as pl

from lab.analysis.paired import Interval, counted, ratio_interval
from lab.common.formatting import probability
from lab.reporting.markdown import estimated


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
    found = above(claim, threshold=1.0, why=why, **measured(row))
    p = row["p_holm"]
    if p is None or p < SIGNIFICANT or found.verdict is Verdict.UNKNOWN:
        return found
    words = f"of all comparisons in this scene, p = {probability(p)}; {why}"
    return replace(found, verdict=Verdict.UNKNOWN, why=words)


def above(
    claim: str, ratio: Interval, threshold: float, why: str, seeds: int | str, sign: str = ""
) -> Finding:
    """Return whether a value lies above a threshold: by its whole interval, or not at all.

    Args are those of `of_range`, with a threshold in place of the range.
    """
    if ratio[0] is None and sign == "≥":
        return Finding(claim, BEYOND[sign], Verdict.AGREES, why)
    side = _side(ratio, threshold, sign)
    return Finding(claim, _ours(ratio, seeds, sign), BY_SIDE[side], why)


def below(
    claim: str, ratio: Interval, threshold: float, why: str, seeds: int | str, sign: str = ""
) -> Finding:
    """Return whether a value lies below a threshold, as `above` does of one above."""
    side = _side(ratio, threshold, sign)
    return Finding(claim, _ours(ratio, seeds, sign), BY_SIDE[-side], why)


def measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ratio, seeds and sign of a row, as arguments of `above`, `below` and `of_range`.

    Args:
        row: of `lab.analysis.paired.ratios`.
    """
    return {
        "ratio": (row["ratio"], row["low"], row["high"]),
        "seeds": counted(row["n"], row["of"]),
        "sign": row["sign"],
    }


def paired(one: pl.DataFrame, other: pl.DataFrame, column: str) -> dict[str, Any]:
    """Return the ratio of two values, and the seeds it rests on, as arguments of `above`.

    Args:
        one: a value for each ``seed``; seeds on which one of both is not above 0 do not count.
        other: likewise.
        column: column of the values.
    """
    both = one.join(other.select("seed", over=column), "seed").sort("seed")
    both = both.filter((pl.col(column) > 0) & (pl.col("over") > 0))
    ratio = ratio_interval(both[column].to_numpy(), both["over"].to_numpy())
    return {"ratio": ratio, "seeds": both.height}


def goal_reached(value: Interval, goal: float, at_most: bool = False, sign: str = "") -> str:
    """Say whether a value reaches a goal of ours: by its whole interval, or not at all.

    Args:
        value: the value with its interval.
        goal: the least that reaches it.
        at_most: whether the goal is the most that reaches it instead.
        sign: ``"≤"`` if the value is an upper bound, so that values above a goal tell nothing;
            ``"≥"`` likewise below.

    Returns:
        ``"yes"``, ``"no"``, or ``"open"`` if the interval does not tell; of one seed, which has no
        interval, what its value says, and that it is one; a dash without a value.
    """

    def reaches(one: float) -> bool:
        return one <= goal if at_most else one >= goal

    middle, low, high = value
    if middle is None:
        return "-"
    if low is None or high is None:
        return f"{'yes' if reaches(middle) else 'no'}, of one seed"
    reached = {reaches(low), reaches(high)}
    tells = {"": (True, False), "≤": (at_most,), "≥": (not at_most,)}[sign]
    [only] = reached if len(reached) == 1 else [None]
    return "open" if only not in tells else "yes" if only else "no"


def _side(value: Interval, threshold: float, sign: str) -> int:
    """Return 1 if a value's whole interval lies above a threshold, -1 if below, 0 if neither."""
    _, low, high = value
    if low is None or high is None:
        return 0
    return (low > threshold and sign in ("", "≥")) - (high < threshold and sign in ("", "≤"))


def _ours(value: Interval, seeds: int | str, sign: str) -> str:
    return f"{estimated(*value, sign)} ({seeds} seeds)"
