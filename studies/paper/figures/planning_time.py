"""Figure 14b: how Compass spends its planning time, in all five applications.

The study shows the planning seconds charged per query over all its searches. It divides them into
profiling, surrogates (the steps of CMBO and the use of histories), and everything else, such as
predictions of latency. The budget of a search is five planning seconds, or ten minutes where
queries last hours. Machines are plentiful.

A search is never charged more than its budget, so the charge cannot show whether a plan is found
within five seconds. The response time of all queries shows it, because it includes all searches of
a query, without a limit. It ends when a plan that truly meets the SLO becomes active. Its median is
the Kaplan-Meier estimate. If less than half of the queries ever get such a plan, the longest life
of a query is used as a lower bound (≥).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from lab.analysis.paired import mean_interval
from lab.common.formatting import number
from lab.common.metrics import SHARE
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, legend_below, palette, save
from lab.run_cache.jobs import Job
from sim.api.charges import CHARGES_S
from studies.common.claims import Finding, Verdict, above, below
from studies.common.measures import S_PER_HOUR, spending
from studies.common.study import Scale
from studies.common.sweep_files import experiment, runs
from studies.common.tables import AT_LEAST, served_alone, sign
from studies.paper.figures import profiling_cost

TITLE = "Where planning time goes"
SECONDS = "fig14b_seconds"
HOURS = profiling_cost.APPLICATIONS
PLANNER = "compass"
NAMES = {
    "speech_recognition": "speech",
    "visual_tracking": "tracking",
    "live_video_chat": "video chat",
}
MOST_S = 5.0
"""Planning seconds of the paper's axis for applications that respond in seconds."""

PARTS = {"profiling_s": "profiling", "surrogates_s": "steps by surrogates", "other_s": "other"}


def jobs(scale: Scale) -> list[Job]:
    """Return the runs: Compass in every application."""
    one = replace(scale, planners=scale.planners or (PLANNER,))
    return [*experiment(SECONDS, one).jobs(spending), *runs(HOURS, one, spending, "application")]


def findings(rows: pl.DataFrame) -> list[Finding]:
    """Return verdicts on the share of profiling, and on how long planning takes."""
    found = []
    share = pl.col("profiling_s") / pl.sum_horizontal(*PARTS)
    for application, part in _by_application(rows):
        found.append(
            above(
                f"{application}: most planning time is profiling",
                mean_interval(part.select(share).to_series().to_numpy(), SHARE),
                0.5,
                "share of profiling; taken to mean more than half",
                part.height,
            )
        )
        if application in NAMES.values():
            served = number(100 * float(np.mean(part["served"].to_numpy())))
            found.append(
                below(
                    f"{application}: a plan is found within {MOST_S:g} s",
                    mean_interval(part["response_s"].to_numpy()),
                    MOST_S,
                    "median response time of all queries, including those that no plan may suit; "
                    f"{served} % are ever served. Profiling ahead of a data set's first query is "
                    f"our addition. The paper's axis ends at {MOST_S:g} s, and so does a search "
                    "here",
                    part.height,
                    sign(part, "response_s"),
                )
            )
    found.append(
        Finding(
            "a step of the search takes 40 to 100 ms",
            f"{1e3 * CHARGES_S['search_step']:g} ms are charged",
            Verdict.UNDECIDED,
            "the cost model takes it from the paper; nothing is measured",
            decidable=False,
        )
    )
    return found


def _by_application(rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for (name,), part in rows.group_by("application", maintain_order=True):
        yield NAMES.get(str(name), str(name)), part


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the seconds of each part, the response times, and the shares of served queries."""
    yield "Planning seconds of a query, mean over seeds with 95 % interval:"
    yield ""
    yield from table(
        ["application", *PARTS.values()],
        (
            [application, *(estimated(*mean_interval(part[name].to_numpy())) for name in PARTS)]
            for application, part in _by_application(rows)
        ),
    )
    yield (
        "Seconds charged to the first search that deployed a query, at most its budget, median "
        "over deployed queries; median response time of all queries; and share of queries ever "
        f"served. {'; '.join([AT_LEAST, *served_alone(rows, ['first_search_s'])])}:"
    )
    yield ""
    yield from table(
        ["application", "first search that deployed, s", "response time, s", "ever served"],
        (
            [
                application,
                *(
                    estimated(*mean_interval(part[name].drop_nulls().to_numpy()), sign(part, name))
                    for name in ("first_search_s", "response_s")
                ),
                estimated(*mean_interval(part["served"].to_numpy(), SHARE)),
            ]
            for application, part in _by_application(rows)
        ),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the planning time of a query as stacked parts."""
    figure, [panels] = canvas(1, 2, 3.4, width_ratios=[3, 2])
    parts = dict(_by_application(rows))
    soon = [name for name in parts if name in NAMES.values()]
    hours = [name for name in parts if name not in soon]
    sides = [(soon, 1.0, "s"), (hours, S_PER_HOUR, "h")]
    for axes, (names, unit_s, unit) in zip(panels, sides, strict=True):
        bottom = np.zeros(len(names))
        for (part, words), color in zip(PARTS.items(), palette([*PARTS]).values(), strict=True):
            times = np.array([parts[name][part].to_numpy().mean() / unit_s for name in names])
            axes.bar(names, times, 0.7, bottom, color=color, label=words)
            bottom += times
        axes.set(ylabel=f"planning of a query, {unit}")
    legend_below(figure, panels[0])
    return [save(figure, directory / "planning_time.png")]
