"""After a step of latency and a step of accuracy: how soon SLOs are met again.

A population of queries that stay arrives over the first half; in the middle, links, devices or
content change. Followed are the queries that arrived at least a minute before. Their violation rate
is the share of their time whose window did not meet the SLO. The reference is the ILP, solved anew
on the truth all along; some queries no plan can serve after the step, and it has them too.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lab.analysis.comparison import of_difference
from lab.analysis.paired import PERCENT, mean_interval
from lab.common.formatting import number
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, curves, legend_below, palette, save
from lab.run_cache.jobs import Job
from lab.runs.api import Result
from studies.common.goals import verdict
from studies.common.scenes import OPTIMUM, up_to_optimum
from studies.common.store import each_cell

Floats = NDArray[np.float64]

TITLE = "After a drift"
GOAL_POINTS = 5.0
PLANNERS = ("compass", "compass_no_replanning", "ilp")
"""The planner, the same without replanning, and the reference."""

HORIZON_S = 720.0
STEP_S = HORIZON_S / 2
WINDOW_S = 30.0
SETTLED_S = 60.0
"""Queries that arrived so long before the step are followed."""

LAST_S = 120.0
"""The end of the run over which rates are compared."""

CASES = {
    "links": (
        "speech_recognition",
        "half of the links carry a third of what they did",
        ("drift=link_degradation",),
    ),
    "devices": (
        "speech_recognition",
        "half of the devices become a fifth as fast",
        (f"+drift.events=[{{kind: device_slowdown, at_s: {STEP_S:g}, factor: 0.2, share: 0.5}}]",),
    ),
    "content": (
        "speech_recognition",
        "the content of all queries moves by two fifths to its hardest stratum",
        (
            f"+drift.events=[{{kind: content_shift, at_s: {STEP_S:g}, factor: 0.4, share: 1.0}}]",
            "+workload.datasets={VOiCES: 1.0}",
            "workload.tiers={all: {latency_s: 4.0, accuracy_of_best: 0.6}}",
            "cluster=edge_only",
            "cluster.nodes.edge.count=1",
            "cluster.nodes.edge.standby=1",
        ),
    ),
}
"""Application, what happens, and what sets it up.

Chosen by what the ILP on the truth can still serve, which is nearly all. VOiCES is the only data
set whose content has several strata. The shift lowers all accuracies on it to about 0.7 of what
they were: with floors at 0.6 of the best, the best model keeps them and the smallest, which had
0.74 of the best, does not. One L4 machine serves the queries of the first half by either, and those
of the whole run by the smallest only, so that it matters what is believed of it.
"""

ILP_EVERY_S = 10.0
"""How often the ILP looks at the truth: each time it may solve anew, which is most of a run."""


def violations(result: Result) -> Mapping[str, Any]:
    """Return active and violated seconds of the followed queries, window by window."""
    followed = result.queries.filter(pl.col("arrival_s") <= STEP_S - SETTLED_S)["query"]
    windows = result.windows.filter(pl.col("query").is_in(followed.to_list()))
    by = windows.group_by("start_s").agg(
        pl.col("active_s").sum(),
        pl.col("active_s").filter(~pl.col("met")).sum().alias("violated_s"),
    )
    return {
        "followed": len(followed),
        "cells": by.sort("start_s").to_dicts(),
        "planner_errors": result.summary["planner_errors"],
    }


def jobs(seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
    """Return the runs."""
    rate = 0.02 if quick else 0.04
    return [
        Job(
            (
                f"application={application}",
                "application.requests_per_s=1.0",
                f"application.window_s={WINDOW_S:g}",
                "cluster=small",
                "cluster.profiling.lanes=100",
                f"horizon_s={HORIZON_S:g}",
                f"workload.rate={rate}",
                f"workload.lifetime_min_s={HORIZON_S:g}",
                f"workload.lifetime_mean_s={HORIZON_S + 1:g}",
                *more,
                f"planner={planner}",
                *([f"planner.replan_every_s={ILP_EVERY_S:g}"] if planner == OPTIMUM else ()),
            ),
            seed,
            violations,
            {"case": case, "planner": planner},
        )
        for case, (application, _, more) in CASES.items()
        for planner in up_to_optimum(planners or PLANNERS)
        for seed in seeds
    ]


def rates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the violation rate in percent of each case, planner, seed and window."""
    keys = "case", "planner", "seed"
    tidy = each_cell(rows, *keys)
    return tidy.filter(pl.col("active_s") > 0).with_columns(
        rate=100 * pl.col("violated_s") / pl.col("active_s"), end_s=pl.col("start_s") + WINDOW_S
    )


