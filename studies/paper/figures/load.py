"""Figure 15: goodput over a wide range of loads and latency bounds, for tracking at small size.

The load is the arrival rate divided by that of figure 20, on the same machines. The paper mentions
further settings without details. We vary the latency bound, which is the same for all queries. The
accuracy floor is at 0.85 of the best accuracy that a query could get.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from lab.analysis.paired import by_scene, ratio_interval
from studies.common.claims import Finding, above, ahead
from studies.common.measures import totals
from studies.common.metrics import GOODPUT
from studies.common.pictures import draw_curves
from studies.common.sweep_files import runs
from studies.common.tables import means

TITLE = "Loads and latency bounds"
LOAD, BOUND = "fig15", "fig15_slo"
REFERENCE = "compass"
USUAL_RATE = 0.167081
"""Arrivals per second of figure 20."""

jobs = partial(runs, {LOAD: LOAD, BOUND: BOUND}, measure=totals)


def in_settings(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the varied quantity as ``setting``, and its value as ``x``."""
    load = (pl.col("workload.rate").cast(pl.Float64) / USUAL_RATE).round(2)
    bound = pl.col("workload.tiers").str.extract(r"latency_s:\s*([0-9.]+)").cast(pl.Float64)
    varied = {LOAD: ("load", load), BOUND: ("latency bound", bound)}
    return pl.concat(
        rows.filter(scene=scene).with_columns(setting=pl.lit(name), x=value)
        for scene, (name, value) in varied.items()
        if scene in rows["scene"]
    )


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return whether Compass leads in every setting, and whether its lead grows with the load."""
    tidy = in_settings(rows)
    leads = by_scene(tidy, [GOODPUT], REFERENCE, ["scene", "setting", "x"])
    found = [
        ahead(
            f"{row['setting']} {row['x']:g}: ahead of {row['planner']}",
            row,
            "goodput over that of the other planner",
        )
        for row in leads.iter_rows(named=True)
    ]
    load = tidy.filter(setting="load")
    if load.is_empty():
        return found
    least, most = load.select(pl.col("x").min(), most=pl.col("x").max()).row(0)
    ends = [load.filter(x=each).select("planner", "seed", "goodput") for each in (least, most)]
    both = ends[0].join(ends[1], ["planner", "seed"], suffix="_most").sort("seed")
    ours = both.filter(planner=REFERENCE).drop("planner")
    both = both.filter(pl.col("planner") != REFERENCE).join(ours, "seed", suffix="_ours")
    # A lead is ours / theirs. Multiplied out, it has no division by a goodput that may be 0.
    grown = pl.col("goodput_most_ours") * pl.col("goodput")
    before = pl.col("goodput_ours") * pl.col("goodput_most")
    both = both.with_columns(grown=grown, before=before)
    return found + [
        above(
            f"the lead over {planner} grows with the load",
            ratio_interval(part["grown"].to_numpy(), part["before"].to_numpy()),
            threshold=1.0,
            why=f"the lead at {most:g} times the load over that at {least:g} times",
            seeds=part.height,
            scene=LOAD,
        )
        for (planner,), part in both.group_by("planner", maintain_order=True)
    ]


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the means."""
    columns = ["goodput", "active", "response_s"]
    for (setting,), part in in_settings(rows).group_by("setting", maintain_order=True):
        yield from means(part.rename({"x": str(setting)}), [str(setting), "planner"], columns)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw goodput by load and by latency bound."""
    words = {"load": "load, over that of figure 20", "latency bound": "latency bound, s"}
    tidy = in_settings(rows).with_columns(pl.col("setting").replace_strict(words))
    path = directory / "load.png"
    labels = {"xlabel": "", "ylabel": "goodput, queries"}
    return [draw_curves(tidy, "setting", "x", "goodput", path, settings=labels)]
