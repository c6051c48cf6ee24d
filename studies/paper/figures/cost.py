"""Figures 11 and 12: cost of serving all queries, and response time, with plentiful machines.

There are more machines than any planner could use. They are rented only while in use, at dated list
prices. Cost is the bill per hour in which a query's SLO is met, so bad service does not lower it.
Compass plans for least cost. In captioning and code generation, a query has ten minutes
of planning time and stays for an hour. The paper simulates ten hours, and we simulate two. Seeds of
live video chat differ greatly: if several configurations are closer to the accuracy floor than
profiling can resolve, Compass serves most queries by one that just misses the floor. This happens
on two of the first ten seeds (`compass-sim -m experiment=paper/fig11_chat planner=compass_cost
'seed=range(10)'`).

Response time (figure 12) ends at the first plan that truly meets the SLO. It is compared in scenes
whose queries need an answer within seconds. Quartiles are Kaplan-Meier estimates: a query that
leaves without such a plan counts with the time that it waited. If too few queries get such a plan
on some seed, the quartile of that seed is infinite, and so is the mean over seeds.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite, isinf
from pathlib import Path

import numpy as np
import polars as pl

from lab.analysis.paired import by_scene
from lab.common.formatting import number
from lab.reporting.markdown import table
from lab.reporting.plotting.canvas import canvas, legend_below, palette, save
from lab.run_cache.jobs import Job
from studies.common.claims import Finding, measured, of_range
from studies.common.measures import totals
from studies.common.metrics import (
    ATTRIBUTED,
    COST,
    OWN_ARMS,
    PAPER,
    RESPONSE,
    RESPONSE_OF_SERVED,
)
from studies.common.pictures import draw_ratios
from studies.common.scenes import AT_LEAST_COST
from studies.common.study import Scale
from studies.common.sweep_files import runs
from studies.common.tables import means, ratio_table

TITLE = "Cost and response time against Vulcan and VideoStorm"
SOON = {
    "fig11_speech": "speech",
    "fig11_tracking": "tracking",
    "fig11_speech_large": "speech, large",
    "fig11_tracking_large": "tracking, large",
    "fig11_chat": "live video chat",
}
"""Experiments of applications whose queries need an answer within seconds."""

HOURS = {"fig11_hours": "hours"}
METRICS = (COST, ATTRIBUTED, RESPONSE, RESPONSE_OF_SERVED)
QUARTILES = ["response_p25_s", "response_p50_s", "response_p75_s"]
ABREAST = 0.15


def jobs(scale: Scale) -> list[Job]:
    """Return the runs: every planner in every scene."""
    planners = [AT_LEAST_COST.get(name, name) for name in scale.planners]
    return runs({**SOON, **HOURS}, replace(scale, planners=planners), totals)


def _scenes(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose scene is the application; replace medians that are only bounds by null."""
    scene = pl.col("scene")
    if "application" in rows.columns:
        name = pl.col("application").str.replace_all("_", " ")
        scene = pl.when(scene == "hours").then(name).otherwise(scene)
    median = pl.lit(None)
    if "response_s" in rows.columns:
        median = pl.when(~pl.col("response_is_bound")).then("response_s")
    return rows.with_columns(scene=scene, response_p50_s=median)


