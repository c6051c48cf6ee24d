"""A comparison as plain text."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import polars as pl

from lab.common.formatting import interval, number, probability
from lab.common.metrics import HEADLINES

if TYPE_CHECKING:
    from lab.analysis.comparison import Comparison


def tables(comparison: "Comparison") -> Iterator[str]:
    """Yield the lines of the tables of the headline metrics."""
    means, differences = comparison.means, comparison.differences
    shown, _ = _shown_and_others(comparison)
    planners = comparison.runs["planner"].n_unique()
    seeds = comparison.runs["seed"].n_unique()
    yield (
        f"{comparison.scenario}: {planners} planner{'s' * (planners != 1)}, "
        f"{seeds} seed{'s' * (seeds != 1)}, "
        + ("hence no intervals" if seeds == 1 else "means with 95 % t-intervals")
    )
    yield ""
    yield from _aligned(
        ("metric", "planner", "n", "mean", "95 % interval"),
        [
            (metric, planner, str(n), number(mean, 4), interval(low, high, 4, "-"))
            for metric, planner, n, mean, low, high, *_ in _of(means, shown)
        ],
    )
    if differences.height:
        yield ""
        yield (
            "Differences (first minus second)"
            if seeds == 1
            else "Paired differences over seeds (first minus second; p by paired t, Holm-adjusted)"
        )
        yield from _by_pair(differences, shown)
    if means.filter(pl.col("metric").is_in(shown))["n"].min() != seeds:
        yield ""
        yield "n counts the seeds with a value, in differences for both planners; other seeds are"
        yield "left out. A median response time is missing where under half were ever served."
    if "planner_errors" in comparison.runs.columns:
        raised = comparison.runs.group_by("planner", maintain_order=True).agg(
            pl.col("planner_errors").sum(), (pl.col("planner_errors") > 0).sum().alias("runs")
        )
        for planner, errors, runs in raised.filter(pl.col("runs") > 0).iter_rows():
            yield ""
            often = "once" if errors == 1 else f"{errors:,.0f} times"
            yield f"Planner {planner} raised {often}, in {runs} of {seeds} seeds."


def others(comparison: "Comparison") -> Iterator[str]:
    """Yield lines that name the metrics which the tables do not show."""
    _, left_out = _shown_and_others(comparison)
    if left_out:
        yield ""
        yield from wrap(f"Also in .means and .differences: {', '.join(left_out)}", 100)


def _shown_and_others(comparison: "Comparison") -> tuple[list[str], list[str]]:
    """Return the metrics that the tables show, and the others."""
    metrics = comparison.means["metric"].unique(maintain_order=True).to_list()
    shown = [metric.name for metric in HEADLINES if metric.name in metrics] or metrics
    return shown, [metric for metric in metrics if metric not in shown]


def _by_pair(differences: pl.DataFrame, metrics: Sequence[str]) -> Iterator[str]:
    """Yield a table of differences for each pair of planners, all with the same columns."""
    pairs = differences.select("planner", "other").unique(maintain_order=True).rows()
    rows = [
        (
            *(metric, str(n), number(mean, 4), interval(low, high, 4, "-"), probability(p_holm)),
            *(number(ratio, 4), interval(ratio_low, ratio_high, 4, "-")),
        )
        for one, other in pairs
        for metric, _, _, n, mean, low, high, _, _, _, p_holm, ratio, ratio_low, ratio_high in _of(
            differences.filter(planner=one, other=other), metrics
        )
    ]
    head = ("metric", "n", "difference", "95 % interval", "p", "ratio", "95 % interval")
    title, rule, *lines = _aligned(head, rows, names=1)
    for i, (one, other) in enumerate(pairs):
        yield ""
        yield f"{one} - {other}"
        yield title
        yield rule
        yield from lines[i * len(metrics) : (i + 1) * len(metrics)]


def _of(frame: pl.DataFrame, metrics: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of some metrics, in their order."""
    for metric in metrics:
        yield from frame.filter(metric=metric).iter_rows()


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], names: int = 2) -> Iterator[str]:
    """Yield the lines of a table; a name that repeats the one above is left out."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    before = ""
    for row in (head, ["-" * width for width in widths], *rows):
        first = "" if row[0] == before else row[0]
        before = row[0]
        cells = [
            cell.ljust(width) if column < names else cell.rjust(width)
            for column, (cell, width) in enumerate(zip((first, *row[1:]), widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
