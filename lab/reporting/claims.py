"""States the results of a sweep in sentences: which planner is best, and how certain that is."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from lab.analysis.comparison import Comparison
from lab.analysis.statistics import CONFIDENCE
from lab.analysis.sweep_analysis import Analysis, against, planners_of
from lab.common.formatting import count, interval, listed, number, p_value
from lab.common.metrics import CLAIMED, Metric

MOST_NAMED = 4
MOST_SETTINGS = 12
"""Largest number of settings for each of which a claim names the best planner."""


@dataclass(frozen=True)
class Claim:
    """A sentence and its details."""

    text: str
    # Sentences on each other planner and on single settings.
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """Which planner is best in one setting."""

    planner: str
    clear: bool  # whether it is clearly ahead of all others
    text: str  # a sentence without its full stop
    details: list[str]  # sentences on each other planner


def rivals(analysis: Analysis) -> list[str]:
    """Return the planners that finished runs, without those that see the truth."""
    done = analysis.sweep.finished
    truth = set(done.filter("planner_sees_truth")["planner"])
    here = set(done["planner"])
    return [one for one in planners_of(analysis.sweep) if one in here and one not in truth]


def leader(analysis: Analysis, metric: Metric) -> str | None:
    """Return the planner that has the best mean in most settings."""
    found = Counter(one.planner for one in _verdicts(analysis, metric, rivals(analysis)).values())
    return next((name for name, _ in found.most_common(1)), None)


def best_of(means: pl.DataFrame, metric: Metric, planners: list[str]) -> dict[str, Any] | None:
    """Return the row with the best mean; planners with fewer seeds than others are left out."""
    rows = means.filter(pl.col("planner").is_in(planners), metric=metric.name).drop_nulls("mean")
    rows = rows.filter(pl.col("n") == pl.col("n").max())
    if rows.is_empty():
        return None
    order = rows.sort("mean", descending=bool(metric.more_is_better), maintain_order=True)
    return order.row(0, named=True)


def claims(analysis: Analysis) -> Iterator[Claim]:
    """Yield the claims about a sweep, the most important first."""
    chosen = rivals(analysis)
    done = analysis.sweep.finished
    if done.is_empty():
        yield Claim("No run has finished, so there is nothing to compare yet.")
        return
    if len(chosen) == 1:
        yield Claim(f"There is only one planner, {chosen[0]}, so nothing is compared.")
    yield from _incomplete(analysis)
    for metric in CLAIMED:
        if chosen and analysis.pooled_runs:
            yield _claim(analysis, metric, chosen)
    others = set(done["planner"]) - set(chosen)
    if bounds := [name for name in planners_of(analysis.sweep) if name in others]:
        yield Claim(
            f"{listed(bounds)} {'sees' if len(bounds) == 1 else 'see'} the truth, which no "
            "deployed planner could, so this is a bound and does not compete."
        )
    yield Claim(_certainty(analysis))


def _incomplete(analysis: Analysis) -> Iterator[Claim]:
    """Yield a claim if planners lack seeds; its details name the seeds that each lacks."""
    done = analysis.sweep.finished
    short = dict(analysis.sweep.settings.select("setting", "short").rows())
    several = len(analysis.comparisons) > 1
    every = done.select("setting", "seed").unique().sort("seed")
    details = []
    for planner in planners_of(analysis.sweep):
        its = done.filter(planner=planner)
        lacking = every.join(its, on=["setting", "seed"], how="anti", maintain_order="left")
        if its.is_empty():
            details.append(f"{planner} has not finished any run and is left out.")
        elif lacking.height:
            seeds = {
                short[setting]: lacking.filter(setting=setting)["seed"].to_list()
                for setting in analysis.comparisons
                if setting in lacking["setting"]
            }
            parts = [f"{name}{', ' * bool(name)}{_seeds(some)}" for name, some in seeds.items()]
            more = "; and others" if len(parts) > MOST_NAMED else ""
            details.append(f"{planner} has not finished {'; '.join(parts[:MOST_NAMED])}{more}.")
    if not analysis.pooled_runs:
        yield Claim(
            "No setting has finished runs of every planner on the same seed, so planners cannot be "
            "compared over all settings; the tables show each setting."
            if several
            else "No seed has finished runs of every planner, so planners cannot be compared; the "
            "tables show each planner.",
            details,
        )
    elif details:
        yield Claim(
            "Planners finished different seeds, so they are compared over the "
            f"{_cells(analysis.pooled_runs, several)} of {every.height:,} that all finished.",
            details,
        )


def _cells(number: int, several: bool) -> str:
    """Return in words a number of seeds or, if `several` settings, of pairs of setting and seed."""
    return f"{count(number, 'pair')} of setting and seed" if several else count(number, "seed")


def _seeds(seeds: list[int]) -> str:
    named = [str(seed) for seed in seeds[:MOST_NAMED]]
    more = len(seeds) - len(named)
    text = f"{', '.join(named)} and {more:,} more" if more else listed(named)
    return f"seed{'s' * (len(seeds) != 1)} {text}"


def _claim(analysis: Analysis, metric: Metric, chosen: list[str]) -> Claim:
    """Return a claim on which planner is best by a metric, in each setting separately."""
    verdicts = _verdicts(analysis, metric, chosen)
    if not verdicts:
        return Claim(f"The {metric.label} has no value in any run.")
    if len(analysis.comparisons) == 1:
        [one] = verdicts.values()
        where = f", over the {_cells(analysis.pooled_runs, False)} that all finished"
        where *= analysis.pooled_runs < analysis.seeds
        return Claim(f"{one.text}{where}.", one.details)
    text = f"The {metric.label} of {chosen[0]} in {count(len(verdicts), 'setting')}"
    if len(chosen) > 1:
        (name, often), *others = Counter(one.planner for one in verdicts.values()).most_common()
        surely = sum(one.clear for one in verdicts.values() if one.planner == name)
        text = f"In {metric.label}, {name} is ahead in {often} of {count(len(verdicts), 'setting')}"
        text += f", clearly in {surely}" + "".join(f"; {other} in {more}" for other, more in others)
    short = dict(analysis.sweep.settings.select("setting", "short").rows())
    details = [f"{short[setting]}: {one.text}." for setting, one in verdicts.items()]
    if left := details[MOST_SETTINGS:]:
        details[MOST_SETTINGS:] = [f"The tables have {count(len(left), 'further setting')}."]
    return Claim(f"{text}.", details)


def _verdicts(analysis: Analysis, metric: Metric, chosen: list[str]) -> dict[str, Verdict]:
    """Return each setting's best planner by a metric, over seeds that all planners finished."""
    return {
        setting: _verdict(metric, one, chosen, best)
        for setting, one in analysis.alike.items()
        if set(chosen) <= set(one.runs["planner"])
        and (best := best_of(one.means, metric, chosen)) is not None
    }


