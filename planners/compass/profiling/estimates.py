"""Plain and stratified estimates of mean accuracy, their variances, and tests against a floor."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf, isnan, sqrt

import numpy as np
from scipy.special import stdtrit

from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints
from sim import PlanningContext

STRATA = "compass strata"
"""Key of the record of a data set's `Strata`, by their number."""


@dataclass(frozen=True, eq=False)
class Strata:
    """The K-means clusters of a data set's items, by their features."""

    centre: Floats  # mean of each feature, of shape (F,)
    scale: Floats  # standard deviation of each feature (1 if constant), of shape (F,)
    centroids: Floats  # centroids in standardised features, of shape (K, F)

    def of(self, features: Floats) -> Ints:
        """Return the stratum, 0 to K - 1, of each of n items, given features of shape (n, F)."""
        return np.asarray(_nearest(features, self.centre, self.scale, self.centroids))


@compiled
def _nearest(features: Floats, centre: Floats, scale: Floats, centroids: Floats) -> Ints:
    """Return the index of each item's nearest centroid, of shape (n,); ties go to the first.

    This is the assignment step of K-means (Lloyd, "Least squares quantization in PCM", 1982). It
    takes O(n K F).
    """
    nearest, point = np.empty(len(features), dtype=np.int64), np.empty(len(centre))
    for at in range(len(features)):
        for feature in range(len(centre)):
            point[feature] = (features[at, feature] - centre[feature]) / scale[feature]
        least = np.inf
        for number in range(len(centroids)):
            distance = 0.0
            for feature in range(len(centre)):
                distance += (point[feature] - centroids[number, feature]) ** 2
            if distance < least:
                nearest[at], least = number, distance
    return nearest


def strata_of(context: PlanningContext, dataset: str, count: int) -> Strata:
    """Return the strata of a data set, found at the first call and then remembered."""
    known: Strata | None = context.recall((STRATA, dataset, count))
    if known is None:
        known = cluster(context.bulk.features(dataset), count)
        context.remember((STRATA, dataset, count), known)
    return known


def cluster(features: Floats, count: int) -> Strata:
    """Find at most ``count`` clusters of (n, F) features by K-means with fixed random starts."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 -- takes seconds to import
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    centre, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    means = KMeans(min(count, len(features)), n_init=3, random_state=0)
    with threadpool_limits(1):  # sums must not depend on the number of cores
        found = means.fit((features - centre) / scale)
    return Strata(centre, scale, np.asarray(found.cluster_centers_, dtype=np.float64))


LEAST_VARIANCE = 1e-6
"""Added to the variance of a mean, because a few equal values do not make the mean certain."""


def simple_mean(values: Floats) -> tuple[float, float, float]:
    """Return the mean of a simple random sample, the mean's variance and degrees of freedom."""
    count = len(values)
    if count == 0:
        return float("nan"), inf, 0.0
    if count == 1:
        return float(values[0]), inf, 0.0
    return float(values.mean()), float(values.var(ddof=1)) / count + LEAST_VARIANCE, count - 1.0


ENOUGH = 10
"""A sample of successes and failures has a normal mean from this number of both on (Cochran, 1977,
section 3.6, asks for more if the sample is small).
"""


@compiled
def rare_variance(values: Floats) -> float:
    """Return the least variance of a mean of n values if all are 0 or 1 and one is rare, else 0.

    Sixteen right answers do not make the seventeenth certain. Below `ENOUGH` values of either kind,
    the variance is that of a binomial share with one more success and one more failure (Laplace).
    """
    ones = 0
    for value in values:
        if value == 1:
            ones += 1
        elif value != 0:
            return 0.0
    count = len(values)
    if not count or min(ones, count - ones) >= ENOUGH:
        return 0.0
    share = (ones + 1) / (count + 2)
    return share * (1 - share) / count


@compiled
def stratified_mean(
    values: Floats, strata: Ints, weights: Floats
) -> tuple[float, float, float, Floats]:
    """Return the mean of a stratified sample, the mean's variance, and its degrees of freedom.

    ``values`` and their ``strata`` (0 to K - 1) have shape (n,). ``weights`` are those of the
    strata, of shape (K,). The last result is the standard deviation within each stratum, of shape
    (K,). A stratum with fewer than two items is given the mean and deviation of all items.
    `StratifiedProfiler` defines the degrees of freedom.
    """
    many = len(weights)
    if len(values) < 2:
        return values[0] if len(values) else np.nan, np.inf, 0.0, np.ones(many)
    count, total, squares = np.zeros(many), np.zeros(many), np.zeros(many)
    for at in range(len(values)):
        count[strata[at]] += 1
        total[strata[at]] += values[at]
        squares[strata[at]] += values[at] ** 2
    overall, spread_of_all = values.mean(), values.var() * len(values) / (len(values) - 1)
    mean, variance, fourth, least, most = 0.0, 0.0, 0.0, np.inf, 0.0
    deviations = np.empty(many)
    for stratum in range(many):
        its = max(count[stratum], 1.0)
        centre = total[stratum] / its if count[stratum] > 0 else overall
        within = spread_of_all
        if count[stratum] > 1:
            within = max(0.0, squares[stratum] - its * centre**2) / (its - 1)
        part, known = weights[stratum] ** 2 * within / its, max(its - 1, 1.0)
        mean += weights[stratum] * centre
        variance += part
        fourth += part**2 / (known + 2)
        least, most = min(least, known), most + known
        deviations[stratum] = sqrt(within)
    freedom = variance**2 / max(fourth, 1e-300) - 2
    # The true number is between those of the least known stratum and of all strata together.
    freedom = min(max(freedom, least), most, len(values) - 1.0)
    return mean, variance + LEAST_VARIANCE, freedom, deviations


