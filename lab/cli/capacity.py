"""The tool ``compass-lab capacity``: the least machines that reach a target."""

import argparse
import sys
from collections.abc import Collection, Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any

from lab.common.console import say
from lab.common.errors import InputError
from lab.common.metrics import range_of
from lab.config.overrides import overrides_of, question_of
from lab.reporting.plotting import canvas as figures
from lab.what_if.capacity import (
    Candidate,
    Tried,
    Verdict,
    as_overrides,
    best,
    bound_confidence,
    cheapest,
    combinations,
    in_vain,
    looks,
    machines,
    never_worse,
    search,
    who_plans,
)
from lab.what_if.question import (
    Files,
    all_varied,
    check_metric,
    check_target,
    in_words,
    null_is_late,
    titled,
)
from lab.what_if.runs import Runs, check_seedless

OK, FAILED = 0, 1
KEPT = 20
"""Rows of what was tried that are printed."""


def capacity(options: argparse.Namespace) -> int:
    """Search, and say what was found; return the exit status."""
    overrides = overrides_of(options)
    check_seedless([*overrides, *options.vary])
    check_metric(options.metric)
    sign, option, target = 1.0, "--at-least", options.at_least
    if options.at_most is not None:
        sign, option, target = -1.0, "--at-most", options.at_most
    check_target(option, target, options.metric)
    if not 0.5 <= options.confidence < 1:
        raise InputError(f"--confidence {options.confidence}: must be 0.5 or more, and below 1")
    if options.seeds < 3:
        raise InputError(f"--seeds {options.seeds}: must be 3 or more, for an interval")
    keys = all_varied("--vary", options.vary)
    runs = Runs(overrides, options.out, options.jobs)
    low, high = range_of(options.metric)
    every, planners = combinations(runs, keys, options.metric)
    planner = who_plans(keys, planners)

    def measure(candidate: Candidate, seeds: Any) -> list[float]:
        [rows] = runs.make([as_overrides(candidate.settings)], list(seeds))
        missing = [row["seed"] for row in rows if row.get(options.metric) is None]
        if missing and null_is_late(options.metric) and sign < 0:
            return [-inf] * len(rows)  # Too few were ever served for it to be known: it is late.
        if missing:
            raise InputError(
                f"--metric {options.metric}: seed {missing[0]} has none at "
                f"{in_words(candidate.settings)}; ask for another metric"
            )
        return [sign * float(row[options.metric]) for row in rows]

    tried = search(
        every,
        never_worse(keys, options.metric, sign > 0),
        measure,
        sign * target,
        options.confidence,
        options.seeds,
        (low, high) if sign > 0 else (-high, -low),
    )
    relation = option[2:]
    claim = f"{options.metric} {relation.replace('-', ' ')} {target:g} on average"
    say(f"{claim}, planned by {planner}?\n")
    by_price = sorted(tried, key=lambda each: each.candidate.usd_per_hour)
    _print_table(by_price, sign, options)
    effort = ["--confidence", f"{options.confidence}", "--seeds", f"{options.seeds}"]
    files = Files(
        options.out,
        f"capacity_{options.metric}_{relation.replace('-', '_')}_{target:g}",
        [*question_of("capacity", options), option, f"{target}", *effort],
    )
    title = titled(f"Which machines have {claim}, planned by {planner}?", options.overrides)
    print(f"figure: {_draw(tried, sign, target, title, options, files.figure)}", file=sys.stderr)
    print(f"table: {files.write_table(_rows(by_price, sign, planners))}", file=sys.stderr)
    least = cheapest(tried)
    if least is None:
        say(
            f"none of {len(every)} combinations is shown to have {claim}, planned by {planner}; "
            f"{_advice(tried, sign, machines(keys))}"
        )
        return FAILED
    cheaper = [
        each
        for each in tried
        if each.verdict == Verdict.OPEN
        and each.candidate.usd_per_hour < least.candidate.usd_per_hour
    ]
    if cheaper:
        say(
            f"{len(cheaper)} cheaper combinations are undecided on {options.seeds} seeds; "
            "more --seeds may tell"
        )
    settings = in_words(least.candidate.settings)
    say(
        f"least that is shown to suffice, planned by {planners[settings]}: {settings}, "
        f"${least.candidate.usd_per_hour:.2f} an hour with all machines rented: {claim}, "
        f"with {100 * options.confidence:g} % confidence (of this combination by itself) on "
        f"{len(least.values)} seeds ({len(tried)} of {len(every)} combinations simulated)"
    )
    return OK


