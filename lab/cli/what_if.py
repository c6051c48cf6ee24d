"""The tools ``capacity`` and ``sensitivity`` of ``compass-lab``: what-if questions."""

import argparse
from collections.abc import Collection, Mapping, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lab.analysis.paired import mean_interval
from lab.analysis.statistics import of_difference
from lab.common.console import say
from lab.common.errors import InputError
from lab.common.formatting import probability
from lab.common.metrics import ValueRange, range_of
from lab.config.environment import literal
from lab.config.overrides import overrides_of, question_of
from lab.reporting.markdown import estimated
from lab.what_if.capacity import (
    Candidate,
    CandidateVerdict,
    Tried,
    as_overrides,
    best,
    bound_confidence,
    cheapest,
    combinations,
    looks,
    machines,
    never_worse,
    planner_in_words,
    search,
    useless_counts,
)
from lab.what_if.question import (
    Files,
    Varied,
    all_varied,
    check_metric,
    check_target,
    check_tier,
    in_words,
    low_and_high,
    missing_in_words,
    null_is_late,
    planner_of,
    titled,
)
from lab.what_if.runs import Runs, check_seedless
from lab.what_if.sensitivity import (
    Effect,
    adjusted,
    answers,
    assumptions,
    conclusion,
    effect,
    largest_first,
)

OK, FAILED = 0, 1
MOST_PRINTED = 20
"""Largest number of combinations that are printed."""


def capacity(options: argparse.Namespace) -> int:
    """Search for the cheapest machines, print the answer, and return the exit status."""
    overrides = overrides_of(options)
    check_seedless([*overrides, *options.vary])
    check_metric(options.metric)
    sign, option, target = 1.0, "--at-least", options.at_least
    if options.at_most is not None:
        sign, option, target = -1.0, "--at-most", options.at_most
    check_target(option, target, options.metric)
    if not 0.5 <= options.confidence < 1:
        raise InputError(f"--confidence {options.confidence}: must be 0.5 or more and below 1")
    if options.seeds < 3:
        raise InputError(f"--seeds {options.seeds}: must be 3 or more, for an interval")
    keys = all_varied("--vary", options.vary)
    runs = Runs(overrides, options.out, options.jobs)
    low, high = range_of(options.metric)
    every, planners = combinations(runs, keys, options.metric)
    planner = planner_in_words(keys, planners)

    def measure(candidate: Candidate, seeds: Any) -> list[float]:
        [rows] = runs.make([as_overrides(candidate.settings)], list(seeds))
        missing = [row["seed"] for row in rows if row.get(options.metric) is None]
        if missing and null_is_late(options.metric) and sign < 0:
            return [-inf] * len(rows)  # Too few queries were served for a median.
        if missing:
            raise InputError(
                f"--metric {options.metric}: has no value on seed {missing[0]} with "
                f"{in_words(candidate.settings)}; choose another metric"
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
    say(f"Which machines have {claim}, planned by {planner}?\n")
    by_price = sorted(tried, key=lambda each: each.candidate.usd_per_hour)
    _print_tried(by_price, sign, options)
    effort = ["--confidence", f"{options.confidence}", "--seeds", f"{options.seeds}"]
    files = Files(
        options.out,
        f"capacity_{options.metric}_{relation.replace('-', '_')}_{target:g}",
        [*question_of("capacity", options), option, f"{target}", *effort],
    )
    title = titled(f"Which machines have {claim}, planned by {planner}?", options.overrides)
    _draw_tried(tried, sign, target, title, options, files.figure)
    files.write_table(_tried_rows(by_price, sign, planners))
    least = cheapest(tried)
    if least is None:
        say(
            f"no combination of {len(every)} is shown to have {claim}, planned by {planner}; "
            f"{_advice(tried, sign, machines(keys))}"
        )
        return FAILED
    cheaper = [
        each
        for each in tried
        if each.verdict == CandidateVerdict.OPEN
        and each.candidate.usd_per_hour < least.candidate.usd_per_hour
    ]
    if cheaper:
        say(
            f"{len(cheaper)} cheaper combinations are undecided on {options.seeds} seeds; "
            "more --seeds may decide them"
        )
    settings = in_words(least.candidate.settings)
    say(
        f"cheapest combination shown to suffice, planned by {planners[settings]}: {settings}, "
        f"${least.candidate.usd_per_hour:.2f} per hour with all machines rented: {claim}, "
        f"with {100 * options.confidence:g} % confidence (for this combination alone) on "
        f"{len(least.values)} seeds ({len(tried)} of {len(every)} combinations simulated)"
    )
    return OK


def _advice(tried: list[Tried], sign: float, counts: Collection[str]) -> str:
    """Return advice on what to try next if no combination was shown to reach the target."""
    top, advice = best(tried, counts), []
    if isfinite(top.mean):
        settings = in_words(top.candidate.settings)
        advice = [f"the best one simulated has {sign * top.mean:.4g}, {settings}"]
    if any(each.verdict == CandidateVerdict.OPEN for each in tried):
        advice.append("more --seeds may decide the undecided ones")
    if isfinite(top.mean) and (keys := useless_counts(tried, top, counts)):
        advice.append(f"more of {' and '.join(keys)} was no better; vary something else")
    else:
        advice.append("try larger values, or vary something else")
    return "; ".join(advice)


def _bounds_in_words(options: argparse.Namespace) -> str:
    """Return a text that names the bounds of a mean and their confidence."""
    wrong = 100 * (1 - bound_confidence(options.confidence, options.seeds))
    return f"one-sided {100 - float(f'{wrong:.2g}'):.6g} % bounds"


def _print_tried(tried: list[Tried], sign: float, options: argparse.Namespace) -> None:
    count = len(looks(options.seeds))
    mean = f"mean [{_bounds_in_words(options)} for {count} look{'s' * (count != 1)}]"
    say(f"{'$/hour':>8}  {'seeds':>5}  {mean}  verdict    settings")
    for each in tried[:MOST_PRINTED]:
        low, high = sorted((sign * each.low, sign * each.high))
        value = f"{sign * each.mean:.4g} [{low:.4g}, {high:.4g}]"
        say(
            f"{each.candidate.usd_per_hour:8.2f}  {len(each.values):5}  {value:>{len(mean)}}  "
            f"{each.verdict:<9}  {in_words(each.candidate.settings)}"
        )
    if len(tried) > MOST_PRINTED:
        say(f"... and {len(tried) - MOST_PRINTED} more")


def _tried_rows(
    tried: list[Tried], sign: float, planners: Mapping[str, str]
) -> list[dict[str, Any]]:
    return [
        {
            "planner": planners[in_words(each.candidate.settings)],
            **each.candidate.settings,
            "usd_per_hour": each.candidate.usd_per_hour,
            "seeds": len(each.values),
            "mean": sign * each.mean,
            "low": min(sign * each.low, sign * each.high),
            "high": max(sign * each.low, sign * each.high),
            "verdict": each.verdict.value,
        }
        for each in tried
    ]


def _draw_tried(
    tried: list[Tried],
    sign: float,
    target: float,
    title: str,
    options: argparse.Namespace,
    path: Path,
) -> None:
    from lab.reporting.plotting import canvas as figures

    figure, panels = figures.canvas(1, 1, 3.9)
    axes = panels[0][0]
    colors = figures.palette([each.value for each in CandidateVerdict])
    for verdict in CandidateVerdict:
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
        xlabel="price of all machines ($/hour)",
        ylabel=f"{options.metric}: mean and\n{_bounds_in_words(options)}",
    )
    figure.suptitle(title, parse_math=False)  # Overrides may contain dollar signs.
    figures.legend_below(figure, axes)
    figures.save(figure, path)


