"""Figure 11: what serving all queries costs, where machines abound.

More machines than any planner could use, rented only while in use, at dated list prices. Cost is
the bill for an hour in which a query's SLO is met, so that nobody gains by serving badly. Compass
plans in its mode of least cost. Captioning and code generation have ten planning minutes for each
query and live for an hour; the paper follows them for ten hours, we for two. Seeds of live
video chat differ by far: where several configurations lie closer to the floor of accuracy than
profiling can tell apart, Compass serves most queries by one that just misses it, as on two of the
first ten seeds
(`compass-sim -m experiment=paper/fig11_chat planner=compass_cost 'seed=range(10)'`).
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, counted
from lab.reporting.markdown import table
from lab.reporting.plotting.canvas import canvas, legend_below, save
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, of_range
from studies.common.means import marked, served_alone
from studies.common.measured import bill
from studies.common.ratio_figure import dots
from studies.common.sweep_files import experiment
from studies.experiments.headline import COST, PAPER

SOON = {"fig11_speech": "speech", "fig11_tracking": "tracking", "fig11_chat": "live video chat"}
"""Experiments of applications whose queries want an answer within seconds."""

HOURS = "fig11_hours"
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in (*SOON, HOURS))
REFERENCE = "compass_cost"


def runs_within_seconds(quick: bool) -> list[Job]:
    """Return the runs of applications that want an answer within seconds, labelled ``scene``."""
    return [
        job
        for name, scene in SOON.items()
        for job in experiment(name, quick).jobs(bill, scene=scene)
    ]


def jobs(quick: bool) -> list[Job]:
    """Return the runs, labelled ``scene`` and, of hours, also ``application``."""
    return [*runs_within_seconds(quick), *experiment(HOURS, quick).jobs(bill, scene="hours")]


def _scenes(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose scene names the application."""
    scene = pl.col("scene")
    if "application" in rows.columns:
        name = pl.col("application").str.replace_all("_", " ")
        scene = pl.when(scene == "hours").then(name).otherwise(scene)
    return rows.with_columns(scene=scene)


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return the ratios of cost against the paper's range."""
    rows = _scenes(rows)
    return [
        of_range(
            f"{row['scene']}: 3.8 to 4.5 times cheaper than {row['planner']}",
            (row["ratio"], row["low"], row["high"]),
            PAPER["usd_per_query_hour"],
            "the ratio grows with what others spend on queries that they then fail",
            counted(row["n"], row["of"]),
            row["sign"],
        )
        for row in by_scene(rows, [COST], REFERENCE, ["scene"]).iter_rows(named=True)
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the means."""
    columns = ["usd_per_query_hour", "slo_met", "served", "goodput"]
    yield f"{'; '.join(['Means over seeds', *served_alone(rows, columns)])}:"
    yield ""
    yield from table(
        ["application", "planner", "$ a query-hour", "SLO met", "ever served", "goodput, queries"],
        (
            [*key, *(marked(part, name) for name in columns)]
            for key, part in _scenes(rows).group_by("scene", "planner", maintain_order=True)
        ),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios."""
    figure, panels = canvas(1, 1, 4.2)
    axes = panels[0][0]
    dots(axes, by_scene(_scenes(rows), [COST], REFERENCE, ["scene"]), PAPER["usd_per_query_hour"])
    axes.set(title="cost of the other over that of Compass")
    legend_below(figure, axes)
    return [save(figure, directory / "fig11_cost.png")]
