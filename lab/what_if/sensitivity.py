"""Ranks assumptions by their effect on an answer; each is varied alone, on the same seeds.

The answer is a planner's metric, or that metric minus another planner's. An effect is a paired
difference. A sweep over two keys shows how they interact.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lab.analysis.paired import Interval
from lab.analysis.statistics import CONFIDENCE, estimate, holm, of_difference
from lab.common.metrics import ANY, GOODPUT, ValueRange
from lab.what_if.question import Varied, missing_in_words

FACTORS: Mapping[str, tuple[float, float]] = {
    "workload.rate": (0.8, 1.25),
    "workload.lifetime_mean_s": (0.5, 2.0),
    "application.requests_per_s": (0.8, 1.25),
    "network.backhaul_bps": (0.5, 2.0),
    "cluster.load_bytes_per_s": (0.5, 2.0),
    "planner.budget_s": (0.5, 2.0),
    "cluster.profiling.workers": (0.5, 2.0),
    "cluster.profiling.count": (0.5, 2.0),
}
"""Assumptions that are varied by default, with the factors for their low and high values."""

COUNTS = ("cluster.profiling.workers", "cluster.profiling.lanes", "cluster.profiling.count")
"""Assumptions of `FACTORS` that must be whole numbers; the others can also be fractions."""

VALUES: Mapping[str, tuple[float, float]] = {
    "cluster.max_utilisation": (0.7, 0.9),
    "cluster.profiling.feature_correlation": (0.7, 0.95),
    "cluster.profiling.least_search_rounds": (0, 5),
    "application.accuracy.rank_correlation": (0.7, 1.0),
    "cluster.cloud_boot_s": (25.0, 164.0),
    "cluster.mig_create_s": (0.2, 66.0),
    "cluster.service_cv": (0.0, 0.1),
    "cluster.speed_log_sd": (0.0, 0.1),
}
"""Assumptions that are varied by default, with their low and high values."""


@dataclass(frozen=True)
class Effect:
    """The effect of one setting on the answer."""

    key: str
    value: str
    base: str  # value of the key in the base
    difference: Interval  # the answer minus that of the base, with its 95 % interval
    p: float | None  # p-value of the paired t-test; `adjusted` corrects it for many settings
    seeds: int  # number of seeds with both answers
    left_out: int = 0  # number of seeds that lack an answer

    @property
    def unknown(self) -> bool:
        """Whether the difference is unknown, because missing answers count as late."""
        return self.difference[0] is None and self.left_out > 0

    @property
    def size(self) -> float:
        """Absolute difference; 0 if no seed has a value, infinite if it is unknown."""
        return inf if self.unknown else abs(self.difference[0] or 0.0)

    @property
    def sure(self) -> bool:
        """Whether the difference is significant by its p-value."""
        return self.p is not None and self.p < 1 - CONFIDENCE


def assumptions(config: DictConfig) -> list[Varied]:
    """Return those assumptions of `FACTORS` and `VALUES` that a configuration has."""
    found = []
    for key, factors in FACTORS.items():
        base = OmegaConf.select(config, key)
        if isinstance(base, int | float) and not isinstance(base, bool):
            whole = key in COUNTS
            values = [max(1, round(base * each)) if whole else base * each for each in factors]
            texts = [f"{value}" if whole else f"{value:.6g}" for value in values]
            found.append(Varied(key, tuple(dict.fromkeys(texts))))
    for key, ends in VALUES.items():
        if OmegaConf.select(config, key) is not None:
            found.append(Varied(key, tuple(f"{value:g}" for value in ends)))
    return found


def answers(
    rows: Sequence[Mapping[str, Any]], against: Sequence[Mapping[str, Any]] | None, metric: str
) -> list[dict[str, Any]]:
    """Return the metric, or its difference from the other planner's, by seed; None if missing."""
    if against is None:
        return [{"seed": row["seed"], "answer": row.get(metric)} for row in rows]
    others = {row["seed"]: row.get(metric) for row in against}
    found = []
    for row in rows:
        ours, theirs = row.get(metric), others.get(row["seed"])
        answer = None if ours is None or theirs is None else ours - theirs
        found.append({"seed": row["seed"], "answer": answer})
    return found


def effect(
    key: str,
    value: str,
    base_value: Any,
    base: Sequence[Mapping[str, Any]],
    other: Sequence[Mapping[str, Any]],
    within: ValueRange = ANY,
    late: bool = False,
) -> Effect:
    """Return the effect of a setting from `answers` of the base and of the setting (`other`).

    Seeds that lack an answer are left out. If any is left out and missing answers count as `late`,
    the difference is None.
    """
    theirs = {row["seed"]: row["answer"] for row in other}
    both = [(row["answer"], theirs.get(row["seed"])) for row in base]
    pairs = np.array([pair for pair in both if None not in pair], dtype=float).reshape(-1, 2)
    shown = f"{base_value}"
    if isinstance(base_value, float):
        shown = f"{base_value:g}"
        with suppress(ValueError):  # The value can be null.
            value = f"{float(value):g}"
    left_out = len(base) - len(pairs)
    if late and left_out:
        return Effect(key, value, shown, (None, None, None), None, len(pairs), left_out)
    scale = float(np.abs(pairs).max(initial=0.0))
    found = estimate(pairs[:, 1] - pairs[:, 0], scale, of_difference(within))
    interval = found.mean, found.low, found.high
    return Effect(key, value, shown, interval, found.p, len(pairs), left_out)


def adjusted(effects: Sequence[Effect]) -> list[Effect]:
    """Return effects with p-values adjusted for their number by Holm's procedure."""
    ps = holm([each.p for each in effects])
    return [replace(each, p=p) for each, p in zip(effects, ps, strict=True)]


def largest_first(effects: Sequence[Effect]) -> list[Effect]:
    """Sort effects by the largest effect of their key; effects of one key stay together."""
    largest: dict[str, float] = {}
    for each in effects:
        largest[each.key] = max(largest.get(each.key, 0.0), each.size)
    return sorted(effects, key=lambda each: (-largest[each.key], each.key))


def conclusion(effects: Sequence[Effect], metric: str = "") -> str:
    """Return a sentence on the assumption with the largest effect, the first one in `effects`."""
    first = effects[0]
    sure = any(each.sure for each in effects if each.key == first.key)
    alone = all(each.key == first.key for each in effects)
    if alone and sure:
        return f"{first.key} changes the answer"
    for each in effects:
        if each.unknown:
            lacks = missing_in_words(metric, each.left_out, each.left_out + each.seeds)
            return (
                f"no conclusion: {lacks}, with {each.key}={each.value} or in the base; choose a "
                f"metric that all seeds have, such as {GOODPUT.name}"
            )
    if alone:
        return f"no effect of {first.key} on the answer is shown; more --seeds may show one"
    if not first.size:
        return "no effect on the answer is shown; more --seeds may show one"
    chance = "" if sure else ", but by its p-value that may be chance; try more --seeds"
    return f"{first.key} has the largest effect{chance}"