def sensitivity(options: argparse.Namespace) -> int:
    """Simulate all settings, print their effects by rank, and return the exit status."""
    overrides, metric = overrides_of(options), str(options.metric)
    check_seedless(overrides)
    check_metric(metric)
    if options.seeds < 2:
        raise InputError(f"--seeds {options.seeds}: must be 2 or more, for an interval")
    if options.against is not None and not options.against.startswith("planner"):
        raise InputError(f"--against {options.against}: write planner=NAME")
    check_seedless(options.vary)
    runs = Runs(overrides, options.out, options.jobs)
    config = runs.check(())
    check_tier(metric, runs.setup(())[0].scenario().tiers)
    asked = [low_and_high("--vary", text) for text in options.vary]
    against = () if options.against is None else (options.against,)
    written: Any = literal(runs.setup(())[0].saved)
    keys = _shared(runs, config, asked or assumptions(written), options.against, bool(asked))
    varied = _values_to_try(runs, config, keys, against, bool(asked))
    settings: list[tuple[str, ...]] = [(), *((f"{key}={value}",) for key, value in varied)]
    seeds = range(options.seeds)
    pairs = [*settings, *((*each, *against) for each in settings if against)]
    rows = runs.make(pairs, seeds)
    ours, others = rows[: len(settings)], rows[len(settings) :]
    found = [answers(each, others[at] if against else None, metric) for at, each in enumerate(ours)]
    base = found[0]
    if not len(_known(base)):
        raise InputError(
            f"--metric {metric}: has no value on any of {options.seeds} seeds in the base; "
            "choose another metric"
        )
    whole = range_of(metric)
    within = of_difference(whole) if against else whole
    effects = [
        effect(key, value, OmegaConf.select(written, key), base, its, within, null_is_late(metric))
        for (key, value), its in zip(varied, found[1:], strict=True)
    ]
    effects = largest_first(adjusted(effects))
    planner = planner_of(*runs.setup(()))
    minus = f", minus that of {options.against}" if against else ""
    answer = f"{metric} of {planner}{minus}"
    _print_effects(effects, answer, base, within, metric)
    asked_against = [] if options.against is None else ["--against", options.against]
    words = [*question_of("sensitivity", options), *asked_against, "--seeds", f"{options.seeds}"]
    files = Files(options.out, f"sensitivity_{metric}", words)
    title = titled(f"What affects {answer}?", options.overrides)
    _draw_effects(effects, metric + minus, title, files.figure)
    files.write_table([_effect_row(each, planner) for each in effects])
    if effects:
        say(conclusion(effects, metric))
    return OK


