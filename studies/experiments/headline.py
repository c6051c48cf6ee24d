"""Compass against Vulcan and VideoStorm: goodput, cost and response time, as ratios over seeds."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from lab.analysis.paired import PairedMetric, by_scene, counted, explained
from lab.common.formatting import probability
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, legend_below, save
from lab.run_cache.jobs import Job
from studies.common.means import means
from studies.common.measures import totals
from studies.common.ratio_figure import dots
from studies.common.scenes import APPLICATIONS, CLUSTERS, QUICK, SIZES, available, planner_of, scene

TITLE = "Compass against Vulcan and VideoStorm"
PLANNERS = ("compass", "vulcan", "vulcan_15s", "videostorm", "videostorm_15s")

GOODPUT = PairedMetric("goodput", "goodput", more_is_better=True)
COST = PairedMetric("usd_per_query_hour", "cost", more_is_better=False)
ATTRIBUTED = PairedMetric("attributed_usd_per_query_hour", "attributed cost", more_is_better=False)
RESPONSE = PairedMetric(
    "response_s", "response time", more_is_better=False, bound="response_is_bound"
)
RESPONSE_OF_SERVED = PairedMetric(
    "response_of_served_s", "response time of those served", more_is_better=False
)
SEEDS = {"large": 3}
"""Most seeds of a size, where two cores could not run more in an hour."""

METRICS = {"limited": (GOODPUT,), "unlimited": (COST, ATTRIBUTED, RESPONSE, RESPONSE_OF_SERVED)}
"""What is measured where."""

PAPER = {"goodput": (2.4, 5.1), "usd_per_query_hour": (3.8, 4.5), "response_s": (4.2, 10.5)}
"""Ranges of the abstract of arXiv 2504.16397v2."""


def jobs(seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
    """Return the runs: every planner in every scene."""
    sizes = {"quick": QUICK} if quick else SIZES
    return [
        Job(
            (*scene(application, size, cluster), planner_of(planner, cluster)),
            seed,
            totals,
            {"application": application, "size": name, "cluster": cluster, "planner": planner},
        )
        for name, size in sizes.items()
        for application in APPLICATIONS
        for cluster in CLUSTERS
        for planner in available(planners or PLANNERS)
        for seed in seeds[: SEEDS.get(name)]
    ]


def found(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the ratios of the first planner to the others, in every scene."""
    reference = str(rows["planner"][0])
    return pl.concat(
        by_scene(rows.filter(cluster=cluster), metrics, reference, ["application", "size"])
        for cluster, metrics in METRICS.items()
    )


def section(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    titles = {metric.name: metric.title for metrics in METRICS.values() for metric in metrics}
    yield (
        f"How many times better `{rows['planner'][0]}` is: goodput over that of the other in "
        "limited clusters; cost and response time of the other over its own in unlimited ones, "
        "where `compass` is `compass_cost`. "
        "Cost is the bill for an hour in which a query's SLO is met; attributed cost leaves out "
        "what is rented and held by nobody. Response time is the Kaplan-Meier median over all "
        "queries; where less than half of them were ever served in some seed, the longest life of "
        "a query stands in, as a lower bound."
    )
    yield ""
    frame = found(rows)
    yield from table(
        ["metric", "scene", "against", "seeds", "ratio", "p", "paper"],
        (
            [
                titles[metric],
                f"{application} {size}",
                planner,
                counted(n, of),
                estimated(ratio, low, high, sign),
                probability(p),
                paper_range(metric),
            ]
            for application, size, metric, planner, n, ratio, low, high, p, sign, of in frame.sort(
                "metric", maintain_order=True
            ).iter_rows()
        ),
    )
    yield from explained(frame)
    yield from means(rows, ["size", "application", "cluster", "planner"])


def paper_range(metric: str) -> str:
    """Return the paper's range of a ratio in words, or nothing."""
    return "" if metric not in PAPER else "{:g} to {:g}".format(*PAPER[metric])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios with their intervals, and the paper's ranges as bands."""
    shown = (GOODPUT, COST, RESPONSE)
    figure, panels = canvas(1, len(shown), 4.2, sharey=True)
    frame = found(rows).with_columns(
        scene=pl.format("{} {}", "application", "size"),
    )
    for axes, metric in zip(panels[0], shown, strict=True):
        dots(axes, frame.filter(metric=metric.name), PAPER.get(metric.name))
        axes.set_title(metric.title)
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "evaluation_headline.png")]
