"""Ranks planners by their scores, which are paired over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from lab.analysis.comparison import from_runs
from lab.analysis.statistics import allowed_error

RANK, PLANNER, LOW, HIGH, MEAN = "rank", "planner", "low", "high", "mean"
COLUMNS = (RANK, PLANNER, "submitted", MEAN, LOW, HIGH, "runs", "failed", "errors")
"""Columns of the board; the others are named by regimes."""


@dataclass(frozen=True)
class Scored:
    """The score of one run; it is 0 if the run failed."""

    planner: str
    regime: str
    seed: int
    score: float
    failure: str | None = None
    errors: int = 0
    first_error: str | None = None


def ranking(runs: Sequence[Scored], metric: str, submitted: Mapping[str, bool]) -> pl.DataFrame:
    """Return the board: one row for each planner, the best first.

    The score of a planner on a seed is its mean over regimes. ``mean``, ``low`` and ``high`` are
    the mean of these over seeds with its 95 % interval. A planner's rank is 1 plus the number of
    planners that are surely better than it: the mean of the paired differences over seeds is above
    0, and the p-value of the paired t-test, adjusted for all pairs of planners (Holm), is below
    0.05. But no planner has a better rank than one with a larger mean, so scores that vary much,
    from which few others differ surely, are no advantage.

    Args:
        runs: the runs of all planners, in all regimes, on all seeds.
        metric: name of the score.
        submitted: whether each planner is a submission, by name.
    """
    frame = pl.DataFrame([vars(run) for run in runs], infer_schema_length=None)
    by_seed = frame.group_by(PLANNER, "seed", maintain_order=True).agg(pl.col("score").mean())
    rows = by_seed.rename({"score": metric}).to_dicts()
    compared = from_runs("leaderboard", rows, [metric])
    better = dict.fromkeys(submitted, 0)
    for pair in compared.differences.iter_rows(named=True):
        if pair["p_holm"] < allowed_error():
            behind = pair["other"] if pair["difference"] > 0 else pair[PLANNER]
            better[behind] += 1
    means = compared.means.select(PLANNER, MEAN, LOW, HIGH)
    by_regime = frame.pivot(
        "regime", index=PLANNER, values="score", aggregate_function="mean", maintain_order=True
    )
    counts = frame.group_by(PLANNER).agg(
        pl.len().alias("runs"),
        pl.col("failure").is_not_null().sum().alias("failed"),
        pl.col("errors").sum(),
    )
    return (
        means.join(by_regime, PLANNER)
        .join(counts, PLANNER)
        .select(
            pl.col(PLANNER).replace_strict(better, return_dtype=pl.Int64).alias(RANK) + 1,
            PLANNER,
            pl.col(PLANNER).replace_strict(submitted, return_dtype=pl.Boolean).alias("submitted"),
            pl.exclude(PLANNER),
        )
        .sort(MEAN, RANK, PLANNER, descending=[True, False, False])
        .with_columns(pl.col(RANK).cum_max())
    )