def _advice(tried: list[Tried], sign: float, counts: Collection[str]) -> str:
    """Return what to ask next where nothing is shown to suffice."""
    nearest, advice = best(tried, counts), []
    if isfinite(nearest.mean):
        settings = in_words(nearest.candidate.settings)
        advice = [f"the best of those simulated has {sign * nearest.mean:.4g}, {settings}"]
    if any(each.verdict == Verdict.OPEN for each in tried):
        advice.append("more --seeds may tell of those that are undecided")
    if isfinite(nearest.mean) and (keys := in_vain(tried, nearest, counts)):
        advice.append(f"more of {' and '.join(keys)} did no better, so something else is short")
        return "; ".join([*advice, "vary that"])
    return "; ".join([*advice, "name larger ones, or vary something else"])


def _bounds_in_words(options: argparse.Namespace) -> str:
    """Return what the bounds of a mean are."""
    wrong = 100 * (1 - bound_confidence(options.confidence, options.seeds))
    return f"one-sided {100 - float(f'{wrong:.2g}'):.6g} % bounds"


def _print_table(tried: list[Tried], sign: float, options: argparse.Namespace) -> None:
    count = len(looks(options.seeds))
    mean = f"mean [{_bounds_in_words(options)} for {count} look{'s' * (count != 1)}]"
    say(f"{'$/hour':>8}  {'seeds':>5}  {mean}  verdict    settings")
    for each in tried[:KEPT]:
        low, high = sorted((sign * each.low, sign * each.high))
        value = f"{sign * each.mean:.4g} [{low:.4g}, {high:.4g}]"
        say(
            f"{each.candidate.usd_per_hour:8.2f}  {len(each.values):5}  {value:>{len(mean)}}  "
            f"{each.verdict:<9}  {in_words(each.candidate.settings)}"
        )
    if len(tried) > KEPT:
        say(f"... and {len(tried) - KEPT} more")


def _rows(tried: list[Tried], sign: float, planners: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = []
    for each in tried:
        low, high = sorted((sign * each.low, sign * each.high))
        rows.append(
            {
                "planner": planners[in_words(each.candidate.settings)],
                **each.candidate.settings,
                "usd_per_hour": each.candidate.usd_per_hour,
                "seeds": len(each.values),
                "mean": sign * each.mean,
                "low": low,
                "high": high,
                "verdict": each.verdict.value,
            }
        )
    return rows


def _draw(
    tried: list[Tried],
    sign: float,
    target: float,
    title: str,
    options: argparse.Namespace,
    path: Path,
) -> Path:
    """Draw what was tried by price; return the path of the figure."""
    figure, panels = figures.canvas(1, 1, 3.9)
    axes = panels[0][0]
    colors = figures.palette([each.value for each in Verdict])
    for verdict in Verdict:
        some = [each for each in tried if each.verdict == verdict]
        if not some:
            continue
        for each in some:
            ends = [sign * end for end in (each.low, each.high) if isfinite(end)]
            axes.plot([each.candidate.usd_per_hour] * len(ends), ends, color=colors[verdict])
        axes.plot(
            [each.candidate.usd_per_hour for each in some],
            [sign * each.mean for each in some],
            marker="o",
            ls="none",
            color=colors[verdict],
            label=verdict.value,
        )
    axes.axhline(target, color="0.35", lw=1, ls="--", label="target")
    axes.set(
        xlabel="price of all machines, $/hour",
        ylabel=f"{options.metric}: mean and\n{_bounds_in_words(options)}",
    )
    figure.suptitle(title, parse_math=False)  # Overrides may have signs of dollars.
    figures.legend_below(figure, axes)
    return figures.save(figure, path)