def _verdict(
    metric: Metric, comparison: Comparison, chosen: list[str], best: dict[str, Any]
) -> Verdict:
    """Return which planner is best by a metric in one setting, and how certain that is."""
    name = str(best["planner"])
    size = f"{number(best['mean'])}{_unit(metric)}{_after(best['low'], best['high'])}"
    if len(chosen) == 1:
        return Verdict(name, False, f"The {metric.label} of {name} is {size}", [])
    rows = against(comparison.differences.filter(metric=metric.name), name)
    rows = rows.filter(pl.col("other").is_in(chosen))
    unclear = [
        str(row["other"])
        for row in rows.iter_rows(named=True)
        if row["difference"] is not None and not clear(row)
    ]
    text = (
        f"{name} is not clearly ahead of {listed(unclear)} in {metric.label}: {size}"
        if unclear
        else f"{name} has the {metric.best}: {size}"
    )
    counts = dict(comparison.means.filter(metric=metric.name).select("planner", "n").rows())
    seeds = comparison.runs["seed"].n_unique()
    details = []
    for other in chosen:
        lacks = f"{other} has no value on {seeds - counts.get(other, 0)} of {seeds} seeds, so it "
        lacks = f"{lacks}ranks lower. " * (counts.get(other, 0) < best["n"])
        found = rows.filter(other=other).iter_rows(named=True)
        details += [f"{lacks}{_detail(metric, row, seeds)}" for row in found]
    sure = bool(rows.height) and all(map(clear, rows.iter_rows(named=True)))
    return Verdict(name, sure, text, details)


def _detail(metric: Metric, row: dict[str, Any], seeds: int) -> str:
    if row["difference"] is None:
        return f"{row['other']}: there is no seed in which both have a value."
    sign, more = (1, "more") if row["difference"] >= 0 else (-1, "less")
    low, high = row["low"], row["high"]
    if sign < 0 and low is not None:
        low, high = -high, -low
    size = f"{number(abs(row['difference']))}{_after(low, high)}{_unit(metric)}"
    # The ratio is a geometric mean and the difference an arithmetic one, so they can disagree.
    agree = row["ratio"] is not None and (row["ratio"] - 1) * row["difference"] >= 0
    asides = [f"{row['ratio']:.3g} times as much"] if agree else []
    if row["low"] is None:
        asides.append("on one seed")
    else:
        asides.append(p_value(row["p_holm"]))
        if row["n"] != seeds:
            asides.append(f"over the {row['n']} of {seeds} seeds in which both have a value")
    unclear = row["low"] is not None and not clear(row)
    verdict = "No clear difference: " if unclear else ""
    return f"{verdict}{size} {more} than {row['other']} ({', '.join(asides)})."


def clear(row: dict[str, Any]) -> bool:
    """Return whether a difference's interval excludes 0 and its adjusted p-value is below 0.05."""
    low, high, p = row["low"], row["high"], row["p_holm"]
    return p is not None and p < 1 - CONFIDENCE and (low > 0 or high < 0)


def _certainty(analysis: Analysis) -> str:
    """Return sentences that explain the intervals and the tests."""
    counts = analysis.sweep.finished.group_by("setting", "planner").len()["len"].to_list()
    least, most = min(counts), max(counts)
    if most == 1:
        alone = analysis.sweep.finished.height == 1
        return (
            f"There is only one {'finished run' if alone else 'seed per planner and setting'}, so "
            "there are no intervals, and another seed may give another result. Add seeds, such as "
            "seed=0,1,2,3,4."
        )
    seeds = f"{least} to {most}" if least != most else f"{most}"
    text = f"Intervals are 95 % intervals by Student's t over {seeds} seeds."
    if analysis.differences.height:
        text += (
            " A difference is clear if its interval excludes 0 and its p-value is below 0.05. The "
            "p-value is that of the paired t-test, adjusted for all pairs by Holm's procedure"
        )
        several = len(analysis.comparisons) > 1
        text += ", within each setting and not over settings." if several else "."
    return text


def _unit(metric: Metric) -> str:
    return f" {metric.unit}" if metric.unit else ""


def _after(low: float | None, high: float | None) -> str:
    """Return a space and the interval, to be appended to a number; empty if an end is None."""
    text = interval(low, high)
    return f" {text}" if text else ""
