"""Graders of notebook 8: tiers of users, and capacity."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from lab.course.forms import numbers, whole
from lab.course.grading import (
    Arguments,
    Exercise,
    Mistake,
    NotYetError,
    Step,
    check_function,
    formed,
)
from scenarios.random_streams import stream


def _crowds(rng: np.random.Generator) -> Iterable[Arguments]:
    """Draw tiers of which some leave a part, again and again: sharing it once is not enough."""
    for rounds in (1, 1, 1, 2, 2):
        while True:
            count = int(rng.integers(rounds + 2, 7))
            demand = [float(each) for each in np.round(rng.uniform(1, 20, count), 1)]
            weight = [float(each) for each in rng.choice([1, 2, 4], count)]
            capacity = round(float(rng.uniform(0.4, 0.85)) * math.fsum(demand), 1)
            crowd = capacity, demand, weight
            if _fair(_shared(rounds, *crowd), *crowd):
                yield crowd
                break


def _by_weight(capacity: float, demand: Sequence[float], weight: Sequence[float]) -> list[float]:
    return [capacity * each / math.fsum(weight) for each in weight]


def _capped(capacity: float, demand: Sequence[float], weight: Sequence[float]) -> list[float]:
    parts = _by_weight(capacity, demand, weight)
    return [min(part, each) for part, each in zip(parts, demand, strict=True)]


def _shared_on(
    shares: Sequence[float], capacity: float, demand: Sequence[float], weight: Sequence[float]
) -> list[float]:
    """Share what is left by weight among the tiers that want more; they may get too much."""
    wants = [share < each for share, each in zip(shares, demand, strict=True)]
    heavy = math.fsum(each for each, more in zip(weight, wants, strict=True) if more)
    level = (capacity - math.fsum(shares)) / heavy
    return [
        share + level * each * more for share, each, more in zip(shares, weight, wants, strict=True)
    ]


def _shared(
    rounds: int, capacity: float, demand: Sequence[float], weight: Sequence[float]
) -> list[float]:
    """Share what modest tiers leave so many times, up to demand."""
    shares = _capped(capacity, demand, weight)
    for _ in range(rounds):
        more = _shared_on(shares, capacity, demand, weight)
        shares = [min(share, each) for share, each in zip(more, demand, strict=True)]
    return shares


_ONCE = (
    "you share once what modest tiers leave; then further tiers are full, and leave something, "
    "too; repeat it until none does"
)


def _by_demand(capacity: float, demand: Sequence[float], weight: Sequence[float]) -> list[float]:
    return [capacity * each / math.fsum(demand) for each in demand]


def _by_priority(capacity: float, demand: Sequence[float], weight: Sequence[float]) -> list[float]:
    """Serve tiers of higher weight first, the earlier ones of those with equal weight."""
    shares, left = [0.0] * len(demand), capacity
    for tier in sorted(range(len(demand)), key=lambda each: -weight[each]):
        shares[tier] = min(demand[tier], left)
        left -= shares[tier]
    return shares


def _fair(
    value: Sequence[float], capacity: float, demand: Sequence[float], weight: Sequence[float]
) -> str:
    """Judge shares by the definition of weighted max-min fairness, up to rounding."""
    shares, slack = [float(each) for each in value], 1e-6 * capacity
    if len(shares) != len(demand):
        return "a share for each tier is wanted"
    if min(shares) < -slack:
        return "a share is negative"
    if math.fsum(shares) > capacity + slack:
        return "more is given than there is"
    if any(share > each + slack for share, each in zip(shares, demand, strict=True)):
        return "a tier gets more than it wants"
    return _unfair(shares, capacity, demand, weight, slack)


def _unfair(
    shares: Sequence[float],
    capacity: float,
    demand: Sequence[float],
    weight: Sequence[float],
    slack: float,
) -> str:
    """Say whether something is left, or a tier that wants more gets less than others per weight."""
    if math.fsum(shares) < capacity - slack:
        return "something is left, although some tiers want more"
    levels = [share / heavy for share, heavy in zip(shares, weight, strict=True)]
    wanting = [
        level
        for level, share, each in zip(levels, shares, demand, strict=True)
        if share < each - slack
    ]
    if wanting and max(levels) > min(wanting) + slack:
        return "a tier that wants more gets less, per weight, than another"
    return ""


_SHARES = Exercise(
    "a list of shares, one for each tier, such as [3.5, 2.0, 4.0]",
    numbers,
    _crowds,
    _fair,
    (
        Mistake(
            _capped,
            "modest tiers leave something of their part; share it among those that want more",
        ),
        Mistake(lambda *crowd: _shared(1, *crowd), _ONCE),
        Mistake(lambda *crowd: _shared_on(_capped(*crowd), *crowd), _ONCE),
        Mistake(
            _by_weight,
            "parts in proportion to weights give modest tiers more than they want",
        ),
        Mistake(
            _by_demand,
            "shares follow demand, so a tier gets more by asking for more, whatever its weight",
        ),
        Mistake(
            _by_priority,
            "tiers of high weight take all they want first; weighted fairness leaves the others "
            "their part",
        ),
    ),
)

WORLDS = 20
MOST_MACHINES = 24
BUDGET = 250
NOISE = 0.06


def _planned(answer: Any, rng: np.random.Generator) -> None:
    """Grade a capacity plan by the truth of many worlds, and by how many runs it took."""
    check_function(answer)
    short, generous, most_runs = 0, 0, 0
    for _ in range(WORLDS):
        needed, target = int(rng.integers(3, MOST_MACHINES - 2)), float(rng.uniform(0.6, 0.85))
        curve = _curve(needed, target, rng)
        counted = _Counted(curve, rng)
        value = formed(
            answer,
            (counted, target, MOST_MACHINES),
            f"a whole number of machines, from 1 to {MOST_MACHINES}",
            lambda machines: whole(machines) and 1 <= machines <= MOST_MACHINES,
        )
        short += value < needed
        generous += value > needed + 1
        most_runs = max(most_runs, counted.runs)
    if not most_runs:
        raise NotYetError("it answers without a run")
    if most_runs > BUDGET:
        raise NotYetError(
            f"it took {most_runs} runs; {BUDGET} are allowed, so do not try every number of "
            "machines with many seeds: more machines are never worse"
        )
    if short > 0.1 * WORLDS:
        raise NotYetError(
            f"it promised too much in {short} of {WORLDS} worlds: so few machines reach the target "
            "on some seeds, but not on average"
        )
    if generous > 0.2 * WORLDS:
        raise NotYetError(
            f"it bought at least two machines too many in {generous} of {WORLDS} worlds"
        )


def _curve(needed: int, target: float, rng: np.random.Generator) -> Callable[[int], float]:
    """Return the true mean by machines: rising, and reaching the target at those needed."""
    step = float(rng.uniform(0.03, 0.05))
    return lambda machines: target + step * (machines - needed + 0.5)


class _Counted:
    """Runs of a service: the share of SLOs met with so many machines, on a seed."""

    def __init__(self, curve: Callable[[int], float], rng: np.random.Generator) -> None:
        self._curve, self._key, self.runs = curve, int(rng.integers(2**31)), 0

    def __call__(self, machines: int, seed: int) -> float:
        self.runs += 1
        luck = stream(self._key, "course", int(machines), int(seed)).normal(0, NOISE)
        return float(np.clip(self._curve(int(machines)) + luck, 0.0, 1.0))


STEPS = (
    Step(
        "8.1",
        "Fair shares",
        4,
        (
            "Fill all tiers at once, like tanks, each as fast as its weight. What happens when one "
            "is full?",
            "A tier gets min(demand, level * weight), with one level for all. Find the level at "
            "which everything is given away.",
            "Repeat: level = what is left over the weights of the tiers that are not full. Those "
            "that want at most level * weight are full: give them their demand, and take it from "
            "what is left. When none is, give the others level * weight.",
        ),
        _SHARES,
    ),
    Step(
        "8.2",
        "How many machines?",
        4,
        (
            "One run depends on its seed. How sure do you have to be, and for which numbers of "
            "machines?",
            "More machines are never worse, so halve the range of numbers that are in question. At "
            "each, average over enough seeds.",
            "low, high = 1, most; while low < high: middle = (low + high) // 2; if the mean of "
            "goodput(middle, seed) over 40 seeds reaches the target, high = middle, else low = "
            "middle + 1. Return low.",
        ),
        _planned,
    ),
)
