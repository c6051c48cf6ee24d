"""Figure 17, text: the number of histories that a search should start from.

A history is what the search of an earlier query learned. All queries have the same data set of
speech recognition. Machines and profiling lanes are plentiful. Nothing is profiled ahead, so all
histories come from earlier queries. Only queries of the second half count; more than a hundred
queries arrived before each of them. Each history costs planning time.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

import polars as pl

from lab.analysis.paired import PairedMetric, ratios
from lab.common.formatting import number
from lab.reporting.markdown import table
from lab.run_cache.jobs import Job
from sim.api.charges import CHARGES_S
from studies.common.claims import Finding, Verdict, ahead
from studies.common.measures import early
from studies.common.pictures import draw_curves
from studies.common.study import Scale
from studies.common.sweep_files import experiment
from studies.common.tables import marked, served_alone

TITLE = "How many histories to start from"
NAME = "fig17_histories"
SWEPT = "planner.search.warm_start.histories"
GOOD, MANY = 10, 100
COLUMNS = {
    "response_s": "median response time, s",
    "first_search_s": "planning in the first search that deployed, median, s",
    "configurations": "configurations profiled until then",
    "profiling_device_s": "profiling per query, device-s",
    "served": "ever served, share",
}


def jobs(scale: Scale) -> list[Job]:
    """Return the runs: Compass with different numbers of histories."""
    return experiment(NAME, scale).jobs(early)


def by_histories(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the column ``histories``, their number, sorted by it."""
    return rows.with_columns(histories=pl.col(SWEPT).cast(pl.Int64)).sort("histories", "seed")


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return verdicts on response and planning times relative to those with ten histories."""
    tidy = by_histories(rows)
    found = []
    for histories in tidy["histories"].unique().sort().to_list():
        if histories == GOOD:
            continue
        if histories < GOOD:
            claim = f"queries are served sooner with ten histories than with {histories or 'none'}"
            columns = {"response_s": "response time"}
        else:
            claim = f"{histories} histories are too many"
            columns = {
                "response_s": "response time",
                "first_search_s": "planning in the first search that deployed",
            }
        for column, what in columns.items():
            both = tidy.filter(pl.col("histories").is_in([GOOD, histories]))
            [row] = ratios(
                both.with_columns(planner=pl.col("histories").cast(pl.String)),
                PairedMetric(column, what, more_is_better=False, endless=True),
                str(GOOD),
            ).iter_rows(named=True)
            finding = ahead(
                f"{claim}: {what}",
                row,
                f"mean of reciprocals with {GOOD} over that with {histories}",
            )
            if histories > GOOD:
                # The cost of a history is our own assumption, which our runs cannot confirm.
                why = _assumed(both, histories)
                finding = replace(finding, verdict=Verdict.UNDECIDED, why=why, decidable=False)
            found.append(finding)
    return found


def _assumed(both: pl.DataFrame, histories: int) -> str:
    """Return why the runs cannot show that a number of histories is too large."""
    few, many = (
        number(float(both.filter(histories=n)["configurations"].to_numpy().mean()))
        for n in (GOOD, histories)
    )
    return (
        f"mean of 1 / x with {GOOD} over that with {histories}; the "
        f"{1e3 * CHARGES_S['history']:g} ms "
        "charged per history are an assumption, and the ratio only repeats it. Their benefit is "
        f"measured: {many} configurations until the first deployment, instead of {few}"
    )


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield means by number of histories; a median not reached on some seed is infinite."""
    reached = by_histories(rows).with_columns(pl.col("response_s").fill_null(inf))
    yield f"{'; '.join(['Means over seeds', *served_alone(rows, COLUMNS)])}:"
    yield ""
    yield from table(
        ["histories", *COLUMNS.values()],
        (
            [*key, *(_mean(part, name) for name in COLUMNS)]
            for key, part in reached.group_by("histories", maintain_order=True)
        ),
    )


def _mean(part: pl.DataFrame, column: str) -> str:
    # A response time is infinite here, not a bound.
    infinite = column == "response_s"
    return number(part.select(pl.col(column).mean()).item()) if infinite else marked(part, column)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw times and configurations by number of histories; omit medians that a seed lacks."""
    reached = pl.col("response_s").is_not_null().all().over("histories")
    titles = {
        "response_s": "response time, s",
        "first_search_s": "first search that deployed, s",
        "configurations": "configurations profiled",
    }
    tidy = (
        by_histories(rows)
        .with_columns(response_s=pl.when(reached).then("response_s"))
        .select(pl.col("histories").cast(pl.String), *titles, planner=pl.lit("compass"))
        .unpivot(index=["histories", "planner"])
        .with_columns(pl.col("variable").replace_strict(titles))
        .drop_nulls()
    )
    path = directory / "histories.png"
    labels = {"xlabel": "histories", "ylabel": ""}
    return [draw_curves(tidy, "variable", "histories", "value", path, settings=labels)]
