"""Cells and tables that studies share. A sign marks values that are only bounds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl

from lab.analysis.paired import counted, explained
from lab.common.formatting import probability
from lab.reporting.markdown import estimated, table
from studies.common.metrics import TITLES, paper_range

HEADS = {
    "goodput": "goodput, queries",
    "active": "living queries",
    "slo_met": "SLO met, share of time",
    "served": "ever served, share",
    "usd_per_query_hour": "$ per query-hour",
    "attributed_usd_per_query_hour": "attributed",
    "response_s": "response time, s",
    "false_acceptances": "false acceptances",
    "planning_device_hours": "profiling, device-h",
    "planner_errors": "errors",
}
"""Columns of `studies.common.measures.totals`, and their heads in tables."""

BOUNDS = {"response_s": "response_is_bound"}
"""Columns that can hold lower bounds, each with the boolean column that marks such values."""

AT_LEAST = (
    "≥ marks response times that are lower bounds: on some seed less than half of the queries were "
    "ever served, so the median is unknown and the longest life of a query stands for it"
)

WITHOUT = {
    "usd_per_query_hour": "costs",
    "attributed_usd_per_query_hour": "costs",
    "first_search_s": "searches",
    "configurations": "searches",
}
"""Columns without values on seeds that served no query, each with its key in `SERVED_ALONE`."""

SERVED_ALONE = {
    "costs": "≥ marks costs that are lower bounds: on some seed no SLO was met, so the cost per "
    "hour is undefined, and the mean is over the other seeds",
    "searches": "≥ marks searches that are lower bounds: on some seed no search led to a "
    "deployment, and the mean is over the other seeds",
}
"""Explanations of the sign by the keys that `WITHOUT` uses."""


def sign(rows: pl.DataFrame, column: str) -> str:
    """Return ``"≥"`` if the mean of a column is only a lower bound, and otherwise an empty text.

    The mean is a bound if any value is a bound, or if some seed has no value.
    """
    bound = column in BOUNDS and rows[BOUNDS[column]].any()
    return "≥" if bound or (column in WITHOUT and rows[column].null_count()) else ""


def served_alone(rows: pl.DataFrame, columns: Iterable[str]) -> list[str]:
    """Return the explanations of signs for those given columns that lack a value on some seed."""
    lacking = [WITHOUT[name] for name in columns if name in WITHOUT and sign(rows, name)]
    return [SERVED_ALONE[each] for each in dict.fromkeys(lacking)]


def marked(rows: pl.DataFrame, column: str) -> str:
    """Return the mean of a column as text, preceded by its `sign`."""
    return estimated(rows.select(pl.col(column).mean()).item(), None, None, sign(rows, column))


def means(
    rows: pl.DataFrame, keys: Sequence[str], columns: Sequence[str] | Mapping[str, str] = HEADS
) -> Iterator[str]:
    """Yield an explanation and a table of means over seeds, with a row for each value of `keys`.

    `columns` are some columns of `HEADS`, or a mapping from columns to their heads.
    """
    heads = columns if isinstance(columns, Mapping) else {name: HEADS[name] for name in columns}
    notes = [AT_LEAST] if BOUNDS.keys() & heads.keys() else []
    yield f"{'; '.join(['Means over seeds', *notes, *served_alone(rows, heads)])}:"
    yield ""
    by = rows.group_by(*keys, maintain_order=True)
    yield from table(
        [*keys, *heads.values()],
        ([*key, *(marked(part, name) for name in heads)] for key, part in by),
    )


def ratio_table(
    found: pl.DataFrame, labels: Mapping[str, str], paper: bool = False
) -> Iterator[str]:
    """Yield a table of the ratios of `paired.by_scene`, with intervals and p-values.

    `labels` maps the columns that identify rows to heads; `paper` adds a column of the paper's
    ranges.
    """
    yield from table(
        [*labels.values(), "seeds", "ratio", "p", *(["paper"] if paper else [])],
        (
            [
                *(TITLES[row[name]] if name == "metric" else row[name] for name in labels),
                counted(row["n"], row["of"]),
                estimated(row["ratio"], row["low"], row["high"]),
                probability(row["p_holm"]),
                *([paper_range(row["metric"])] if paper else []),
            ]
            for row in found.iter_rows(named=True)
        ),
    )
    yield from explained(found)
