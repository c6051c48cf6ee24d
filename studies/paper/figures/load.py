"""Figure 15: goodput over a wide range of loads and latency bounds, tracking, small.

The load is the arrival rate over that of figure 20, on the same machines. Of the paper's further
settings we know no more than that there are some; ours is how tight the latency bound is, the same
for all queries, with an accuracy floor at 0.85 of the best that a query could get.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from lab.analysis.paired import by_scene, ratio_interval
from lab.reporting.plotting.canvas import canvas, curves, legend_below, palette, save
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, above, ahead
from studies.common.measures import totals
from studies.common.sweep_files import experiment
from studies.experiments.headline import GOODPUT

LOAD, BOUND = "fig15", "fig15_slo"
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in (LOAD, BOUND))
REFERENCE = "compass"
USUAL_RATE = 0.423582
"""Arrivals per second of figure 20."""


def jobs(quick: bool) -> list[Job]:
    """Return the runs."""
    return [
        job for name in (LOAD, BOUND) for job in experiment(name, quick).jobs(totals, scene=name)
    ]


def _panels(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the rows of each panel with the setting as ``x``."""
    load = rows.filter(scene=LOAD).with_columns(x=pl.col("workload.rate").cast(pl.Float64))
    load = load.with_columns(x=(pl.col("x") / USUAL_RATE).round(2))
    bound = rows.filter(scene=BOUND)
    seconds = [_latency_s(tiers) for tiers in bound["workload.tiers"]]
    return {
        "load": load,
        "latency bound": bound.with_columns(x=pl.Series(seconds, dtype=pl.Float64)),
    }


def _latency_s(tiers: str) -> float:
    found = re.search(r"latency_s:\s*([0-9.]+)", tiers)
    if found is None:
        raise ValueError(f"workload.tiers={tiers}: names no latency bound")
    return float(found[1])


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether Compass leads in every setting, and by more under more load."""
    found = []
    panels = _panels(rows)
    for title, part in panels.items():
        for row in by_scene(part, [GOODPUT], REFERENCE, ["x"]).iter_rows(named=True):
            found.append(
                ahead(
                    f"{title} {row['x']:g}: ahead of {row['planner']}",
                    row,
                    "goodput over that of the other",
                )
            )
    load = panels["load"]
    settings = sorted(load["x"].unique().to_list())
    least, most = float(settings[0]), float(settings[-1])
    for planner in load["planner"].unique(maintain_order=True).to_list():
        if planner == REFERENCE:
            continue
        ends = [_leads(load.filter(x=x), planner) for x in (least, most)]
        both = ends[0].join(ends[1], "seed", suffix="_most").sort("seed")
        ratio = ratio_interval(both["lead_most"].to_numpy(), both["lead"].to_numpy())
        found.append(
            above(
                f"the lead over {planner} grows with the load",
                ratio,
                1.0,
                f"the lead at {most:g} times the load over that at {least:g} times",
                both.height,
            )
        )
    return found


def _leads(part: pl.DataFrame, planner: str) -> pl.DataFrame:
    """Return goodput of the reference over that of a planner, by seed, where both have some."""
    ours = part.filter(planner=REFERENCE).select("seed", "goodput")
    theirs = part.filter(planner=planner).select("seed", "goodput")
    both = ours.join(theirs, "seed", suffix="_other")
    both = both.with_columns(lead=pl.col("goodput") / pl.col("goodput_other"))
    return both.filter(pl.col("lead").is_finite() & (pl.col("lead") > 0)).select("seed", "lead")


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield nothing more."""
    yield from ()


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw goodput by load and by latency bound."""
    parts = _panels(rows)
    figure, panels = canvas(1, len(parts), 3.4)
    colors = palette(rows["planner"].unique(maintain_order=True).to_list())
    labels = {"load": "load, over that of figure 20", "latency bound": "latency bound, s"}
    for axes, (title, part) in zip(panels[0], parts.items(), strict=True):
        curves(
            axes,
            part.select("x", "planner", "goodput"),
            "x",
            "goodput",
            markers=True,
            colors=colors,
        )
        axes.set(xlabel=labels[title], ylabel="goodput, queries", title=title)
        axes.set_xticks(np.unique(part["x"].to_numpy()))
        axes.set_ylim(bottom=0)
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "fig15_load.png")]
