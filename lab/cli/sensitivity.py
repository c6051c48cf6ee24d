"""The tool ``compass-lab sensitivity``: which assumption moves an answer most."""

import argparse
import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lab.analysis.paired import mean_interval
from lab.analysis.statistics import of_difference
from lab.common.console import say
from lab.common.errors import InputError
from lab.common.formatting import probability
from lab.common.metrics import Range, range_of
from lab.config.overrides import overrides_of, question_of
from lab.reporting.markdown import estimated
from lab.reporting.plotting import canvas as figures
from lab.what_if.question import (
    Files,
    Varied,
    check_metric,
    check_tier,
    lacking,
    low_and_high,
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

OK = 0


def sensitivity(options: argparse.Namespace) -> int:
    """Simulate all settings and order them; return the exit status."""
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
    keys = _shared(runs, config, asked or assumptions(config), options.against, bool(asked))
    named = _others(runs, config, keys, against, bool(asked))
    settings: list[tuple[str, ...]] = [(), *((f"{key}={value}",) for key, value in named)]
    seeds = range(options.seeds)
    pairs = [*settings, *((*each, *against) for each in settings if against)]
    rows = runs.make(pairs, seeds)
    ours, others = rows[: len(settings)], rows[len(settings) :]
    found = [answers(each, others[at] if against else None, metric) for at, each in enumerate(ours)]
    base = found[0]
    if not len(_known(base)):
        raise InputError(
            f"--metric {metric}: has no value on any of {options.seeds} seeds in the base; "
            "ask for another metric"
        )
    whole = range_of(metric)
    within = of_difference(whole) if against else whole
    effects = [
        effect(key, value, OmegaConf.select(config, key), base, its, within, null_is_late(metric))
        for (key, value), its in zip(named, found[1:], strict=True)
    ]
    effects = largest_first(adjusted(effects))
    planner = planner_of(*runs.setup(()))
    above = f", above that of {options.against}" if against else ""
    answer = f"{metric} of {planner}{above}"
    for line in _table(effects, answer, base, within, metric):
        say(line)
    asked_against = [] if options.against is None else ["--against", options.against]
    words = [*question_of("sensitivity", options), *asked_against, "--seeds", f"{options.seeds}"]
    files = Files(options.out, f"sensitivity_{metric}", words)
    title = titled(f"What moves {answer}?", options.overrides)
    print(f"figure: {_draw(effects, metric + above, title, files.figure)}", file=sys.stderr)
    print(f"table: {files.write_table([_row(each, planner) for each in effects])}", file=sys.stderr)
    if effects:
        say(conclusion(effects, metric))
    return OK


def _shared(
    runs: Runs, base: DictConfig, keys: list[Varied], against: str | None, strict: bool
) -> list[Varied]:
    """Return the keys that the other planner's configuration has too; print those it lacks.

    If `strict`, the user named the keys, and a key that it lacks is refused later.
    Raises InputError if the other planner is that of the base.
    """
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
            say(f"{each.key} is left out: {against} has none")
    return shared


def _others(
    runs: Runs,
    base: DictConfig,
    keys: list[Varied],
    against: tuple[str, ...],
    strict: bool,
) -> list[tuple[str, str]]:
    """Return each key with each value that differs from the base, and print those that do not.

    If `strict`, the user named the keys, and InputError is raised for a value that cannot be run;
    otherwise such a value is left out and printed.
    """
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
            say(f"{setting} is the base; it is not simulated again")
        else:
            found.append((key, value))
    return found


def _row(effect: Effect, planner: str) -> dict[str, Any]:
    """Return an effect as a row of a table."""
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
    """Return a value as a number; what is none counts as larger than any."""
    try:
        return float(text)
    except ValueError:
        return inf


def _known(rows: Any) -> Any:
    return np.array([row["answer"] for row in rows if row["answer"] is not None])


def _table(
    effects: list[Effect], answer: str, base: Sequence[Any], within: Range, metric: str
) -> list[str]:
    """Return the answer of the base and the effect of each setting, as lines."""
    known = _known(base)
    of_base = [estimated(*mean_interval(known, within))]
    if len(known) < len(base):
        lacks = lacking(metric, len(base) - len(known), len(base))
        of_base = [lacks] if null_is_late(metric) else [*of_base, lacks]
    width = max((len(each.key) for each in effects), default=10)
    lines = [f"base: {answer}: {'; '.join(of_base)}", ""]
    lines.append(
        f"{'assumption':<{width}}  {'base':>10}  {'set to':>10}  {'seeds':>5}  {'p':>6}  "
        "change of the answer [95 % interval]"
    )
    for each in effects:
        mark = "" if each.sure else "  (may be nothing)"
        change = f"{estimated(*each.difference)}{mark}"
        if each.unknown:
            change = f"unknown: {lacking(metric, each.left_out, each.left_out + each.seeds)}"
        lines.append(
            f"{each.key:<{width}}  {each.base:>10}  {each.value:>10}  {each.seeds:>5}  "
            f"{probability(each.p):>6}  {change}"
        )
    return lines


def _draw(effects: list[Effect], answer: str, title: str, path: Path) -> Path:
    """Draw the effects as a tornado: a line for each key, the largest on top."""
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
    figure.suptitle(title, parse_math=False)  # Overrides may have signs of dollars.
    axes.margins(x=0.15)
    axes.invert_yaxis()
    figures.legend_below(figure, axes)
    return figures.save(figure, path)
