"""Ratios of a reference planner's metrics to those of other planners, paired by seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
import polars as pl

from lab.analysis.statistics import (
    Floats,
    IntervalEstimate,
    allowed_error,
    estimate,
    holm,
    student_t,
)
from lab.common.metrics import ANY, ValueRange

Interval = tuple[float | None, float | None, float | None]
"""A value, and the lower and the upper end of its 95 % interval."""

RATIOS = {
    "metric": pl.String,
    "planner": pl.String,
    "n": pl.Int64,
    **dict.fromkeys(("ratio", "low", "high", "p_holm"), pl.Float64),
    "of": pl.Int64,
}

PERCENT: ValueRange = (0.0, 100.0)
"""The range of a share in percent."""

UNBOUNDED = (
    "A ratio is that of two means over seeds. [≥ x] is an interval without an upper end, because "
    "the mean that divides may be 0."
)
"""Explains ratios whose interval has no upper end."""

EXPLAINED = f"{UNBOUNDED} Seeds count on which both planners have a value."
"""Explains unusual rows of `ratios`; see `explained`."""


@dataclass(frozen=True)
class PairedMetric:
    """A metric by which planners are compared."""

    name: str  # column of the rows
    title: str  # name in tables and figures
    more_is_better: bool
    # Whether a missing value is infinite, like a cost per hour of service if nobody was served.
    # Means of reciprocals are then compared, such as hours of service per dollar: they are 0 there.
    endless: bool = False
    # Boolean column that says whether the value is only a lower bound; it counts as missing.
    bound: str | None = None


def ratios(rows: pl.DataFrame, metric: PairedMetric, reference: str) -> pl.DataFrame:
    """Return how many times better the reference is than each other planner.

    The ratio is that of two means over seeds, with the interval of `ratio_of_means`. A ratio above
    1 means that the reference is better: it has more goodput or a lower cost. `rows` has the runs
    of one scene, with the columns ``planner``, ``seed`` and the metric.

    Each other planner has a row with the columns of `RATIOS`. ``p_holm`` is the p-value, adjusted
    for the number of planners. ``n`` is the number of seeds that count, because both planners have
    a value, and ``of`` is the number of all seeds.
    """
    value = pl.col(metric.name).cast(pl.Float64)
    if metric.bound is not None:
        value = pl.when(~pl.col(metric.bound)).then(value)
    if metric.endless:
        value = (1 / value).fill_null(0.0)
    usable = pl.when(value.is_finite()).then(value)
    tidy = rows.select("planner", "seed", value=usable)
    ours = tidy.filter(planner=reference).select("seed", ours="value")
    inverted = not (metric.more_is_better or metric.endless)
    found: list[list[Any]] = []
    of = rows["seed"].n_unique()
    for planner in rows["planner"].unique(maintain_order=True).to_list():
        if planner == reference:
            continue
        both = tidy.filter(planner=planner).join(ours, "seed", maintain_order="left").drop_nulls()
        parts = both["ours"].to_numpy(), both["value"].to_numpy()
        ratio = ratio_of_means(*(parts[::-1] if inverted else parts))
        found.append(
            [metric.name, planner, ratio.n, ratio.mean, ratio.low, ratio.high, ratio.p, of]
        )
    adjusted = holm([row[6] for row in found])
    for row, p in zip(found, adjusted, strict=True):
        row[6] = p
    return pl.DataFrame(found, RATIOS, orient="row")


def explained(found: pl.DataFrame) -> Iterator[str]:
    """Yield `EXPLAINED` and an empty line if a ratio has no upper end or lacks some seeds."""
    if not found.is_empty() and (found["high"].is_infinite() | (found["n"] < found["of"])).any():
        yield EXPLAINED
        yield ""


def counted(n: int, of: int) -> str:
    """Return a text that says how many seeds count, such as ``8`` or ``8 of 10``."""
    return f"{n}" if n == of else f"{n} of {of}"


def by_scene(
    rows: pl.DataFrame, metrics: Sequence[PairedMetric], reference: str, scene: Sequence[str]
) -> pl.DataFrame:
    """Return `ratios` for each metric and scene; the columns `scene` identify a scene."""
    parts = []
    for key, part in rows.group_by(*scene, maintain_order=True):
        labels = [pl.lit(value).alias(name) for name, value in zip(scene, key, strict=True)]
        parts += [ratios(part, metric, reference).select(*labels, pl.all()) for metric in metrics]
    return pl.concat(parts) if parts else pl.DataFrame()


def ratio_of_means(ours: Floats, theirs: Floats) -> IntervalEstimate:
    """Return mean(ours) / mean(theirs) with its interval, and the p-value for a true ratio of 1.

    Values are paired, finite, at least 0, and of shape (n,). The interval is the set of all r for
    which 0 lies in Student's t-interval of mean(ours - r theirs) (Fieller 1954, "Some problems in
    interval estimation"). So every question whether the ratio exceeds r is a t-test of a mean, as
    the looks of `lab.analysis.sequential` assume, and p is that of the paired t-test. A mean of
    ratios, or of their logarithms, has no value if ``theirs`` is 0 on any seed, and no number of
    seeds would help. Here a 0 is a value like any other. Only if the mean of ``theirs`` may be 0,
    the interval has no upper end (infinity). The ratio is missing if all values are 0.

    Zeros on all n seeds give no estimate of the variance. The interval then says nothing, unless
    2^(1 - n), the error of a sign test, is allowed.
    """
    n = len(ours)
    if not n or not (ours.any() or theirs.any()):
        return IntervalEstimate(n)
    above, below = float(np.mean(ours)), float(np.mean(theirs))
    middle = above / below if below else inf
    if n == 1:
        return IntervalEstimate(1, middle)
    if not (ours.any() and theirs.any()) and 2.0 ** (1 - n) > allowed_error():
        return IntervalEstimate(n, middle, 0.0, inf, 1.0)
    least, inverse = _fieller_low(ours, theirs), _fieller_low(theirs, ours)
    most = 1 / inverse if inverse else inf
    largest = max(float(ours.max()), float(theirs.max()))
    return IntervalEstimate(n, middle, least, most, estimate(ours - theirs, largest).p)


def _fieller_low(ours: Floats, theirs: Floats) -> float:
    """Return the lower end of the interval of mean(ours) / mean(theirs); infinity for x / 0.

    With the ratio r of the sample and d = ours - r theirs, r + x belongs to the interval if
    a x^2 + 2 b x <= k, where k, b and v are the variances of d, of d with theirs, and of theirs,
    times t^2 / n, and a = mean(theirs)^2 - v. This form has no rounding errors if d is 0.
    """
    n = len(ours)
    above, below = float(np.mean(ours)), float(np.mean(theirs))
    factor = student_t(n) ** 2 / n
    if above**2 <= factor * float(np.var(ours, ddof=1)):
        return 0.0
    if not below:
        return inf
    ratio = above / below
    k, b, _, v = (factor * np.cov(ours - ratio * theirs, theirs)).ravel().tolist()
    a = below**2 - v
    root = sqrt(max(0.0, b * b + a * k))
    if a > 0 and b > 0:
        return max(0.0, ratio - (b + root) / a)
    return max(0.0, ratio - k / (root - b)) if root > b else ratio


def ratio_interval(ours: Floats, theirs: Floats) -> Interval:
    """Return the ratio of two means and its interval; see `ratio_of_means`."""
    ratio = ratio_of_means(ours, theirs)
    return ratio.mean, ratio.low, ratio.high


def mean_interval(values: Floats, within: ValueRange = ANY) -> Interval:
    """Return the mean of values of shape (n,), and its interval cut to the range `within`."""
    mean = estimate(values, within=within)
    return mean.mean, mean.low, mean.high


def jackknifed(count: int, statistic: Callable[[Sequence[int]], float]) -> Interval:
    """Return the statistic of all seeds with its jackknife interval; seeds are numbered from 0.

    For n seeds with the statistic T, the pseudo-values are n T - (n - 1) T_i, where T_i is the
    statistic without seed i (Tukey 1958). The interval is centred on T and is as wide as Student's
    t-interval of the pseudo-values.
    """
    every = list(range(count))
    whole = statistic(every)
    if count < 2:
        return whole, None, None
    pseudo = [
        count * whole - (count - 1) * statistic([each for each in every if each != left])
        for left in every
    ]
    mean = estimate(np.array(pseudo))
    if mean.mean is None or mean.low is None or mean.high is None:
        return whole, None, None
    return whole, whole - (mean.mean - mean.low), whole + (mean.high - mean.mean)
