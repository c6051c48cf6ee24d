"""Verdicts on the paper's claims and on our own goals, from intervals over seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any

import polars as pl

from lab.analysis.paired import Interval, counted, ratio_interval
from lab.reporting.markdown import estimated


class Verdict(StrEnum):
    """Whether our runs confirm a claim of the paper."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Finding:
    """One claim, with what our runs show about it."""

    claim: str  # of the paper, with its figures
    ours: str  # our number with its interval
    verdict: Verdict
    why: str  # why, or what the number depends on
    scene: str = ""  # value of the label that its runs have; empty if it needs all runs
    decidable: bool = True  # whether more seeds could decide it


QUARTER = 0.25
"""A difference is negligible if it is at most this part of the effect that the paper claims."""

NEGLIGIBLE = 0.05
"""The same as a share of the threshold, where the paper claims equality or names no number.

Both sizes were committed before the runs that are reported. An interval that lies within the
negligible size of a threshold decides the claim as well: the effect is then known to be smaller.
"""

BY_SIDE = {1: Verdict.AGREES, 0: Verdict.UNDECIDED, -1: Verdict.DIFFERS}
"""Verdict on a claim by the side of its threshold on which the value lies, see `_decided`."""


def of_range(
    claim: str,
    ratio: Interval,
    paper: tuple[float, float],
    why: str,
    seeds: int | str,
    scene: str = "",
) -> Finding:
    """Return the verdict on the claim that a ratio lies in a range above 1.

    The ratio differs if its whole interval lies outside the range. It agrees if the interval lies
    in the range, give or take a `QUARTER` of the effect at the range's lower end. `seeds` is a
    number of seeds or the text of `lab.analysis.paired.counted`.
    """
    middle, low, high = ratio
    if middle is None:
        text = "no ratio: no seed has a value above 0 of both"
        return Finding(claim, text, Verdict.UNDECIDED, why, scene)
    ours = _ours(ratio, seeds)
    if low is None or high is None:
        return Finding(claim, ours, Verdict.UNDECIDED, f"one seed gives no interval; {why}", scene)
    margin = QUARTER * (paper[0] - 1)
    apart = high < paper[0] or low > paper[1]
    sure = paper[0] - margin <= low and high <= paper[1] + margin
    verdict = Verdict.DIFFERS if apart else Verdict.AGREES if sure else Verdict.UNDECIDED
    return Finding(claim, ours, verdict, why, scene)


def ahead(claim: str, row: Mapping[str, Any], why: str) -> Finding:
    """Return the verdict on a claim that the reference is better, from a row of `paired.ratios`."""
    return above(claim, threshold=1.0, why=why, **measured(row))


def above(
    claim: str,
    ratio: Interval,
    threshold: float,
    why: str,
    seeds: int | str,
    scene: str = "",
) -> Finding:
    """Return the verdict on a claim that a value exceeds a threshold; see also `of_range`.

    The value differs from the claim if its whole interval lies below the threshold, or if it is
    known to exceed the threshold by less than `NEGLIGIBLE`.
    """
    side, why = _decided(_ends(ratio), threshold, why, 1)
    return Finding(claim, _ours(ratio, seeds), BY_SIDE[side], why, scene)


def below(
    claim: str,
    ratio: Interval,
    threshold: float,
    why: str,
    seeds: int | str,
    sign: str = "",
    scene: str = "",
) -> Finding:
    """Return the verdict on a claim that a value is below a threshold; see also `above`.

    A value with the sign ``"≥"`` is only a lower bound, so it can only show that a claim differs.
    """
    side, why = _decided(_ends(ratio, sign), threshold, why, -1)
    return Finding(claim, _ours(ratio, seeds, sign), BY_SIDE[side], why, scene)


Ends = tuple[float, float]


def _ends(value: Interval, sign: str = "") -> Ends | None:
    """Return the ends between which a value surely lies; None without an interval.

    A value with the sign ``"≤"`` is only an upper bound, so it has no lower end; one with the sign
    ``"≥"`` has no upper end.
    """
    _, low, high = value
    if low is None or high is None:
        return None
    return low if sign in ("", "≥") else -inf, high if sign in ("", "≤") else inf


def _decided(ends: Ends | None, threshold: float, why: str, wanted: int) -> tuple[int, str]:
    """Return 1 if a claim is confirmed, -1 if it is refuted, or 0, and the reason.

    `wanted` is 1 if the claim is that the value exceeds the threshold, and -1 if it is below.
    """
    if ends is None:
        return 0, why
    low, high = ends
    if low > threshold or high < threshold:
        return wanted if low > threshold else -wanted, why
    if low > threshold * (1 - NEGLIGIBLE) and high < threshold * (1 + NEGLIGIBLE):
        return -1, f"the difference from {threshold:g} is smaller than {NEGLIGIBLE:.0%}; {why}"
    return 0, why


def measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of `paired.ratios` as the arguments ratio, seeds and scene of `above`."""
    return {
        "ratio": (row["ratio"], row["low"], row["high"]),
        "seeds": counted(row["n"], row["of"]),
        "scene": str(row.get("scene", "")),
    }


def paired(one: pl.DataFrame, other: pl.DataFrame, column: str) -> dict[str, Any]:
    """Return the ratio of a column in two frames, paired by ``seed``, and the number of seeds."""
    both = one.join(other.select("seed", over=column), "seed").sort("seed")
    both = both.drop_nulls([column, "over"])
    ratio = ratio_interval(both[column].to_numpy(), both["over"].to_numpy())
    return {"ratio": ratio, "seeds": both.height}


def goal_reached(value: Interval, goal: float, at_most: bool = False, sign: str = "") -> str:
    """Return ``"yes"``, ``"no"`` or ``"open"``: whether the whole interval reaches a goal.

    The goal is a lower bound or, with `at_most`, an upper bound. A value with the sign ``"≤"`` is
    an upper bound, so it decides nothing if it lies above the goal; a value with the sign ``"≥"``
    decides nothing below the goal. With one seed there is no interval, and the text says so. A
    missing value yields a dash.
    """

    def reaches(one: float) -> bool:
        return one <= goal if at_most else one >= goal

    if value[0] is None:
        return "-"
    ends = _ends(value, sign)
    if ends is None:
        return f"{'yes' if reaches(value[0]) else 'no'}, of one seed"
    reached = {reaches(end) for end in ends}
    return "open" if len(reached) > 1 else "yes" if reached == {True} else "no"


def _ours(value: Interval, seeds: int | str, sign: str = "") -> str:
    return f"{estimated(*value, sign)} ({seeds} seeds)"
