"""Figure 8: error of the surrogates, by what was profiled.

Left: both latency surrogates are told the same plans, drawn at random, and asked for the latency of
all plans of a query; see `studies.experiments.surrogates`. Right: configurations are profiled in
random order as Compass would, for queries that have ten earlier ones to start from, each of which
profiled 24; compared is what is believed of the accuracy of all configurations from nothing, by
the weighted mean of the histories alone, and by the combination that switches to the query's own
model.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lab.analysis.paired import Interval, ratio_interval
from lab.reporting.plotting.canvas import canvas, curves, save
from lab.reporting.plotting.style import plain_log
from lab.run_cache.jobs import Job
from studies.common.finding import Finding, above, below
from studies.common.store import each_cell
from studies.common.sweep_files import experiment
from studies.experiments import surrogates
from studies.probes.belief_probe import AT, COLD, COMBINED, HISTORIES, errors

LATENCY = {"fig08_latency_speech": "speech", "fig08_latency_tracking": "tracking"}
WARM = {"fig08_warm_speech": "speech", "fig08_warm_tracking": "tracking"}
COMMANDS = tuple(f"compass-sim -m experiment=paper/{name}" for name in (*LATENCY, *WARM))
CLEARLY = 1.5
"""Ratio of errors from which on one is taken to be clearly lower."""

PLANS = 10
EARLY, LATE = 2, max(AT)
LOSS = 1.1
"""Ratio of errors up to which nothing is taken to be lost."""

SURROGATES = {"cmbo": "CMBO", "normal": "normal BO"}


def jobs(quick: bool) -> list[Job]:
    """Return the runs: surrogates of latency, and starts from histories."""
    return [
        *(
            job
            for name, application in LATENCY.items()
            for job in experiment(name, quick).jobs(
                surrogates.errors, part="latency", application=application
            )
        ),
        *(
            job
            for name, application in WARM.items()
            for job in experiment(name, quick).jobs(errors, part="warm", application=application)
        ),
    ]


def latency(rows: pl.DataFrame) -> pl.DataFrame:
    """Return errors of latency by application, model, plans and seed."""
    surrogate = pl.col("planner.surrogate").replace(SURROGATES)
    keys = "application", "seed", surrogate.alias("surrogate")
    cells = each_cell(rows.filter(part="latency"), *keys)
    return cells.select("application", "seed", "plans", "error", model="surrogate")


def warm(rows: pl.DataFrame) -> pl.DataFrame:
    """Return errors of accuracy by application, model, profiled configurations and seed."""
    cells = each_cell(rows.filter(part="warm"), "application", "seed")
    return cells.select("application", "seed", "model", "profiled", error="accuracy")


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return ratios of errors against the claims."""
    found = []
    left, right = latency(rows), warm(rows)
    for application in left["application"].unique(maintain_order=True).to_list():
        part = left.filter(application=application, plans=PLANS)
        ratio, seeds = _ratio(part, "normal BO", "CMBO")
        found.append(
            above(
                f"left, {application}: normal BO errs clearly more in latency than CMBO",
                ratio,
                CLEARLY,
                f"after {PLANS} plans that both are told; taken to mean {CLEARLY:g} times or more",
                seeds,
            )
        )
    for application in right["application"].unique(maintain_order=True).to_list():
        part = right.filter(application=application)
        early, late = part.filter(profiled=EARLY), part.filter(profiled=LATE)
        ratio, seeds = _ratio(early, COLD, COMBINED)
        found.append(
            above(
                f"right, {application}: histories help early",
                ratio,
                1.0,
                f"error from nothing over that of the combination, after {EARLY} configurations",
                seeds,
            )
        )
        ratio, seeds = _ratio(late, COMBINED, COLD)
        found.append(
            below(
                f"right, {application}: the combination loses nothing late",
                ratio,
                LOSS,
                f"its error over that from nothing, after {LATE} configurations; taken to mean "
                f"below {LOSS:g}",
                seeds,
            )
        )
        ratio, seeds = _ratio(late, HISTORIES, COMBINED)
        found.append(
            above(
                f"right, {application}: histories alone fall behind, so that it pays to switch",
                ratio,
                1.0,
                f"their error over that of the combination, after {LATE} configurations; ours are "
                "of the same data set, and each has profiled as many",
                seeds,
            )
        )
    return found


def _ratio(part: pl.DataFrame, first: str, second: str) -> tuple[Interval, int]:
    """Return the ratio of two models' errors, and on how many seeds it rests."""
    both = part.filter(model=first).join(part.filter(model=second), "seed", suffix="_second")
    ratio = ratio_interval(both["error"].to_numpy(), both["error_second"].to_numpy())
    return ratio, both.height


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield nothing more."""
    yield from ()


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw errors by profiled plans, and by profiled configurations."""
    left, right = latency(rows), warm(rows)
    applications = left["application"].unique(maintain_order=True).to_list()
    figure, panels = canvas(2, len(applications), 2.8)
    for row, (tidy, x, label) in enumerate(
        [(left, "plans", "profiled plans"), (right, "profiled", "profiled configurations")]
    ):
        for axes, application in zip(panels[row], applications, strict=True):
            curves(axes, tidy.filter(application=application), x, "error", by="model", markers=True)
            what = "latency, relative" if row == 0 else "accuracy"
            axes.set(title=application, xlabel=label, ylabel=f"error of {what}", yscale="log")
            plain_log(axes.yaxis)
            axes.legend(title=None, fontsize="small")
    return [save(figure, directory / "fig08_surrogate_errors.png")]
