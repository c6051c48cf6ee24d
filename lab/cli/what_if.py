"""The tools ``what-if``, ``capacity`` and ``sensitivity`` of ``compass-lab``."""

import argparse
from collections.abc import Sequence
from math import inf, isfinite
from pathlib import Path

from lab.common.console import say
from lab.common.errors import InputError
from lab.common.formatting import count, probability
from lab.config.overrides import overrides_of, question_of
from lab.reporting.markdown import estimated
from lab.what_if.capacity import CandidateVerdict, bound_confidence, looks
from lab.what_if.capacity_answer import CapacityAnswer, Target, find_cheapest
from lab.what_if.changes import compared, named
from lab.what_if.question import (
    Files,
    all_varied,
    in_words,
    missing_in_words,
    null_is_late,
    planner_of,
    titled,
)
from lab.what_if.runs import Runs, check_seedless
from lab.what_if.sensitivity import Effect, conclusion
from lab.what_if.sensitivity_answer import Question, Sensitivity, SensitivityAnswer

OK, FAILED = 0, 1
MOST_PRINTED = 20
"""Largest number of combinations that are printed."""


def what_if(options: argparse.Namespace) -> int:
    """Compare changed settings with the base on the same seeds, and print the comparison."""
    overrides = overrides_of(options)
    check_seedless([*overrides, *(word for each in options.change for word in each)])
    if options.seeds < 1:
        raise InputError(f"--seeds {options.seeds}: must be 1 or more")
    settings = named(options.change)
    runs = Runs(overrides, options.out, options.jobs)
    comparison = compared(runs, settings, range(options.seeds))
    for name, each in settings.items():
        say(f"{name}: {' '.join(each or overrides) or 'the default configuration'}")
    say(f"planner, unless a change names one: {planner_of(*runs.setup(()))}\n")
    say(comparison.tables())
    return OK


def capacity(options: argparse.Namespace) -> int:
    """Search for the cheapest machines, print the answer, and return the exit status."""
    overrides = overrides_of(options)
    check_seedless([*overrides, *options.vary])
    bound, at_least = options.at_least, options.at_most is None
    if not at_least:
        bound = options.at_most
    target = Target(options.metric, bound, at_least, options.confidence, options.seeds)
    target.check()
    keys = all_varied(options.vary)
    answer = find_cheapest(Runs(overrides, options.out, options.jobs), keys, target)
    question = f"Which machines have {target.claim}, planned by {answer.planner}?"
    say(f"{question}\n")
    _print_tried(answer)
    effort = ["--confidence", f"{options.confidence}", "--seeds", f"{options.seeds}"]
    relation = target.option[2:].replace("-", "_")
    files = Files(
        options.out,
        f"capacity_{options.metric}_{relation}_{bound:g}",
        [*question_of("capacity", options), target.option, f"{bound}", *effort],
    )
    _draw_tried(answer, titled(question, options.overrides), files.figure)
    files.write_table(answer.rows)
    for sentence in answer.conclusion():
        say(sentence)
    return OK if answer.suffices else FAILED


def _bounds_in_words(target: Target) -> str:
    """Return a text that names the bounds of a mean and their confidence."""
    wrong = 100 * (1 - bound_confidence(target.confidence, target.seeds))
    return f"one-sided {100 - float(f'{wrong:.2g}'):.6g} % bounds"


def _print_tried(answer: CapacityAnswer) -> None:
    sign, tried = answer.target.sign, answer.by_price
    for_looks = f"for {count(len(looks(answer.target.seeds)), 'look')}"
    mean = f"mean [{_bounds_in_words(answer.target)} {for_looks}]"
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


def _draw_tried(answer: CapacityAnswer, title: str, path: Path) -> None:
    from lab.reporting.plotting import canvas as figures

    sign = answer.target.sign
    figure, panels = figures.canvas(1, 1, 3.9)
    axes = panels[0][0]
    colors = figures.palette([each.value for each in CandidateVerdict])
    for verdict in CandidateVerdict:
        some = [each for each in answer.tried if each.verdict == verdict]
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
    axes.axhline(answer.target.bound, color="0.35", lw=1, ls="--", label="target")
    axes.set(
        xlabel="price of all machines ($/hour)",
        ylabel=f"{answer.target.metric}: mean and\n{_bounds_in_words(answer.target)}",
    )
    figure.suptitle(title, parse_math=False)  # Overrides may contain dollar signs.
    figures.legend_below(figure, axes)
    figures.save(figure, path)


def sensitivity(options: argparse.Namespace) -> int:
    """Simulate all settings, print their effects by rank, and return the exit status."""
    overrides, metric = overrides_of(options), str(options.metric)
    check_seedless(overrides)
    question = Question(metric, options.vary, options.against, options.seeds)
    question.check()
    answer = Sensitivity(Runs(overrides, options.out, options.jobs), question, say).answer()
    _print_effects(answer)
    against = [] if options.against is None else ["--against", options.against]
    words = [*question_of("sensitivity", options), *against, "--seeds", f"{options.seeds}"]
    files = Files(options.out, f"sensitivity_{metric}", words)
    title = titled(f"What affects {answer.of}?", options.overrides)
    minus = f", minus that of {options.against}" if against else ""
    _draw_effects(answer.effects, metric + minus, title, files.figure)
    files.write_table(answer.rows)
    if answer.effects:
        say(conclusion(answer.effects, metric))
    return OK


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return inf


def _print_effects(answer: SensitivityAnswer) -> None:
    metric, effects, base = answer.question.metric, answer.effects, answer.base
    known = answer.known
    of_base = [estimated(*answer.of_base)]
    if len(known) < len(base):
        lacks = missing_in_words(metric, len(base) - len(known), len(base))
        of_base = [lacks] if null_is_late(metric) else [*of_base, lacks]
    width = max((len(each.key) for each in effects), default=10)
    say(f"base: {answer.of}: {'; '.join(of_base)}\n")
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


def _draw_effects(effects: Sequence[Effect], answer: str, title: str, path: Path) -> None:
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
