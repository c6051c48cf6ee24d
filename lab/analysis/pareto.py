"""Which planners are worth a look when goodput, cost and response time all count."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from lab.common.metrics import COST, GOODPUT, RESPONSE

AIMS = (GOODPUT, COST, RESPONSE)


def dominators(points: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return, for each point, the points that dominate it.

    One point dominates another if it is at most as large everywhere and smaller somewhere: less is
    better. An infinite value is the worst; two of them are equal.

    Args:
        points: points of the same length, without nan.
    """
    found = []
    for one in points:
        found.append(
            [
                at
                for at, other in enumerate(points)
                if all(a <= b for a, b in zip(other, one, strict=True))
                and any(a < b for a, b in zip(other, one, strict=True))
            ]
        )
    return found


def pareto(runs: pl.DataFrame) -> pl.DataFrame:
    """Return goodput, cost and response time of each setting and planner, and who dominates it.

    Goodput and cost are means over seeds. The response time is the median over seeds of the runs'
    medians, for it is known even where some of these were not reached: they count as longer than
    all others, and it is null if that is what the median falls on.

    Args:
        runs: finished runs, with ``setting``, ``planner``, ``planner_sees_truth`` and the figures
            of their summaries.

    Returns:
        One row for each setting and planner: ``n`` runs, the three figures, whether it is
        ``dominated``, and ``dominated_by``, names of planners that do no worse in all three figures
        and better in one. Planners that see the truth dominate no one: nobody can choose them.
    """
    rows = (
        runs.group_by("setting", "planner", "planner_sees_truth", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("n"),
            pl.col(GOODPUT.name).mean(),
            pl.col(COST.name).mean(),
            pl.col(RESPONSE.name).cast(pl.Float64).fill_null(np.inf).median(),
        )
        .with_columns(
            pl.when(pl.col(RESPONSE.name).is_finite()).then(RESPONSE.name).name.keep(),
        )
    )
    parts = [_marked(part) for part in rows.partition_by("setting", maintain_order=True)]
    return pl.concat(parts) if parts else _marked(rows)


def _marked(rows: pl.DataFrame) -> pl.DataFrame:
    """Add who dominates whom among the planners of one setting."""
    rivals = rows.select(
        (-pl.col(aim.name) if aim.more_is_better else pl.col(aim.name)).fill_null(np.inf)
        for aim in AIMS
    ).rows()
    names, truth = rows["planner"].to_list(), rows["planner_sees_truth"].to_list()
    above = [", ".join(names[at] for at in found if not truth[at]) for found in dominators(rivals)]
    return rows.with_columns(
        pl.Series("dominated", [bool(names) for names in above], pl.Boolean),
        pl.Series("dominated_by", above, pl.String),
    )