def regressed_mean(
    values: Floats, control: Floats, strata: Ints, weights: Floats, mean: float, variance: float
) -> tuple[float, float, float]:
    """Return the mean of a sample, corrected by a control variate that was measured on more items.

    This is double sampling with a control variate of estimated mean (Cochran, Sampling Techniques,
    1977, chapter 12): if the control has higher values on the sample than on its other items, the
    sample's items are easy and its mean is too high. With b the slope of y over x within strata,
    and e = y - b x,

        mean = y_st + b (m - x_st),   variance = V(e_st) + b^2 V(m) + (m - x_st)^2 V(b)

    where the last term of the variance is due to the error of the slope. ``values`` are y and
    ``control`` is x, both of shape (n,). ``mean`` is m, and ``variance`` is V(m). `stratified_mean`
    describes ``strata`` and ``weights``. If no slope can be estimated, the variance is infinite.
    The errors e have one more degree of freedom than the slope.
    """
    slope, slope_variance, error, error_variance, error_freedom, here = _regressed(
        values, control, strata, weights
    )
    if error_freedom < 1:
        return float("nan"), inf, 0.0
    return (
        error + slope * mean,
        error_variance + slope**2 * variance + (mean - here) ** 2 * slope_variance,
        error_freedom - 1,
    )


@compiled
def _regressed(
    values: Floats, control: Floats, strata: Ints, weights: Floats
) -> tuple[float, float, float, float, float, float]:
    """Return those parts of `regressed_mean` that depend only on the sample.

    They are, in this order, the slope, the slope's variance, the mean of the errors e, the variance
    of this mean, its degrees of freedom (0 without a slope), and the mean of the control.
    """
    slope, slope_variance, freedom = _slope_within(values, control, strata, len(weights))
    if freedom < 1:
        return slope, slope_variance, np.nan, np.inf, 0.0, np.nan
    mean, variance, freedom, _ = stratified_mean(values - slope * control, strata, weights)
    return (
        slope,
        slope_variance,
        mean,
        variance,
        freedom,
        stratified_mean(control, strata, weights)[0],
    )


@compiled
def _slope_within(
    values: Floats, control: Floats, strata: Ints, many: int
) -> tuple[float, float, float]:
    """Return the slope within strata, the slope's variance and its degrees of freedom.

    It is the slope of values over a control, combined as in Cochran 1977, chapter 7: a
    least-squares fit after the means of strata are subtracted. If no slope can be estimated, its
    degrees of freedom are 0. ``many`` is the number of strata.
    """
    count, mean, centre = np.zeros(many), np.zeros(many), np.zeros(many)
    for at in range(len(values)):
        count[strata[at]] += 1
        mean[strata[at]] += values[at]
        centre[strata[at]] += control[at]
    freedom = len(values) - np.count_nonzero(count) - 1.0
    square, product, total = 0.0, 0.0, 0.0
    for at in range(len(values)):
        its = strata[at]
        across, up = control[at] - centre[its] / count[its], values[at] - mean[its] / count[its]
        square += across * across
        product += across * up
        total += up * up
    if freedom < 1 or square <= 0:
        return 0.0, 0.0, 0.0
    slope = product / square
    return slope, max(0.0, total - slope * product) / freedom / square, freedom


def decided(
    mean: float, variance: float, freedom: float, floor: float | None, alpha: float
) -> bool | None:
    """Return whether a two-sided t-test finds a mean above a floor, or None if it is undecided."""
    return side_of_floor(mean, variance, freedom, floor, lambda each: critical_t(alpha, each))


def side_of_floor(
    mean: float,
    variance: float,
    freedom: float,
    floor: float | None,
    critical: Callable[[int], float],
) -> bool | None:
    """Return whether a mean's interval is above a floor, or None if it contains the floor.

    ``critical`` returns how many standard errors the interval extends at some degrees of freedom.
    """
    if isnan(mean):
        return None
    if floor is None:
        return True
    if freedom < 1 or not variance < inf:
        return None
    half = critical(max(1, int(freedom))) * sqrt(variance)
    if mean - half > floor:
        return True
    return False if mean + half < floor else None


@cache
def critical_t(alpha: float, freedom: int) -> float:
    """Return the two-sided critical value of Student's t."""
    return float(stdtrit(freedom, 1 - alpha / 2))
