"""Rules of decision: when a measured mean accuracy counts as above or below a floor.

`TTest` is the paper's rule. `Certain` accepts a configuration only if it meets the floor with a
stated probability, and may look at the same items as often as it likes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, log, sqrt
from statistics import NormalDist
from typing import Annotated

import numpy as np

from planners.common.ranges import InRange, Positive
from planners.compass.profiling.estimates import decided, rare_variance, side_of_floor
from scenarios.numerics import Floats
from scenarios.ranges import Range


class Decision(ABC):
    """Base of rules of decision.

    Between verdicts, means of accuracy decide. Only under rules that extend `Certain`, the
    surrogates' posterior does (`planners.compass.search.certain_beliefs`).
    """

    @abstractmethod
    def verdict(
        self,
        mean: float,
        variance: float,
        freedom: float,
        count: int,
        floor: float | None,
        alpha: float,
    ) -> bool | None:
        """Return whether a mean is above a floor, or None if this is undecided.

        Args:
            mean: the estimated mean; nan if nothing was measured.
            variance: the variance of that estimate.
            freedom: the variance's degrees of freedom.
            count: number of items measured.
            floor: the floor, or None for none.
            alpha: level of a test that is made once; a rule may ignore it.
        """

    def looks(self, first: int, batch: int, most: int, known: Callable[[], int]) -> Sequence[int]:
        """Return the numbers of items, at least one, after which a verdict is sought.

        The first verdict ends this. By default, these are all numbers from ``first`` to ``most``,
        because the search looks at each configuration only once. `Profiler` describes ``first``,
        ``batch`` and ``most``. ``known`` returns the number of items measured so far; each
        call of it counts as one of the planning context.
        """
        return [*range(first, most, batch), most]

    def least_variance(self, values: Floats) -> float:
        """Return the least variance of the mean of measured values of shape (n,); 0 by default."""
        return 0.0


@dataclass(frozen=True)
class TTest(Decision):
    """A two-sided t-test of level ``alpha``, as in the paper; if undecided, the mean decides.

    Tests that are repeated as items are added err more often than ``alpha`` (optional stopping).
    """

    def verdict(
        self,
        mean: float,
        variance: float,
        freedom: float,
        count: int,
        floor: float | None,
        alpha: float,
    ) -> bool | None:
        """Return the result of one two-sided test; `Decision` describes the arguments."""
        return decided(mean, variance, freedom, floor, alpha)


@dataclass(frozen=True)
class Certain(InRange, Decision):
    """Accepts a configuration that meets the floor with a stated probability.

    A verdict follows from a confidence sequence: an interval that contains the true mean after all
    looks together with the stated probability on each side (`critical_anytime`). While there is no
    verdict, the surrogates' posterior decides, which includes what other queries have shown
    (`critical_posterior`).

    Args:
        certainty: least probability of meeting the floor at which a configuration is accepted.
        tightest_at: number of items at which the confidence sequence is about the tightest.
    """

    certainty: Annotated[float, Range(gt=0.5, lt=1)] = 0.95
    tightest_at: Positive = 64.0

    def verdict(
        self,
        mean: float,
        variance: float,
        freedom: float,
        count: int,
        floor: float | None,
        alpha: float,
    ) -> bool | None:
        """Return on which side of the confidence sequence the floor is, or None if inside."""
        level = 2 * (1 - self.certainty)
        return side_of_floor(
            mean,
            variance,
            freedom,
            floor,
            lambda each: critical_anytime(level, each, count, self.tightest_at),
        )

    def looks(self, first: int, batch: int, most: int, known: Callable[[], int]) -> Sequence[int]:
        """Return the next number, because the search decides whether further items can pay."""
        count = known()
        wanted = first if count < first else count + batch
        return [min(wanted, max(count, most))]

    def least_variance(self, values: Floats) -> float:
        """Return the `rare_variance`."""
        return float(rare_variance(values))


APART = 0.05
"""Difference between an accuracy and its floor at which `critical_posterior` is about the tightest.
"""


def critical_posterior(certainty: float, sd: Floats) -> Floats:
    """Return how many deviations ``sd`` a posterior mean must be above the floor, of shape (n,).

    All measurements of a data set update the posterior, and each search looks at it again. So its
    interval is a confidence sequence, too: Robbins' normal mixture ("Statistical methods related to
    the law of the iterated logarithm", 1970) over differences from the floor with deviation
    `APART`. With level a = 1 - ``certainty`` on one side, it extends

        sqrt(log(1 + APART^2 / sd^2) + 2 log(1 / (2 a)))

    deviations, but at least as many as an interval for a single look.
    """
    looks = np.log1p((APART / np.maximum(sd, 1e-9)) ** 2) + 2 * log(1 / (2 * (1 - certainty)))
    once = NormalDist().inv_cdf(certainty)
    return np.asarray(np.sqrt(np.maximum(looks, once**2)))


PRIOR_ITEMS = 0.125
"""Weight of the mixture's prior, relative to the number of items at which it is the tightest."""


@cache
def critical_anytime(alpha: float, freedom: int, count: int, tightest_at: float) -> float:
    """Return how many standard errors a two-sided confidence sequence of level ``alpha`` extends.

    With t the distance of a mean of n items in standard errors, f its degrees of freedom, and
    r = c / (c + n), the mixture over effect sizes, which are normal with variance 1 / c,

        B = sqrt(r) ((1 + t^2 / f) / (1 + r t^2 / f))^((f + 1) / 2)

    is the likelihood ratio of the scale-invariant t statistic (Lai, "On confidence sequences",
    1976; Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with
    unknown variance", 2025). If items are normal, it is a martingale where the tested mean is the
    true one, so by Ville's inequality it ever exceeds 1 / alpha with probability alpha at most. The
    sequence consists of the means at which B stays below. For many items, it becomes Robbins'
    normal mixture with an estimated variance, which is an asymptotic confidence sequence for any
    distribution (Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence
    sequences", 2024), and for stratified means too. Sequences that hold exactly for any bounded
    accuracy (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
    2024) are wider at the 16 to 200 items used here, and do not use strata.

    The result is infinite if so few items exclude nothing.
    """
    prior = PRIOR_ITEMS * tightest_at
    ratio = prior / (prior + count)
    power = (alpha**2 * ratio) ** (-1 / (freedom + 1))
    if ratio * power >= 1:
        return inf
    return sqrt(freedom * (power - 1) / (1 - ratio * power))
