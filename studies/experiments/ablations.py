"""What each part of Compass is for: the whole planner against ones with a part replaced."""

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
from studies.common.scenes import APPLICATIONS, QUICK, SIZES, available, scene
from studies.experiments.headline import GOODPUT, RESPONSE

TITLE = "Ablations"
FULL = "compass"
ABLATIONS = {
    "compass_no_profiler": "100 items for every configuration, in place of early stopping",
    "compass_no_search": "configurations in random order, in place of CMBO",
    "compass_no_scheduler": "first come, first served, in place of matching",
    "compass_cold": "no histories, and nothing profiled ahead",
}
"""Planners, and what they have in place of a part."""

DEVICE_HOURS = PairedMetric("planning_device_hours", "profiling", more_is_better=False)
METRICS = (GOODPUT, RESPONSE, DEVICE_HOURS)


def jobs(seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
    """Return the runs: small scenes."""
    size = QUICK if quick else SIZES["small"]
    return [
        Job(
            (
                *scene(application, size, "limited"),
                f"planner={planner}",
            ),
            seed,
            totals,
            {"application": application, "planner": planner},
        )
        for application in APPLICATIONS
        for planner in available(planners or (FULL, *ABLATIONS))
        for seed in seeds
    ]


def found(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the ratios of the whole planner to the others."""
    reference = str(rows["planner"][0])
    return by_scene(rows, METRICS, reference, ["application"])


def section(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    titles = {metric.name: metric.title for metric in METRICS}
    yield (
        f"How many times better the whole `{rows['planner'][0]}` is in small scenes of limited "
        "clusters: a ratio above 1 whose interval excludes 1 says that the part helps there."
    )
    yield ""
    frame = found(rows)
    yield from table(
        ["planner", "in place of a part", "metric", "application", "seeds", "ratio", "p"],
        (
            [
                planner,
                ABLATIONS.get(planner, ""),
                titles[metric],
                application,
                counted(n, of),
                estimated(ratio, low, high, sign),
                probability(p),
            ]
            for application, metric, planner, n, ratio, low, high, p, sign, of in frame.sort(
                "planner", maintain_order=True
            ).iter_rows()
        ),
    )
    yield from explained(frame)
    yield from means(rows, ["application", "planner"])


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the ratios with their intervals."""
    figure, panels = canvas(1, len(METRICS), 3.4, sharey=True)
    frame = found(rows).rename({"application": "scene"})
    for axes, metric in zip(panels[0], METRICS, strict=True):
        dots(axes, frame.filter(metric=metric.name), None)
        axes.set_title(metric.title)
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "evaluation_ablations.png")]