def section(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    tidy = rates(rows)
    yield (
        f"{HORIZON_S:g} s, with the step at {STEP_S:g} s; windows of {WINDOW_S:g} s. Goal: within "
        f"{GOAL_POINTS:g} points of the ILP at the end, and not so without replanning. The end is "
        f"the last {LAST_S:g} s; the difference is paired over seeds, and judged by its whole "
        "interval: *open* where that does not tell."
    )
    yield ""
    lines = []
    for case, (_, what, _) in CASES.items():
        part = tidy.filter(case=case)
        planners = part["planner"].unique(maintain_order=True).to_list()
        if not planners:
            continue
        curves = {planner: _mean_curve(part.filter(planner=planner)) for planner in planners}
        reference = planners[-1]
        end = {planner: _end(part.filter(planner=planner)) for planner in planners}
        for planner in planners:
            both = end[planner].join(end[reference], "seed", suffix="_reference").sort("seed")
            difference = (both["rate"] - both["rate_reference"]).to_numpy()
            above = mean_interval(difference, of_difference(PERCENT))
            lines.append(
                [
                    case + (f": {what}" if planner == planners[0] else ""),
                    planner,
                    number(_between(curves[planner], 0, STEP_S, last=4)),
                    number(_between(curves[planner], STEP_S, STEP_S + 2 * WINDOW_S)),
                    number(_between(curves[planner], HORIZON_S - LAST_S, HORIZON_S)),
                    "" if planner == reference else estimated(*above),
                    "" if planner == reference else verdict(above, GOAL_POINTS, at_most=True),
                ]
            )
    yield from table(
        [
            "step",
            "planner",
            "violations before, %",
            "in the minute after",
            "at the end",
            "above the ILP at the end, points",
            f"at most {GOAL_POINTS:g}",
        ],
        lines,
    )


def _mean_curve(part: pl.DataFrame) -> dict[float, float]:
    by = part.group_by("end_s").agg(pl.col("rate").mean()).sort("end_s")
    return dict(by.iter_rows())


def _between(
    curve: Mapping[float, float], start_s: float, end_s: float, last: int | None = None
) -> float | None:
    """Return the mean of windows that end in a stretch of time, or of the last ones of these."""
    inside = [rate for at, rate in sorted(curve.items()) if start_s < at <= end_s]
    return float(np.mean(inside[-last:] if last else inside)) if inside else None


def _end(part: pl.DataFrame) -> pl.DataFrame:
    """Return each seed's mean rate at the end."""
    late = part.filter(pl.col("end_s") > HORIZON_S - LAST_S)
    return late.group_by("seed").agg(pl.col("rate").mean())


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw violation rates over time."""
    tidy = rates(rows)
    figure, panels = canvas(1, len(CASES), 3.2, sharey=True)
    colors = palette(tidy["planner"].unique(maintain_order=True).to_list())
    for axes, case in zip(panels[0], CASES, strict=True):
        curves(axes, tidy.filter(case=case), "end_s", "rate", colors=colors)
        axes.axvline(STEP_S, color="firebrick", lw=1)
        axes.set_title(case)
        axes.set(xlabel="simulated time, s", ylabel="SLO violations, %", ylim=(-2, 102))
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "evaluation_drift.png")]
