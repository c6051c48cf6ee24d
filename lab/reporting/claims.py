"""The results of a sweep in sentences: which planner is best, by how much, and how certain."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from lab.analysis.statistics import CONFIDENCE
from lab.analysis.sweep_analysis import Analysis, against, planners_of
from lab.common.formatting import count, interval, listed, number, p_value
from lab.common.metrics import CLAIMED, Metric

MOST_NAMED = 4


@dataclass(frozen=True)
class Claim:
    """A sentence and its details."""

    text: str
    # Sentences on each other planner and on single settings.
    details: list[str] = field(default_factory=list)


def rivals(analysis: Analysis) -> list[str]:
    """Return the planners that compete; those that see the truth are only bounds."""
    done = analysis.sweep.finished
    truth = set(done.filter("planner_sees_truth")["planner"])
    here = set(done["planner"])
    return [one for one in planners_of(analysis.sweep) if one in here and one not in truth]


def leader(analysis: Analysis, metric: Metric) -> str | None:
    """Return the planner with the best mean, over all settings if there are several."""
    if analysis.overall is None:
        return None
    found = best_of(analysis.overall.means, metric, rivals(analysis))
    return None if found is None else str(found["planner"])


def best_of(means: pl.DataFrame, metric: Metric, planners: list[str]) -> dict[str, Any] | None:
    """Return the row with the best mean among the planners with the most seeds; None if empty."""
    rows = means.filter(pl.col("planner").is_in(planners), metric=metric.name).drop_nulls("mean")
    rows = rows.filter(pl.col("n") == pl.col("n").max())
    if rows.is_empty():
        return None
    order = rows.sort("mean", descending=bool(metric.more_is_better), maintain_order=True)
    return order.row(0, named=True)


def claims(analysis: Analysis) -> Iterator[Claim]:
    """Yield the results, the most important first."""
    chosen = rivals(analysis)
    done = analysis.sweep.finished
    if done.is_empty():
        yield Claim("No run has finished, so there is nothing to compare yet.")
        return
    if len(chosen) == 1:
        yield Claim(f"There is only one planner, {chosen[0]}, so nothing is compared.")
    yield from _incomplete(analysis)
    for metric in CLAIMED:
        if chosen and analysis.overall is not None:
            yield from _claim(analysis, metric, chosen)
    others = set(done["planner"]) - set(chosen)
    if bounds := [name for name in planners_of(analysis.sweep) if name in others]:
        yield Claim(
            f"{listed(bounds)} {'sees' if len(bounds) == 1 else 'see'} the truth, which no "
            "deployed planner could, so this is a bound and does not compete."
        )
    yield Claim(_certainty(analysis))


def _incomplete(analysis: Analysis) -> Iterator[Claim]:
    """Yield a claim on seeds that not all planners finished, with the seeds that each lacks."""
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
    if analysis.overall is None:
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
    """Return a number of seeds in words, or of pairs of setting and seed for several settings."""
    return f"{count(number, 'pair')} of setting and seed" if several else count(number, "seed")


def _seeds(seeds: list[int]) -> str:
    named = [str(seed) for seed in seeds[:MOST_NAMED]]
    more = len(seeds) - len(named)
    text = f"{', '.join(named)} and {more:,} more" if more else listed(named)
    return f"seed{'s' * (len(seeds) != 1)} {text}"


def _claim(analysis: Analysis, metric: Metric, chosen: list[str]) -> Iterator[Claim]:
    """Yield the claim on one metric."""
    overall = analysis.overall
    assert overall is not None
    best = best_of(overall.means, metric, chosen)
    if best is None:
        yield Claim(f"The {metric.label} has no value in any run.")
        return
    name = str(best["planner"])
    where = ""
    several = len(analysis.comparisons) > 1
    if several and len(chosen) == 1:
        where = ", over all settings"
    elif several or analysis.pooled_runs < analysis.seeds:
        where = f", over the {_cells(analysis.pooled_runs, several)} that all finished"
    size = f"{number(best['mean'])}{_unit(metric)}{_after(best['low'], best['high'])}"
    if len(chosen) == 1:
        yield Claim(f"The {metric.label} of {name} is {size}{where}.")
        return
    details = []
    rows = against(overall.differences.filter(metric=metric.name), name)
    rows = rows.filter(pl.col("other").is_in(chosen))
    unclear = [
        str(row["other"])
        for row in rows.iter_rows(named=True)
        if row["difference"] is not None and not clear(row)
    ]
    text = (
        f"{name} is not clearly ahead of {listed(unclear)} in {metric.label}: {size}{where}."
        if unclear
        else f"{name} has the {metric.best}: {size}{where}."
    )
    counts = dict(overall.means.filter(metric=metric.name).select("planner", "n").rows())
    seeds = overall.runs["seed"].n_unique()
    for other in chosen:
        for row in rows.filter(other=other).iter_rows(named=True):
            lacks = ""
            if counts[other] < best["n"]:
                # A seed has a value only if all of its settings have one.
                lacks = f"{other} has no value{' in at least one setting' * several} on "
                lacks += f"{seeds - counts[other]} of {seeds} seeds, so it ranks lower. "
            details.append(f"{lacks}{_detail(metric, row, seeds, several)}")
    if several:
        details.append(_by_setting(analysis, metric, name, chosen))
    yield Claim(text, details)


def _detail(metric: Metric, row: dict[str, Any], seeds: int, several: bool) -> str:
    """Return a sentence on the difference between two planners, over all settings or in one."""
    both = f"in which both have a value{' in every setting' * several}"
    if row["difference"] is None:
        return f"{row['other']}: there is no seed {both}."
    sign, more = (1, "more") if row["difference"] >= 0 else (-1, "less")
    low, high = row["low"], row["high"]
    if sign < 0 and low is not None:
        low, high = -high, -low
    size = f"{number(abs(row['difference']))}{_after(low, high)}{_unit(metric)}"
    # The ratio is a geometric mean and the difference an arithmetic one, so they may disagree.
    agree = row["ratio"] is not None and (row["ratio"] - 1) * row["difference"] >= 0
    asides = [f"{row['ratio']:.3g} times as much"] if agree else []
    if row["low"] is None:
        asides.append("on one seed")
    else:
        asides.append(p_value(row["p_holm"]))
        if row["n"] != seeds:
            asides.append(f"over the {row['n']} of {seeds} seeds {both}")
    unclear = row["low"] is not None and not clear(row)
    verdict = "No clear difference: " if unclear else ""
    return f"{verdict}{size} {more} than {row['other']} ({', '.join(asides)})."


def clear(row: dict[str, Any]) -> bool:
    """Return whether the interval excludes 0 and the adjusted p is below 0.05."""
    low, high, p = row["low"], row["high"], row["p_holm"]
    return p is not None and p < 1 - CONFIDENCE and (low > 0 or high < 0)


def _by_setting(analysis: Analysis, metric: Metric, name: str, chosen: list[str]) -> str:
    """Return a sentence on who is best in how many of the settings that every planner finished."""
    leaders: dict[str, list[str]] = {}
    ahead = 0
    short = dict(analysis.sweep.settings.select("setting", "short").rows())
    for setting, comparison in analysis.alike.items():
        best = best_of(comparison.means, metric, chosen)
        if best is None or not set(chosen) <= set(comparison.runs["planner"]):
            continue
        leaders.setdefault(str(best["planner"]), []).append(short[setting])
        if best["planner"] == name:
            rows = against(comparison.differences.filter(metric=metric.name), name)
            rows = rows.filter(pl.col("other").is_in(chosen))
            ahead += bool(rows.height) and all(map(clear, rows.iter_rows(named=True)))
    judged = sum(map(len, leaders.values()))
    ours = len(leaders.pop(name, []))
    text = f"By setting: best in {ours} of {judged}, clearly ahead of all others in {ahead}"
    for other, settings in leaders.items():
        some = "; ".join(settings[:MOST_NAMED])
        some += " and others" if len(settings) > MOST_NAMED else ""
        text += f". {other} is best in {len(settings)} ({some})"
    return f"{text}."


def _certainty(analysis: Analysis) -> str:
    """Return sentences on the intervals and tests."""
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
    """Return an interval as it follows a number; empty if there is none."""
    text = interval(low, high)
    return f" {text}" if text else ""
