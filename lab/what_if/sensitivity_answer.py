"""The question which assumptions affect an answer, and the effects that simulations show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lab.analysis.paired import Interval, mean_interval
from lab.analysis.statistics import of_difference
from lab.common.errors import InputError
from lab.common.metrics import ValueRange, range_of
from lab.config.environment import literal
from lab.run_cache.jobs import Row
from lab.what_if.question import (
    Varied,
    check_metric,
    check_tier,
    low_and_high,
    null_is_late,
    planner_of,
)
from lab.what_if.runs import Runs, check_seedless, label
from lab.what_if.sensitivity import (
    Effect,
    adjusted,
    answers,
    assumptions,
    effect,
    largest_first,
)

Say = Callable[[str], Any]


@dataclass(frozen=True)
class Question:
    """What is asked.

    Args:
        metric: a number of the summary.
        vary: texts ``KEY=LOW,HIGH``; if there are none, the default assumptions are varied.
        against: ``planner=NAME``; the answer is then the difference from that planner.
        seeds: number of seeds.
    """

    metric: str
    vary: Sequence[str] = ()
    against: str | None = None
    seeds: int = 5

    @property
    def within(self) -> ValueRange:
        """The range of the answer."""
        whole = range_of(self.metric)
        return whole if self.against is None else of_difference(whole)

    def check(self) -> None:
        """Raise InputError if a value is wrong."""
        check_metric(self.metric)
        if self.seeds < 2:
            raise InputError(f"--seeds {self.seeds}: must be 2 or more, for an interval")
        if self.against is not None and not self.against.startswith("planner"):
            raise InputError(f"--against {self.against}: write planner=NAME")
        check_seedless(self.vary)


@dataclass(frozen=True)
class SensitivityAnswer:
    """What the runs show.

    Args:
        question: what was asked.
        planner: the planner's name.
        base: the answer of the base on each seed.
        effects: those of the changed assumptions, the largest first.
    """

    question: Question
    planner: str
    base: Sequence[Mapping[str, Any]]
    effects: Sequence[Effect]

    @property
    def of(self) -> str:
        """What the answer is, in words."""
        minus = f", minus that of {self.question.against}" if self.question.against else ""
        return f"{self.question.metric} of {self.planner}{minus}"

    @property
    def known(self) -> list[float]:
        """The answer of the base on the seeds that have one."""
        return [row["answer"] for row in self.base if row["answer"] is not None]

    @property
    def of_base(self) -> Interval:
        """The mean of the base's answer, and its 95 % interval."""
        return mean_interval(np.array(self.known, dtype=float), self.question.within)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each effect."""
        return [_effect_row(each, self.planner) for each in self.effects]


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


class Sensitivity:
    """A question about the runs of a base; can raise InputError.

    Args:
        runs: the runs of the base.
        question: what is asked, already checked.
        say: gets a sentence on each assumption that is left out.
    """

    def __init__(self, runs: Runs, question: Question, say: Say) -> None:
        self.runs, self.question = runs, question
        base, setup = runs.check(()), runs.setup(())[0]
        check_tier(question.metric, setup.scenario().tiers)
        asked = [low_and_high(text) for text in question.vary]
        self._against = () if question.against is None else (question.against,)
        written: Any = literal(setup.saved)
        self._written = written
        keys = _shared(runs, base, asked or assumptions(written), question, say)
        self._varied = _values_to_try(runs, base, keys, self._against, bool(asked), say)

    @property
    def settings(self) -> list[tuple[str, ...]]:
        """What is simulated, also for the other planner: the base, and each changed assumption."""
        ours = [(), *((f"{key}={value}",) for key, value in self._varied)]
        return [*ours, *((*each, *self._against) for each in ours if self._against)]

    def answer(self) -> SensitivityAnswer:
        """Make the runs, and return what they show."""
        made = self.runs.make(self.settings, range(self.question.seeds))
        found = self.of_rows(dict(zip(map(label, self.settings), made, strict=True)))
        if not found.known:
            raise InputError(
                f"--metric {self.question.metric}: has no value on any of {self.question.seeds} "
                "seeds in the base; choose another metric"
            )
        return found

    def of_rows(self, rows: Mapping[str, Sequence[Row]]) -> SensitivityAnswer:
        """Return what the rows of runs show, by the labels of settings; some can be missing."""
        metric, within = self.question.metric, self.question.within

        def answers_of(*settings: str) -> list[dict[str, Any]]:
            ours, others = rows.get(label(settings), ()), None
            if self._against:
                others = rows.get(label((*settings, *self._against)), ())
                seeds = {row["seed"] for row in others}
                ours = [row for row in ours if row["seed"] in seeds]
            return answers(ours, others, metric)

        base, effects = answers_of(), []
        for key, value in self._varied:
            theirs = answers_of(f"{key}={value}")
            made = {row["seed"] for row in theirs}
            same = [row for row in base if row["seed"] in made]
            written = OmegaConf.select(self._written, key)
            late = null_is_late(metric)
            if same:
                effects.append(effect(key, value, written, same, theirs, within, late))
        planner = planner_of(*self.runs.setup(()))
        return SensitivityAnswer(self.question, planner, base, largest_first(adjusted(effects)))


def _shared(
    runs: Runs, base: DictConfig, keys: list[Varied], question: Question, say: Say
) -> list[Varied]:
    """Return the keys that the other planner has, and say the rest; all keys if they were asked."""
    against = question.against
    if against is None:
        return keys
    theirs = runs.check((against,))
    if theirs == base:
        raise InputError(f"--against {against}: is the planner of the base; name another")
    if question.vary:
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
    say: Say,
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