def _soon(rows: pl.DataFrame) -> pl.DataFrame:
    return _scenes(rows).filter(pl.col("scene").is_in(list(SOON.values())))


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return verdicts on ratios of cost and of median response time, by the paper's ranges."""
    hours = next(iter(HOURS.values()))
    reference = str(rows["planner"][0])
    rows = rows.filter(~pl.col("planner").is_in(OWN_ARMS))
    costs = by_scene(_scenes(rows), [COST], reference, ["scene"])
    responses = by_scene(_soon(rows), [RESPONSE], reference, ["scene"])
    return [
        of_range(
            f"{row['scene']}: 3.8 to 4.5 times cheaper than {row['planner']}",
            paper=PAPER["usd_per_query_hour"],
            why="the ratio grows with the other planner's spending on queries that miss their SLO",
            **{**measured(row), "scene": row["scene"] if row["scene"] in SOON.values() else hours},
        )
        for row in costs.iter_rows(named=True)
    ] + [
        of_range(
            f"{row['scene']}: responds 4.2 to 10.5 times as fast as {row['planner']}",
            paper=PAPER["response_s"],
            why="ratio of the reciprocals of medians, which are 0 on seeds on which less than half "
            "are served; Compass and VideoStorm profile each data set ahead, Vulcan does not",
            **measured(row),
        )
        for row in responses.iter_rows(named=True)
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the ratios, and means over seeds."""
    yield (
        f"The ratios are cost and response time of the others over those of `{rows['planner'][0]}`"
        ", in unlimited clusters. Cost is the bill per hour in which a query's SLO is met; "
        "attributed cost excludes idle rented hardware. Response time is the Kaplan-Meier median "
        "over all queries. Ratios compare means of the reciprocals: hours of service per dollar, "
        "and responses per second of waiting. They are 0 on seeds without service, or on which "
        "less than half of the queries were ever served."
    )
    yield ""
    rows = _scenes(rows)
    found = by_scene(rows, METRICS, str(rows["planner"][0]), ["scene"])
    labels = {"metric": "metric", "scene": "scene", "planner": "against"}
    yield from ratio_table(found.sort("metric", maintain_order=True), labels, paper=True)
    yield from means(rows, ["scene", "planner"])
    if set(QUARTILES) <= set(rows.columns):
        yield "Quartiles of response times, means over seeds:"
        yield ""
        yield from table(
            ["application", "planner", "p25, s", "median, s", "p75, s", "ever served"],
            ([*row[:2], *map(number, row[2:])] for row in quartiles(rows).iter_rows()),
        )


def quartiles(rows: pl.DataFrame) -> pl.DataFrame:
    """Return means over seeds; a quartile that is not reached on some seed is infinite."""
    return (
        _soon(rows)
        .group_by("scene", "planner", maintain_order=True)
        .agg(pl.col(QUARTILES).fill_null(np.inf).mean(), pl.col("served").mean())
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios, and quartiles of response times if the rows have them."""
    found = by_scene(_scenes(rows), [COST, RESPONSE], str(rows["planner"][0]), ["scene"])
    paths = [draw_ratios(found, [COST, RESPONSE], directory / "cost.png", 4.2, PAPER)]
    if set(QUARTILES) <= {*rows.columns, "response_p50_s"}:
        paths.append(draw_quartiles(quartiles(rows), directory / "cost-response.png"))
    return paths


def draw_quartiles(by: pl.DataFrame, path: Path) -> Path:
    """Draw medians with quartiles; triangles mark quartiles that are not reached on some seed."""
    scenes = by["scene"].unique(maintain_order=True).to_list()
    planners = by["planner"].unique(maintain_order=True).to_list()
    colors = palette(planners)
    figure, [[axes]] = canvas(1, 1, 3.6)
    every = by.select(QUARTILES).to_numpy()
    longest = 3 * float(every[np.isfinite(every)].max(initial=1.0))
    for at, planner in enumerate(planners):
        shift, color = ABREAST * (at - (len(planners) - 1) / 2), colors[planner]
        for scene, _, low, middle, high, _ in by.filter(planner=planner).iter_rows():
            x = scenes.index(scene) + shift
            axes.plot([x, x], [min(low, longest), min(high, longest)], color=color, lw=1.5)
            if isinf(high):
                axes.plot(x, longest, marker="^", color=color, ms=5)
            if isfinite(middle):
                axes.plot(x, middle, marker="o", color=color, ms=5)
        axes.plot([], [], marker="o", color=color, label=planner)
    axes.set(yscale="log", xticks=range(len(scenes)), xticklabels=scenes)
    axes.set(ylabel="response time, s", title="medians and quartiles; triangles: not on all seeds")
    legend_below(figure, axes)
    return save(figure, path)
