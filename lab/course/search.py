"""Graders of notebook 6: search under uncertainty."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from lab.course.forms import near, number, whole
from lab.course.given import Array, Measurements
from lab.course.grading import (
    Arguments,
    Exercise,
    Mistake,
    NotYetError,
    Step,
    check_function,
    formed,
)


def _samples(rng: np.random.Generator) -> Iterable[Arguments]:
    for _ in range(5):
        count = int(rng.integers(4, 40))
        accuracy = rng.normal(rng.uniform(0.6, 0.9), rng.uniform(0.05, 0.2), count)
        yield np.clip(accuracy, 0, 1), float(rng.choice([0.8, 0.9, 0.95, 0.99]))


def _bound(samples: Array, quantile: float, ddof: int = 1) -> float:
    return float(np.mean(samples) - quantile * np.std(samples, ddof=ddof) / math.sqrt(len(samples)))


def _surely(value: float, samples: Array, confidence: float) -> str:
    low = stats.ttest_1samp(samples, 0.0, alternative="greater").confidence_interval(confidence).low
    return near(value, float(low))


_LOWER_BOUND = Exercise(
    "a number, such as 0.83",
    number,
    _samples,
    _surely,
    (
        Mistake(
            lambda samples, confidence: np.mean(samples),
            "that is the mean of the samples; the true mean is below it half of the time",
        ),
        Mistake(
            lambda samples, confidence: _bound(
                samples, stats.t.ppf((1 + confidence) / 2, len(samples) - 1)
            ),
            "that is the lower end of a two-sided interval; only being too low is bad here",
        ),
        Mistake(
            lambda samples, confidence: (
                np.mean(samples)
                - stats.t.ppf(confidence, len(samples) - 1) * np.std(samples, ddof=1)
            ),
            "that bounds a single sample; the mean of n samples varies less, by a factor sqrt(n)",
        ),
        Mistake(
            lambda samples, confidence: _bound(samples, stats.norm.ppf(confidence)),
            "the normal quantile is too small for few samples, whose spread is an estimate itself; "
            "use Student's t",
        ),
        Mistake(
            lambda samples, confidence: _bound(
                samples, stats.t.ppf(confidence, len(samples) - 1), ddof=0
            ),
            "the standard deviation of a sample divides by n - 1 (ddof=1)",
        ),
    ),
)

WORLDS = 40
FLOOR = 0.8
BUDGET = 400
CONFIGURATIONS = 8


def _truths(rng: np.random.Generator) -> Array:
    """Draw the true accuracies of configurations, the cheapest first: about rising with cost."""
    rising = np.linspace(rng.uniform(0.4, 0.85), rng.uniform(0.88, 0.95), CONFIGURATIONS)
    accuracy = rising + rng.normal(0, 0.03, CONFIGURATIONS)
    accuracy[-1] = max(accuracy[-1], FLOOR + 0.06)
    return np.minimum(accuracy, 0.99)


def _searched(answer: Any, rng: np.random.Generator) -> None:
    """Grade a search by its choices in many worlds."""
    check_function(answer)
    inaccurate, too_costly, spent = 0, [], []
    for _ in range(WORLDS):
        truth = _truths(rng)
        measurements = Measurements(truth, BUDGET, rng)
        chosen = formed(
            answer,
            (measurements.measure, CONFIGURATIONS, FLOOR, BUDGET),
            f"the number of a configuration, from 0 to {CONFIGURATIONS - 1}",
            lambda value: whole(value) and 0 <= value < CONFIGURATIONS,
        )
        cheapest = int(np.argmax(truth >= FLOOR))
        inaccurate += truth[chosen] < FLOOR - 0.005
        too_costly.append(max(0, chosen - cheapest))
        spent.append(BUDGET - measurements.left)
    if not any(spent):
        raise NotYetError("it chooses without a measurement")
    if inaccurate > 0.1 * WORLDS:
        raise NotYetError(
            f"what it chose was not accurate enough in {inaccurate} of {WORLDS} worlds; of many "
            "configurations, one that was measured too well by chance looks good"
        )
    if np.mean(too_costly) > 1.0:
        raise NotYetError(
            f"what it chose was {np.mean(too_costly):.1f} places more costly than the cheapest "
            "accurate configuration, on average; spend measurements where they decide"
        )


def _differences(rng: np.random.Generator) -> Iterable[Arguments]:
    for _ in range(6):
        differences = [float(each) for each in np.round(rng.normal(1, 1, rng.integers(4, 9)), 2)]
        half_width = float(np.std(differences, ddof=1)) * rng.uniform(0.35, 0.9)
        yield differences, round(half_width, 3)


def _half_width(count: float, differences: Sequence[float], quantile: float = 0.975) -> float:
    spread = float(np.std(differences, ddof=1))
    return float(stats.t.ppf(quantile, count - 1)) * spread / math.sqrt(count)


def _first(enough: Callable[[int], bool]) -> int:
    return next(count for count in range(2, 100_000) if enough(count))


def _seeds(value: int, differences: Sequence[float], half_width: float) -> str:
    if value < 2:
        return "an interval takes two seeds at least"
    if _half_width(value, differences) > half_width:
        return "the interval would be wider than that"
    enough = value > 2 and _half_width(value - 1, differences) <= half_width
    return "fewer seeds would do" if enough else ""


_SEEDS = Exercise(
    "a whole number of seeds, such as 20",
    whole,
    _differences,
    _seeds,
    (
        Mistake(
            lambda differences, half_width: math.ceil(
                (stats.norm.ppf(0.975) * np.std(differences, ddof=1) / half_width) ** 2
            ),
            "1.96 belongs to a known spread; yours is an estimate from the seeds, so use Student's "
            "t, whose quantile depends on their number",
        ),
        Mistake(
            lambda differences, half_width: _first(
                lambda n: 2 * _half_width(n, differences) <= half_width
            ),
            "the interval may extend by half_width to either side; you let both sides share it",
        ),
        Mistake(
            lambda differences, half_width: _first(
                lambda n: _half_width(n, differences, 0.95) <= half_width
            ),
            "an interval of 95 % leaves out 2.5 % on either side; you left out 5 %",
        ),
        Mistake(
            lambda differences, half_width: _first(
                lambda n: stats.t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / n <= half_width
            ),
            "the mean of n differences varies less by a factor sqrt(n), not n",
        ),
    ),
)

STEPS = (
    Step(
        "6.1",
        "Surely accurate?",
        2,
        (
            "The mean of n samples is itself random. How much does it vary?",
            "By the standard error: the standard deviation (ddof=1) over sqrt(n). How many of them "
            "below the mean is the true mean with this confidence?",
            "mean - t * std / sqrt(n), where t = stats.t.ppf(confidence, n - 1).",
        ),
        _LOWER_BOUND,
    ),
    Step(
        "6.2",
        "A search",
        4,
        (
            "Most configurations are clearly good or clearly bad after a few samples. Which ones "
            "need many?",
            "Go from the cheapest up. Measure a few items at a time, until a configuration is "
            "surely accurate, or surely not.",
            "For each configuration: add 10 measured items at a time. If the lower bound (step "
            "6.1) is above the floor, return it; if the upper bound is below the floor, or after "
            "some 80 items, go on with the next. If the budget is almost spent, return the last.",
        ),
        _searched,
    ),
    Step(
        "6.3",
        "How many seeds?",
        2,
        (
            "How wide is the interval for two seeds? For three?",
            "Its half-width is t * s / sqrt(n); s is the standard deviation of the differences "
            "(ddof=1), and t depends on n.",
            "Return the first n, from 2 on, with stats.t.ppf(0.975, n - 1) * s / sqrt(n) <= "
            "half_width.",
        ),
        _SEEDS,
    ),
)
