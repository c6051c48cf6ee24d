"""Ratios of a reference planner to others, paired over seeds, with intervals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lab.analysis.statistics import Floats, as_ratio, estimate, holm
from lab.common.metrics import ANY, ValueRange

Interval = tuple[float | None, float | None, float | None]
"""A value, and the lower and upper end of its 95 % interval."""

RATIOS = {
    "metric": pl.String,
    "planner": pl.String,
    "n": pl.Int64,
    **dict.fromkeys(("ratio", "low", "high", "p_holm"), pl.Float64),
    "sign": pl.String,
    "of": pl.Int64,
}

PERCENT: ValueRange = (0.0, 100.0)
"""Range of a share in percent."""

BOUNDS = {(False, False): "", (False, True): "≥", (True, False): "≤", (True, True): "?"}
"""Sign of a ratio, by whether the values of the reference and of the other planner are only lower
bounds of the true ones, for metrics of which less is better."""

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
    # Column that is true where the value is only a lower bound of the true one.
    bound: str | None = None


def ratios(rows: pl.DataFrame, metric: PairedMetric, reference: str) -> pl.DataFrame:
    """Return how many times better the reference is than each other planner.

    The ratio is the geometric mean over seeds, with Student's t-interval of the logarithm. Above 1,
    the reference is better: it has more goodput or less cost. A seed counts if both values are
    above 0. `rows`, of one scene, have ``planner``, ``seed`` and the metric.

    Each other planner has a row with the columns of `RATIOS`. ``p_holm`` is adjusted over planners.
    ``sign`` is ``"≥"`` if on some seed the other's value is a lower bound or it served nobody,
    ``"≤"`` if so for the reference, ``"?"`` if for both, else empty. ``n`` of ``of`` seeds count.
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
                # A planner that served nobody is worse by more than any ratio; one that spent
                # nothing is better by more than any ratio.
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
    """Yield `EXPLAINED` and an empty line if any row of `ratios` has a sign or lacks a seed."""
    if not found.is_empty() and ((found["sign"] != "") | (found["n"] < found["of"])).any():
        yield EXPLAINED
        yield ""


def counted(n: int, of: int) -> str:
    """Return how many seeds count, and the total if that is more."""
    return f"{n}" if n == of else f"{n} of {of}"


def by_scene(
    rows: pl.DataFrame, metrics: Sequence[PairedMetric], reference: str, scene: Sequence[str]
) -> pl.DataFrame:
    """Return `ratios` of each metric in each scene; the columns ``scene`` distinguish scenes."""
    parts = []
    for key, part in rows.group_by(*scene, maintain_order=True):
        labels = [pl.lit(value).alias(name) for name, value in zip(scene, key, strict=True)]
        parts += [ratios(part, metric, reference).select(*labels, pl.all()) for metric in metrics]
    return pl.concat(parts) if parts else pl.DataFrame()


def ratio_interval(ours: Floats, theirs: Floats) -> Interval:
    """Return the geometric mean ratio, with interval, of paired values above 0 of shape (n,)."""
    return as_ratio(estimate(np.log(ours / theirs), 1.0))


def mean_interval(values: Floats, within: ValueRange = ANY) -> Interval:
    """Return the mean, with interval, of values by seed of shape (n,); the interval is cut."""
    mean = estimate(values, within=within)
    return mean.mean, mean.low, mean.high


def jackknifed(count: int, statistic: Callable[[Sequence[int]], float]) -> Interval:
    """Return a statistic of seeds, given by index from 0, with its jackknife interval.

    For n seeds, the pseudo-values are n T - (n - 1) T_i, where T_i leaves out seed i (Tukey 1958).
    The interval is Student's t-interval of these.
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
