"""Tables of means over seeds, in which bounds stay bounds."""

from collections.abc import Iterator, Sequence

import polars as pl

from evaluation.markdown import estimated, table

HEADS = {
    "goodput": "goodput, queries",
    "active": "of living",
    "slo_met": "SLO met, share of time",
    "served": "ever served, share",
    "usd_per_query_hour": "$ a query-hour",
    "attributed_usd_per_query_hour": "attributed",
    "response_s": "response, s",
    "false_acceptances": "false acceptances",
    "planning_device_hours": "profiling, device-h",
    "planner_errors": "errors",
}
"""Columns of `evaluation.measures.totals`, and what tables call them."""

BOUNDS = {"response_s": "response_is_bound"}
"""Columns that may hold lower bounds of the true values, and those that say where they do."""

AT_LEAST = (
    "≥ marks response times of which less than half of the queries were ever served in some seed, "
    "so that the longest life of a query stands in for a median that is longer"
)


def sign(rows: pl.DataFrame, column: str) -> str:
    """Return ``"≥"`` if a value of a column is a lower bound, so that their mean is, or nothing."""
    return "≥" if column in BOUNDS and rows[BOUNDS[column]].any() else ""


def means(
    rows: pl.DataFrame, keys: Sequence[str], columns: Sequence[str] = tuple(HEADS)
) -> Iterator[str]:
    """Yield a table of means over seeds, after a line on what it shows.

    Args:
        rows: one for each run, with what `evaluation.measures.totals` takes.
        keys: columns that tell apart what is averaged.
        columns: what is averaged, of `HEADS`.
    """
    yield f"Means over seeds{f'; {AT_LEAST}' if BOUNDS.keys() & set(columns) else ''}:"
    yield ""
    by = rows.group_by(*keys, maintain_order=True)
    yield from table(
        [*keys, *(HEADS[name] for name in columns)],
        ([*key, *_cells(part, columns)] for key, part in by),
    )


def _cells(rows: pl.DataFrame, columns: Sequence[str]) -> Iterator[str]:
    for name, mean in rows.select(pl.col(columns).mean()).row(0, named=True).items():
        yield estimated(mean, None, None, sign(rows, name))
