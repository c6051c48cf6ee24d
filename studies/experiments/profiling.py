"""Samples that stratified profiling needs, against random sampling under the same stopping rule.

Every configuration is profiled for a number of queries until the sequential t-test tells whether it
meets the query's accuracy floor, by each profiler on the same items. A verdict is correct if it
agrees with the true expected accuracy on the query's content; where the test does not decide before
the most items are measured, the mean does.

The most items set how often verdicts are correct, and what that costs. So random sampling is run
with several, and what it needs *for the same share of correct verdicts* is read off the line that
joins these points.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes

from lab.analysis.comparison import of_difference
from lab.analysis.paired import PERCENT, Interval, jackknifed, mean_interval, ratio_interval
from lab.common.formatting import number
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, legend_below, save
from lab.run_cache.jobs import Job
from lab.runs.api import Result
from planners.compass.profiling.profiler import Profiler, RandomProfiler, StratifiedProfiler
from sim import Planner, PlanningContext
from studies.common.goals import verdict
from studies.common.scenes import APPLICATIONS, refuse_planners
from studies.common.store import each_cell

TITLE = "Samples of the SLO profiler"
GOAL = 0.6
OWN = StratifiedProfiler()
"""Compass's own rule: the profiler's defaults."""

FIRST = (16, 32)
"""Items before the first test; the number between two is Compass's own."""

MOST = tuple(sorted({64, OWN.most, 256, 1024}))
PROFILERS = {
    "random": "random sampling",
    "proportional": "strata, proportional",
    "neyman": "strata, Neyman",
}
"""Profilers by name, and what the figure calls their way to sample."""

QUERIES = 3.0
ARRIVALS_S = 10.0
GAPS = (0.0, 0.02, 0.05, 0.1, 1.0)
"""Bounds of classes of distance between true accuracy and floor."""


class ProfilingTrial(Planner):
    """Profiles every configuration for every query, deploys nothing, and puts verdicts on record.

    Args:
        profiler: one of `PROFILERS`.
        first: items before the first test.
        most: most items.
        budget_s: planning seconds; more than is ever needed.
    """

    def __init__(
        self, profiler: str = "random", first: int = 32, most: int = 256, budget_s: float = 1e7
    ) -> None:
        self.profiler = profiler
        self.first = first
        self.most = most
        self.budget_s = budget_s

    def plan(self, context: PlanningContext) -> None:
        """Profile everything for the queries that are new."""
        profiler = made(self.profiler, self.first, self.most)
        for query in context.waiting:
            view = context.bulk.view(query)
            some_plan = dict(zip(view.configuration.tolist(), range(len(view)), strict=True))
            for index, plan in some_plan.items():
                configuration = context.world.pipeline.configurations[index]
                belief = profiler.profile(context, query, configuration)
                role = "met" if belief.accurate(query.slo.accuracy) else "missed"
                reason = "mean" if belief.verdict is None else "test"
                context.bulk.log_candidate(
                    query, view.plan(plan), role, 0.0, belief.accuracy, reason=reason
                )


def made(profiler: str, first: int, most: int) -> Profiler:
    """Return a profiler by name."""
    if profiler == "random":
        return RandomProfiler(first, OWN.batch, most, OWN.alpha)
    allocation: Literal["neyman", "proportional"] = (
        "neyman" if profiler == "neyman" else "proportional"
    )
    return replace(OWN, first=first, most=most, allocation=allocation)


def verdicts(result: Result) -> Mapping[str, Any]:
    """Return samples and correct verdicts, by data set and class of gap."""
    samples = result.profiling.group_by("query", "configuration").agg(pl.col("samples").max())
    floors = result.queries.select("query", "dataset", "slo_accuracy")
    each = result.offers.join(samples, ["query", "configuration"]).join(floors, "query")
    gap = pl.col("true_accuracy") - pl.col("slo_accuracy")
    each = each.with_columns(
        gap=gap.abs().cut(list(GAPS[1:-1]), labels=list(gap_names())).cast(pl.String),
        correct=(pl.col("role") == "met") == (gap >= 0),
        decided=pl.col("reason") == "test",
    )
    by = each.group_by("dataset", "gap").agg(
        pl.len().alias("tests"), pl.col("samples", "correct", "decided").sum()
    )
    return {"cells": by.sort("dataset", "gap").to_dicts()}


