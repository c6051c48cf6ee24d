"""The question which machines are the cheapest that reach a target, and its answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from lab.common.errors import InputError
from lab.common.metrics import range_of
from lab.what_if.capacity import (
    Candidate,
    CandidateVerdict,
    Tried,
    as_overrides,
    best,
    cheapest,
    combinations,
    machines,
    never_worse,
    planner_in_words,
    search,
    useless_counts,
)
from lab.what_if.question import Varied, check_metric, check_target, in_words, null_is_late
from lab.what_if.runs import Runs


@dataclass(frozen=True)
class Target:
    """What the machines must reach.

    Args:
        metric: a number of the summary.
        bound: lowest or highest sufficient mean of the metric, in its unit.
        at_least: whether the bound is the lowest sufficient mean.
        confidence: confidence of each verdict.
        seeds: most seeds for a combination.
    """

    metric: str
    bound: float
    at_least: bool = True
    confidence: float = 0.95
    seeds: int = 20

    @property
    def option(self) -> str:
        """The option of the command that gives the bound."""
        return "--at-least" if self.at_least else "--at-most"

    @property
    def sign(self) -> float:
        """1 if larger values are better, or else -1."""
        return 1.0 if self.at_least else -1.0

    @property
    def claim(self) -> str:
        """The target in words."""
        return f"{self.metric} {self.option[2:].replace('-', ' ')} {self.bound:g} on average"

    def check(self) -> None:
        """Raise InputError if a value is wrong."""
        check_metric(self.metric)
        check_target(self.option, self.bound, self.metric)
        if not 0.5 <= self.confidence < 1:
            raise InputError(f"--confidence {self.confidence}: must be 0.5 or more and below 1")
        if self.seeds < 3:
            raise InputError(f"--seeds {self.seeds}: must be 3 or more, for an interval")


@dataclass(frozen=True)
class CapacityAnswer:
    """Which combinations reach a target.

    Args:
        target: the target; means and bounds in `tried` are those of the metric times its sign.
        keys: the varied keys.
        every: all combinations, the cheapest per hour first.
        planners: each combination's planner, by `in_words` of its settings.
        tried: those that were simulated.
    """

    target: Target
    keys: Sequence[Varied]
    every: Sequence[Candidate]
    planners: Mapping[str, str]
    tried: Sequence[Tried]

    @property
    def planner(self) -> str:
        """The planner, or words for several planners."""
        return planner_in_words(self.keys, self.planners)

    @property
    def by_price(self) -> list[Tried]:
        """The simulated combinations, the cheapest per hour first."""
        return sorted(self.tried, key=lambda each: each.candidate.usd_per_hour)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each simulated combination, the cheapest per hour first."""
        sign = self.target.sign
        return [
            {
                "planner": self.planners[in_words(each.candidate.settings)],
                **each.candidate.settings,
                "usd_per_hour": each.candidate.usd_per_hour,
                "seeds": len(each.values),
                "mean": sign * each.mean,
                "low": min(sign * each.low, sign * each.high),
                "high": max(sign * each.low, sign * each.high),
                "verdict": each.verdict.value,
            }
            for each in self.by_price
        ]

    @property
    def suffices(self) -> bool:
        """Whether a combination is shown to reach the target."""
        return cheapest(self.tried) is not None

    def conclusion(self) -> list[str]:
        """Return the answer in sentences."""
        target, least = self.target, cheapest(self.tried)
        if least is None:
            return [
                f"no combination of {len(self.every)} is shown to have {target.claim}, planned by "
                f"{self.planner}; {self._advice()}"
            ]
        sentences = []
        cheaper = [
            each
            for each in self.tried
            if each.verdict == CandidateVerdict.OPEN
            and each.candidate.usd_per_hour < least.candidate.usd_per_hour
        ]
        if cheaper:
            sentences.append(
                f"{len(cheaper)} cheaper combinations are undecided on {target.seeds} seeds; "
                "more --seeds may decide them"
            )
        settings = in_words(least.candidate.settings)
        return [
            *sentences,
            f"cheapest combination shown to suffice, planned by {self.planners[settings]}: "
            f"{settings}, ${least.candidate.usd_per_hour:.2f} per hour with all machines rented: "
            f"{target.claim}, with {100 * target.confidence:g} % confidence (for this "
            f"combination alone) on {len(least.values)} seeds ({len(self.tried)} of "
            f"{len(self.every)} combinations simulated)",
        ]

    def _advice(self) -> str:
        """Return what to try next if no combination was shown to reach the target."""
        counts = machines(self.keys)
        top, advice = best(self.tried, counts), []
        if isfinite(top.mean):
            settings = in_words(top.candidate.settings)
            mean = self.target.sign * top.mean
            advice = [f"the best one simulated has {mean:.4g}, {settings}"]
        if any(each.verdict == CandidateVerdict.OPEN for each in self.tried):
            advice.append("more --seeds may decide the undecided ones")
        if isfinite(top.mean) and (keys := useless_counts(self.tried, top, counts)):
            advice.append(f"more of {' and '.join(keys)} was no better; vary something else")
        else:
            advice.append("try larger values, or vary something else")
        return "; ".join(advice)


def find_cheapest(
    runs: Runs,
    keys: Sequence[Varied],
    target: Target,
    heard: Callable[[CapacityAnswer], None] = lambda _: None,
) -> CapacityAnswer:
    """Search for the cheapest machines that reach a target; can raise InputError.

    `heard` gets the answer so far whenever a combination was judged.
    """
    metric, sign = target.metric, target.sign
    every, planners = combinations(runs, keys, metric)

    def measure(candidate: Candidate, seeds: Sequence[int]) -> list[float]:
        [rows] = runs.make([as_overrides(candidate.settings)], list(seeds))
        missing = [row["seed"] for row in rows if row.get(metric) is None]
        if missing and null_is_late(metric) and not target.at_least:
            return [-inf] * len(rows)  # Too few queries were served for a median.
        if missing:
            raise InputError(
                f"--metric {metric}: has no value on seed {missing[0]} with "
                f"{in_words(candidate.settings)}; choose another metric"
            )
        return [sign * float(row[metric]) for row in rows]

    low, high = range_of(metric)
    so_far: list[Tried] = []

    def judged(one: Tried) -> None:
        so_far.append(one)
        heard(CapacityAnswer(target, keys, every, planners, tuple(so_far)))

    search(
        every,
        never_worse(keys, metric, target.at_least),
        measure,
        sign * target.bound,
        target.confidence,
        target.seeds,
        (low, high) if target.at_least else (-high, -low),
        judged,
    )
    return CapacityAnswer(target, keys, every, planners, so_far)
