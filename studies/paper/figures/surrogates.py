"""Figure 8: error of the surrogates by number of profiled plans.

Left: CMBO's latency surrogate is compared with that of ordinary Bayesian optimisation. Both learn
from the same plans, drawn at random from all plans of a query, and predict the latency of all
plans; see `studies.probes.latency_probe`. In a second variant, each learns from its own proposals.

Right: configurations are profiled in random order with Compass's profiler, for queries whose
searches start from ten earlier queries, each with 24 profiled configurations. The study compares
three beliefs about the accuracy of all configurations: without histories (*from nothing*), from the
weighted mean of the histories alone, and from the combination that switches to the query's own
model.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import seaborn as sns

from lab.common.formatting import number
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, legend_below, save, t_interval
from lab.run_cache.jobs import Job
from studies.common.claims import Finding, above, below, goal_reached, paired
from studies.common.pictures import draw_curves
from studies.common.store import each_cell
from studies.common.study import Scale
from studies.common.sweep_files import experiment, runs
from studies.probes import belief_probe
from studies.probes.belief_probe import COLD, COMBINED, HISTORIES
from studies.probes.latency_probe import AT, errors

TITLE = "Error of the latency surrogate"
LATENCY = {"fig08_latency_speech": "speech", "fig08_latency_tracking": "tracking"}
WARM = {"fig08_warm_speech": "speech", "fig08_warm_tracking": "tracking"}
ORDERS = {"same": "the same random plans", "own": "own proposals"}
"""The plans from which a surrogate learns, and their names in tables and figures."""

NAMES = {"cmbo": "CMBO", "normal": "normal BO"}
"""Surrogates, and their names in figures."""

GOAL = 0.5
CLEARLY = 1.5
"""An error counts as clearly lower if the ratio of the other error to it is at least this."""

PLANS = 10
"""Profiled plans after which latency surrogates are compared."""

EARLY, LATE = 2, max(belief_probe.AT)
LOSS = 1.1
"""The combination counts as losing nothing if the ratio of errors is below this."""


def jobs(scale: Scale) -> list[Job]:
    """Return the runs on latency surrogates and on histories; raise InputError for planners."""
    found = []
    for name, application in LATENCY.items():
        for job in experiment(name, scale).jobs(errors):
            swept: Mapping[str, str] = job.labels
            labels = {
                "part": "latency",
                "application": application,
                "dataset": swept["workload.datasets"].strip("{}").partition(":")[0],
                "order": swept["planner.order"],
                "planner": swept["planner.surrogate"],
            }
            found.append(Job(job.overrides, job.seed, job.measure, labels))
    return found + runs(WARM, scale, belief_probe.errors, "application", part="warm")


def latency(rows: pl.DataFrame) -> pl.DataFrame:
    """Return errors by application, data set, order, surrogate, seed and number of plans."""
    keys = "application", "dataset", "order", "planner", "seed"
    return each_cell(rows.filter(part="latency"), *keys).select(*keys, "plans", "error")


def warm(rows: pl.DataFrame) -> pl.DataFrame:
    """Return errors of accuracy by application, model, profiled configurations and seed."""
    part = rows.filter(part="warm")
    if part.is_empty():
        return part
    cells = each_cell(part, "application", "seed")
    return cells.select("application", "seed", "model", "profiled", error="accuracy")


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return verdicts on ratios of errors."""
    found = []
    told = latency(rows).filter(order="same", plans=PLANS)
    mean = told.group_by("application", "planner", "seed", maintain_order=True).agg(
        pl.col("error").mean()
    )
    for (application,), part in mean.group_by("application", maintain_order=True):
        found.append(
            above(
                f"left, {application}: normal BO errs clearly more in latency than CMBO",
                **_ratio(part, "planner", "normal", "cmbo"),
                threshold=CLEARLY,
                why=f"after {PLANS} common plans, mean over data sets; taken to mean "
                f"{CLEARLY:g} times or more",
            )
        )
    right = warm(rows)
    for (application,), part in right.group_by("application", maintain_order=True):
        early, late = part.filter(profiled=EARLY), part.filter(profiled=LATE)
        found += [
            above(
                f"right, {application}: histories help early",
                **_ratio(early, "model", COLD, COMBINED),
                threshold=1.0,
                why="error without histories over that of the combination, "
                f"after {EARLY} configurations",
            ),
            below(
                f"right, {application}: the combination loses nothing late",
                **_ratio(late, "model", COMBINED, COLD),
                threshold=LOSS,
                why=f"its error over that without histories, after {LATE} configurations; taken to "
                f"mean below {LOSS:g}",
            ),
            above(
                f"right, {application}: histories alone fall behind, so switching pays",
                **_ratio(late, "model", HISTORIES, COMBINED),
                threshold=1.0,
                why=f"their error over that of the combination, after {LATE} configurations; our "
                "histories have the same data set and as many profiled configurations",
            ),
        ]
    return found


def _ratio(part: pl.DataFrame, by: str, first: str, second: str) -> dict[str, Any]:
    one, other = (part.filter(pl.col(by) == name) for name in (first, second))
    return paired(one, other, "error")


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield errors of latency by data set."""
    yield (
        "Errors are the median relative error of the believed latency over all plans of a query, "
        f"in percent, as mean over seeds; ratios are paired. The goal is at most {GOAL:g} after "
        f"{PLANS} common plans, by the whole interval; *open*: the interval includes the goal."
    )
    yield ""
    body = []
    for (dataset, order, plans), part in latency(rows).group_by(
        "dataset", "order", "plans", maintain_order=True
    ):
        found = _ratio(part, "planner", "cmbo", "normal")
        judged = plans == PLANS and order == "same"
        body.append(
            [
                dataset,
                ORDERS[str(order)],
                plans,
                *(
                    number(100 * part.filter(planner=name)["error"].to_numpy().mean())
                    for name in NAMES
                ),
                found["seeds"],
                estimated(*found["ratio"]),
                goal_reached(found["ratio"], GOAL, at_most=True) if judged else "",
            ]
        )
    heads = ["data set", "learns from", "plans", "CMBO, %", "normal BO, %", "seeds", "ratio"]
    yield from table([*heads, f"at most {GOAL:g}"], body)


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw errors of latency by profiled plans, and of accuracy by profiled configurations."""
    tidy = latency(rows).select(
        *("dataset", "plans", pl.col("error") * 100),
        pl.col("planner").replace_strict(NAMES).alias("surrogate"),
        pl.col("order").replace_strict(ORDERS).alias("learns from"),
    )
    datasets = tidy["dataset"].unique(maintain_order=True).to_list()
    figure, [panels] = canvas(1, len(datasets), 3.0, sharey=True)
    for axes, dataset in zip(panels, datasets, strict=True):
        sns.lineplot(
            tidy.filter(dataset=dataset).to_dict(as_series=False),
            x="plans",
            y="error",
            hue="surrogate",
            style="learns from",
            palette="colorblind",
            errorbar=t_interval,
            ax=axes,
        )
        axes.set_title(dataset)
        axes.set(xlabel="profiled plans", ylabel="median error, %", yscale="log", xticks=AT)
    legend_below(figure, panels[0])
    paths = [save(figure, directory / "surrogates.png")]
    right = warm(rows)
    if right.is_empty():
        return paths
    path = directory / "surrogates-histories.png"
    labels = {"xlabel": "profiled configurations", "ylabel": "error of accuracy", "yscale": "log"}
    draw_curves(right, "application", "profiled", "error", path, "model", settings=labels)
    return [*paths, path]