def gap_names() -> tuple[str, ...]:
    """Return the names of the classes of gap."""
    return tuple(
        f"{low:g} to {high:g}" if high < 1 else f"over {low:g}" for low, high in pairwise(GAPS)
    )


def jobs(seeds: Sequence[int], quick: bool, planners: Sequence[str]) -> list[Job]:
    """Return the runs; this experiment has planners of its own.

    Raises:
        InputError: others are to be compared.
    """
    refuse_planners("profiling", planners)
    queries = 1.0 if quick else QUERIES
    return [
        Job(
            (
                f"application={application}",
                f"horizon_s={ARRIVALS_S:g}",
                f"workload.rate={queries / ARRIVALS_S:g}",
                "cluster.profiling.lanes=64",
                "planner._target_=studies.experiments.profiling.ProfilingTrial",
                f"+planner.profiler={profiler}",
                f"+planner.first={first}",
                f"+planner.most={most}",
            ),
            seed,
            verdicts,
            {"application": name, "first": first, "most": most, "planner": profiler},
        )
        for name, application in APPLICATIONS.items()
        for first in FIRST
        for most in MOST
        for profiler in PROFILERS
        for seed in seeds
    ]


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """Return tidy rows: one for each rule, profiler, seed, data set and class of gap."""
    keys = "application", "first", "most", "planner", "seed"
    return each_cell(rows, *keys)


def by_group(tidy: pl.DataFrame) -> pl.DataFrame:
    """Return samples over those of random sampling under the profiler's own rule, by group.

    Over seeds, paired. Groups are all tests, those of a data set, and those of a class of gap.
    """
    own = tidy.filter(first=OWN.first, most=OWN.most)
    groups = [("all", own)]
    groups += [(name, own.filter(dataset=name)) for name in sorted(set(own["dataset"]))]
    groups += [(f"gap {name}", own.filter(gap=name)) for name in gap_names()]
    found: list[dict[str, Any]] = []
    for group, part in groups:
        sums = part.group_by("planner", "seed").agg(pl.col("tests", "samples", "correct").sum())
        random = sums.filter(planner="random")
        for name in list(PROFILERS)[1:]:
            both = sums.filter(planner=name).join(random, "seed", suffix="_random").sort("seed")
            ratio = ratio_interval(both["samples"].to_numpy(), both["samples_random"].to_numpy())
            more = (both["correct"] - both["correct_random"]) / both["tests"]
            found.append(
                {
                    "group": group,
                    "planner": name,
                    "seeds": both.height,
                    "tests": int(both["tests"].sum()),
                    "random": _per_test(both, "samples_random"),
                    "samples": _per_test(both, "samples"),
                    "ratio": ratio,
                    "more_correct": mean_interval(100 * more.to_numpy(), of_difference(PERCENT)),
                }
            )
    return pl.DataFrame(found)


def _per_test(sums: pl.DataFrame, column: str) -> float:
    return float(sums[column].sum()) / max(1, int(sums["tests"].sum()))


def at_equal_correctness(tidy: pl.DataFrame) -> pl.DataFrame:
    """Return what each stratified profiler needs over what random sampling needs to be as correct.

    Pooled over applications and seeds, with a jackknife over seeds. Where random sampling never is
    as correct, its most correct rule counts, so the ratio is then an upper bound, and ``sign`` is
    ``"≤"``; where it always is more correct, its samples are taken to fall in proportion to errors
    avoided, from none at no better than chance.
    """
    seeds = sorted(set(tidy["seed"]))
    sums = {
        (first, most, planner, seed): (tests, samples, correct)
        for first, most, planner, seed, tests, samples, correct in tidy.group_by(
            "first", "most", "planner", "seed"
        )
        .agg(pl.col("tests", "samples", "correct").sum())
        .iter_rows()
    }

    def pooled(first: int, most: int, planner: str, chosen: Sequence[int]) -> tuple[float, float]:
        """Return samples a test and the share of correct verdicts."""
        parts = [sums[first, most, planner, seeds[each]] for each in chosen]
        tests, samples, correct = np.sum(parts, axis=0).tolist()
        return samples / tests, correct / tests

    def ratio(first: int, most: int, planner: str, chosen: Sequence[int]) -> float:
        line = sorted(pooled(first, each, "random", chosen)[::-1] for each in MOST)
        samples, correct = pooled(first, most, planner, chosen)
        line.insert(0, (0.5, 0.0))
        needed = np.interp(correct, [x for x, _ in line], [y for _, y in line])
        return samples / float(needed)

    every = range(len(seeds))
    best = {first: max(pooled(first, most, "random", every)[1] for most in MOST) for first in FIRST}
    found: list[dict[str, Any]] = []
    for first in FIRST:
        for most in MOST:
            for planner in PROFILERS:
                samples, correct = pooled(first, most, planner, every)

                def of(
                    chosen: Sequence[int], first: int = first, most: int = most, name: str = planner
                ) -> float:
                    return ratio(first, most, name, chosen)

                found.append(
                    {
                        "first": first,
                        "most": most,
                        "planner": planner,
                        "samples": samples,
                        "correct": 100 * correct,
                        "ratio": None if planner == "random" else jackknifed(len(seeds), of),
                        "sign": "≤" if correct > best[first] else "",
                    }
                )
    return pl.DataFrame(found)