def _shared(
    runs: Runs, base: DictConfig, keys: list[Varied], against: str | None, strict: bool
) -> list[Varied]:
    """Return the keys that the other planner has, and print the rest; if `strict`, return all."""
    if against is None:
        return keys
    theirs = runs.check((against,))
    if theirs == base:
        raise InputError(f"--against {against}: is the planner of the base; name another")
    if strict:
        return keys
    shared = [each for each in keys if OmegaConf.select(theirs, each.key) is not None]
    for each in keys:
        if each not in shared:
            say(f"{each.key} is left out: {against} does not have it")
    return shared


def _values_to_try(
    runs: Runs,
    base: DictConfig,
    keys: list[Varied],
    against: tuple[str, ...],
    strict: bool,
) -> list[tuple[str, str]]:
    """Return keys with values other than the base's; if `strict`, raise for an invalid value."""
    found = []
    for key, value in [(each.key, value) for each in keys for value in each.values]:
        setting = f"{key}={value}"
        try:
            config = runs.check((setting,))
            if against:
                runs.check((setting, *against))
        except InputError as error:
            if strict:
                raise
            say(f"{setting} is left out: {error}")
            continue
        if config == base:
            say(f"{setting} is the same as the base, so it is not simulated again")
        else:
            found.append((key, value))
    return found


def _effect_row(effect: Effect, planner: str) -> dict[str, Any]:
    middle, low, high = effect.difference
    return {
        "planner": planner,
        "assumption": effect.key,
        "base": effect.base,
        "set_to": effect.value,
        "seeds": effect.seeds,
        "seeds_left_out": effect.left_out,
        "change": middle,
        "low": low,
        "high": high,
        "p_holm": effect.p,
    }


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return inf


def _known(rows: Any) -> Any:
    return np.array([row["answer"] for row in rows if row["answer"] is not None])


def _print_effects(
    effects: list[Effect], answer: str, base: Sequence[Any], within: ValueRange, metric: str
) -> None:
    known = _known(base)
    of_base = [estimated(*mean_interval(known, within))]
    if len(known) < len(base):
        lacks = missing_in_words(metric, len(base) - len(known), len(base))
        of_base = [lacks] if null_is_late(metric) else [*of_base, lacks]
    width = max((len(each.key) for each in effects), default=10)
    say(f"base: {answer}: {'; '.join(of_base)}\n")
    say(
        f"{'assumption':<{width}}  {'base':>10}  {'set to':>10}  {'seeds':>5}  {'p':>6}  "
        "change of the answer [95 % interval]"
    )
    for each in effects:
        mark = "" if each.sure else "  (not significant)"
        change = f"{estimated(*each.difference)}{mark}"
        if each.unknown:
            seeds = each.left_out + each.seeds
            change = f"unknown: {missing_in_words(metric, each.left_out, seeds)}"
        say(
            f"{each.key:<{width}}  {each.base:>10}  {each.value:>10}  {each.seeds:>5}  "
            f"{probability(each.p):>6}  {change}"
        )


def _draw_effects(effects: list[Effect], answer: str, title: str, path: Path) -> None:
    """Draw the effects as a tornado diagram: a row for each key, the largest effect on top."""
    from lab.reporting.plotting import canvas as figures

    keys = list(dict.fromkeys(each.key for each in effects))
    labels = [
        f"{key}\n" + ", ".join(each.value for each in effects if each.key == key) for key in keys
    ]
    figure, panels = figures.canvas(1, 1, 1.9 + 0.5 * max(1, len(keys)))
    axes = panels[0][0]
    colors = figures.palette(["lower", "higher"])
    for row, key in enumerate(keys):
        of_key = [each for each in effects if each.key == key]
        for place, each in enumerate(of_key):
            middle, low, high = each.difference
            if middle is None:
                continue
            y = row + 0.14 * (place - (len(of_key) - 1) / 2)
            color = colors["lower" if _number(each.value) < _number(each.base) else "higher"]
            axes.barh(y, middle, height=0.24, color=color, alpha=0.75)
            if low is not None and high is not None:
                axes.plot([low, high], [y, y], color="0.2", lw=1)
    for name, color in colors.items():
        axes.plot([], [], lw=6, color=color, alpha=0.75, label=f"{name} value")
    axes.axvline(0, color="0.35", lw=1)
    axes.set(
        yticks=range(len(keys)),
        yticklabels=labels,
        xlabel=f"change of {answer}\n(lines: 95 % intervals)",
    )
    figure.suptitle(title, parse_math=False)  # Overrides may contain dollar signs.
    axes.margins(x=0.15)
    axes.invert_yaxis()
    figures.legend_below(figure, axes)
    figures.save(figure, path)
