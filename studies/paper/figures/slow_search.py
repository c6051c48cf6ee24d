"""Figure 4: Vulcan and VideoStorm alone, by planning time, and by the number of queries.

Left: queries of speech recognition come one at a time, and machines are plentiful. For several
planning times, the study divides the total list price of the served queries' last plans by that of
their cheapest truly feasible plans. Right: machines are as scarce as in figure 19, and the number
of queries grows. The study compares planners by the share of living queries that they serve in the
second half.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lab.analysis.paired import mean_interval, ratio_interval
from lab.common.metrics import SHARE
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, curves, legend_below, save
from lab.reporting.plotting.style import plain_log
from lab.run_cache.jobs import Job
from studies.common.claims import Finding, above, paired
from studies.common.measures import totals
from studies.common.store import each_cell
from studies.common.study import Scale
from studies.common.sweep_files import runs
from studies.probes.user_probe import prices

TITLE = "Vulcan and VideoStorm, by planning time and load"
BUDGET, LEAST, QUERIES = "fig04_budget", "fig04_least", "fig04_queries"
NEAR = 1.1
"""A plan counts as one of the cheapest if its price is at most this multiple of the least."""

LOSS = 1.1
"""The served share falls if its ratio between the lowest and the highest rate exceeds this."""


def jobs(scale: Scale) -> list[Job]:
    """Return the runs for planning budgets, for the least prices, and for numbers of queries."""
    return [
        *runs({BUDGET: BUDGET}, scale, prices, "part"),
        *runs({LEAST: LEAST}, replace(scale, planners=()), prices, "part", planner="truth"),
        *runs({QUERIES: QUERIES}, scale, totals, "part"),
    ]


def queries(rows: pl.DataFrame) -> pl.DataFrame:
    """Return each query's price and the least price; ``served`` if the plan meets its SLO."""
    each = each_cell(rows, "part", "planner", "seed", pl.col("planner.budget_s").alias("budget_s"))
    least = each.filter(part=LEAST).select("seed", "query", "least")
    served = pl.col("met") & pl.col("price").is_not_null() & pl.col("least_right").is_not_null()
    both = each.filter(part=BUDGET).join(least, ["seed", "query"], how="left")
    return both.with_columns(pl.col("budget_s").cast(pl.Float64), served=served)


def over_least(rows: pl.DataFrame) -> pl.DataFrame:
    """Return served queries' total price over the least possible one, and the share ``served``."""
    price, least = (pl.col(name).filter("served").sum() for name in ("price", "least_right"))
    by = queries(rows).group_by("planner", "seed", "budget_s", maintain_order=True)
    return by.agg(pl.col("served").mean(), ratio=(price / least).fill_nan(None))


def soon_over_late(each: pl.DataFrame, first: float, last: float) -> pl.DataFrame:
    """Return the price of plans after `first` over that after `last` seconds, by ``seed``.

    Only queries that are served after both times count. `each` has the `queries` of one planner.
    """
    soon, late = (each.filter(pl.col("served"), budget_s=at) for at in (first, last))
    both = (
        soon.join(late, ["seed", "query"], suffix="_late")
        .group_by("seed")
        .agg(pl.col("price", "price_late").sum())
    )
    return both.select("seed", ratio=pl.col("price") / pl.col("price_late")).sort("seed")


def shares(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the share of living queries that is served, by planner, ``rate`` and seed."""
    rate, share = pl.col("workload.rate").cast(pl.Float64), pl.col("goodput") / pl.col("active")
    return rows.filter(part=QUERIES).with_columns(rate=rate, share=share)


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return findings on prices relative to the least price, and on the fall of served shares."""
    found = []
    each = queries(rows)
    for (planner,), part in over_least(rows).group_by("planner", maintain_order=True):
        first, last = _ends(part["budget_s"])
        found += [
            above(
                f"(a) {planner} has not found a plan of about the least cost after {first:g} s",
                threshold=NEAR,
                why=f"price over the least; taken to mean above {NEAR:g}. List prices count whole "
                "stations, even if other queries share them",
                **_ratio(part.filter(budget_s=first)),
            ),
            above(
                f"(a) {planner} is slow: plans after {first:g} s of planning cost more than after "
                f"{last:g} s",
                threshold=NEAR,
                why="ratio of the two, over queries served after both; taken to mean above "
                f"{NEAR:g}; otherwise more time does not help",
                **_ratio(soon_over_late(each.filter(planner=planner), first, last)),
            ),
        ]
    for (planner,), part in shares(rows).group_by("planner", maintain_order=True):
        fewest, most = (part.filter(pl.col("rate") == at) for at in _ends(part["rate"]))
        found.append(
            above(
                f"(b) {planner}: the share of queries that is served falls with their number",
                threshold=LOSS,
                why=f"share at the lowest rate over that at the highest; taken to mean above "
                f"{LOSS:g}. Machines stay the same, so every planner loses some queries",
                **paired(fewest, most, "share"),
            )
        )
    return found


def _ends(values: pl.Series) -> tuple[Any, Any]:
    return values.min(), values.max()


def _ratio(part: pl.DataFrame) -> dict[str, Any]:
    values = part.sort("seed")["ratio"].drop_nulls().to_numpy()
    return {"ratio": ratio_interval(values, np.ones(len(values))), "seeds": len(values)}


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield prices and the shares of queries that are served."""
    yield from table(
        ["planner", "planning, s", "price over the least", "share served"],
        (
            [
                planner,
                f"{budget_s:g}",
                estimated(*_ratio(part)["ratio"]),
                estimated(*mean_interval(part["served"].to_numpy(), SHARE)),
            ]
            for (planner, budget_s), part in over_least(rows).group_by(
                "planner", "budget_s", maintain_order=True
            )
        ),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw price by planning time, and goodput by number of queries."""
    figure, [[left, right]] = canvas(1, 2, 3.4)
    curves(left, over_least(rows).drop_nulls("ratio"), "budget_s", "ratio", markers=True)
    left.axhline(1, color="grey", linestyle=":")
    left.set(xlabel="planning, s", ylabel="price over the least", xscale="log")
    plain_log(left.xaxis)
    living = shares(rows).with_columns(living=pl.col("active").mean().over("planner", "rate"))
    curves(right, living, "living", "goodput", markers=True)
    most = float(living["living"].to_numpy().max())
    right.plot([0, most], [0, most], color="grey", linestyle=":")
    right.set(xlabel="living queries", ylabel="service goodput, queries", xlim=(0, None))
    right.set_ylim(bottom=0)
    legend_below(figure, left)
    return [save(figure, directory / "slow_search.png")]