def _judged(ratio: Interval | None, sign: str) -> tuple[str, str]:
    """Return a ratio to random sampling in words, and whether it reaches the goal."""
    if ratio is None:
        return "", ""
    return estimated(*ratio, sign), verdict(ratio, GOAL, at_most=True, sign=sign)


def section(rows: pl.DataFrame) -> Iterator[str]:
    """Yield the lines of the page."""
    tidy = cells(rows)
    yield (
        f"All configurations of {QUERIES:g} queries on average a run, of both applications, under "
        "their own SLOs. Goal: at most "
        f"{GOAL:g} of the samples of random sampling at equal correctness, by the whole interval; "
        "*open* where it does not tell. ≤ marks upper bounds, where random sampling is never as "
        "correct and its most correct rule stands in."
    )
    yield ""
    equal = at_equal_correctness(tidy)
    own = {(OWN.first, OWN.most): " (Compass's own rule)"}
    yield from table(
        [
            "first test after",
            "most items",
            "profiler",
            "samples a test",
            "correct, %",
            "samples over random's for equal correctness",
            f"at most {GOAL:g}",
        ],
        (
            [
                first,
                most,
                planner + own.get((first, most), ""),
                number(samples),
                number(correct, 4),
                *_judged(ratio, sign),
            ]
            for first, most, planner, samples, correct, ratio, sign in equal.iter_rows()
        ),
    )
    yield f"Under Compass's own rule, first {OWN.first} and at most {OWN.most} items, by group:"
    yield ""
    yield from table(
        [
            "group",
            "profiler",
            "seeds",
            "tests",
            "random's samples a test",
            "samples a test",
            "ratio",
            "more correct, points",
        ],
        (
            [
                group,
                planner,
                seeds,
                tests,
                number(random),
                number(samples),
                estimated(*ratio),
                estimated(*more),
            ]
            for group, planner, seeds, tests, random, samples, ratio, more in by_group(
                tidy
            ).iter_rows()
        ),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw what profilers need against how often they are right."""
    frame = at_equal_correctness(cells(rows))
    figure, panels = canvas(1, len(FIRST), 4.0, sharey=True)
    for axes, first in zip(panels[0], FIRST, strict=True):
        _lines(axes, frame.filter(first=first))
        axes.set_title(f"first test after {first} items")
        axes.set(xlabel="samples a test", ylabel="correct verdicts, %")
    legend_below(figure, panels[0][0])
    return [save(figure, directory / "evaluation_profiling.png")]


def _lines(axes: Axes, part: pl.DataFrame) -> None:
    """Draw a line for each way to sample, along which the most items grow."""
    columns = part.select(
        *("samples", "correct"),
        pl.col("planner").replace_strict(PROFILERS).alias("sampling"),
        pl.format("at most {} items", "most").alias("rule"),
    ).to_dict(as_series=False)
    where: dict[str, Any] = {"data": columns, "x": "samples", "y": "correct", "ax": axes}
    sns.scatterplot(**where, style="rule", color="0.25", s=45, zorder=3)
    sns.lineplot(
        **where, hue="sampling", style="sampling", palette="colorblind", sort=False, estimator=None
    )
