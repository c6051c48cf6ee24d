"""Ratios of a reference planner's metrics to those of other planners, paired by seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lab.analysis.statistics import Floats, as_ratio, estimate, holm
from lab.common.metrics import ANY, ValueRange

Interval = tuple[float | None, float | None, float | None]
"""A value, and the lower and the upper end of its 95 % interval."""

RATIOS = {
    "metric": pl.String,
    "planner": pl.String,
    "n": pl.Int64,
    **dict.fromkeys(("ratio", "low", "high", "p_holm"), pl.Float64),
    "sign": pl.String,
    "of": pl.Int64,
}

PERCENT: ValueRange = (0.0, 100.0)
"""The range of a share in percent."""

BOUNDS = {(False, False): "", (False, True): "≥", (True, False): "≤", (True, True): "?"}
"""The sign of a ratio for metrics of which less is better. The key says whether the values of the
reference and of the other planner are only lower bounds of the true values."""

EXPLAINED = (
    "≥ marks a lower bound: in some seed the value of the other planner is only a bound, or it "
    "served nobody, or the reference spent nothing. ≤ marks an upper bound, for the reverse "
    "reasons, and ? marks both. Ratios, intervals and p-values use the seeds in which both have a "
    "value above 0, and take bounds as they are."
)
"""Explains the signs of ratios, and how bounds are treated."""


@dataclass(frozen=True)
class PairedMetric:
    """A metric by which planners are compared."""

    name: str  # column of the rows
    title: str  # name in tables and figures
    more_is_better: bool
    # Boolean column that says whether the value is only a lower bound of the true value.
    bound: str | None = None


def ratios(rows: pl.DataFrame, metric: PairedMetric, reference: str) -> pl.DataFrame:
    """Return how many times better the reference is than each other planner.

    The ratio is the geometric mean over seeds, with Student's t-interval of its logarithm. A ratio
    above 1 means that the reference is better: it has more goodput or a lower cost. A seed counts
    only if the values of both planners are above 0. `rows` has the runs of one scene, with the
    columns ``planner``, ``seed`` and the metric.

    Each other planner has a row with the columns of `RATIOS`. ``p_holm`` is the p-value, adjusted
    for the number of planners. ``sign`` is ``"≥"`` if, on some seed, the other planner served no
    query or its value is only a lower bound. It is ``"≤"`` if this holds for the reference, ``"?"``
    if it holds for both planners, and empty if it holds for neither. ``n`` is the number of seeds
    that count, and ``of`` is the number of all seeds.
    """
    bound = pl.lit(False) if metric.bound is None else pl.col(metric.bound)
    values = {
        (planner, seed): (value, bool(is_bound))
        for planner, seed, value, is_bound in rows.select(
            "planner", "seed", metric.name, bound
        ).iter_rows()
    }
    seeds = rows["seed"].unique(maintain_order=True).to_list()
    sign = 1 if metric.more_is_better else -1
    found: list[list[Any]] = []
    for planner in rows["planner"].unique(maintain_order=True).to_list():
        if planner == reference:
            continue
        logs, our_bounds, their_bounds = [], False, False
        for seed in seeds:
            ours, our_bound = values.get((reference, seed), (None, False))
            theirs, their_bound = values.get((planner, seed), (None, False))
            if ours and theirs:
                logs.append(sign * float(np.log(ours / theirs)))
                our_bounds |= our_bound
                their_bounds |= their_bound
            else:
                # If a planner served no query or spent nothing, no finite ratio expresses how much
                # worse or better it is.
                we_lose = bool(theirs) and (reference, seed) in values
                they_lose = bool(ours) and (planner, seed) in values
                if not metric.more_is_better and (ours == 0 or theirs == 0):
                    we_lose, they_lose = they_lose, we_lose
                our_bounds |= we_lose
                their_bounds |= they_lose
        mean = estimate(np.array(logs), 1.0)
        mark, of = BOUNDS[our_bounds, their_bounds], len(seeds)
        found.append([metric.name, planner, mean.n, *as_ratio(mean), mean.p, mark, of])
    adjusted = holm([row[6] for row in found])
    for row, p in zip(found, adjusted, strict=True):
        row[6] = p
    return pl.DataFrame(found, RATIOS, orient="row")


def explained(found: pl.DataFrame) -> Iterator[str]:
    """Yield `EXPLAINED` and an empty line if a ratio has a sign or does not use all seeds."""
    if not found.is_empty() and ((found["sign"] != "") | (found["n"] < found["of"])).any():
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


def ratio_interval(ours: Floats, theirs: Floats) -> Interval:
    """Return the geometric mean of ours / theirs (positive, of shape (n,)) and its interval."""
    return as_ratio(estimate(np.log(ours / theirs), 1.0))


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
