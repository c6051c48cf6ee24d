"""Samples that stratified profiling needs, compared with random sampling under the same rule.

Each profiler profiles every configuration for some queries, on the same items, until a sequential
t-test decides whether the configuration meets the query's accuracy floor. If the test has not
decided after the largest number of items that the rule allows, the measured mean decides. A verdict
is correct if it agrees with the true expected accuracy on the query's content.

This limit on items determines how often verdicts are correct and what they cost. So random sampling
runs with several limits, and the line through their results gives the samples that it needs *for
the same share of correct verdicts*.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import seaborn as sns

from lab.analysis.paired import PERCENT, Interval, jackknifed, mean_interval
from lab.analysis.statistics import of_difference
from lab.common.formatting import number
from lab.reporting.markdown import estimated, table
from lab.reporting.plotting.canvas import canvas, legend_below, save
from lab.run_cache.jobs import Job
from studies.common.claims import goal_reached, paired
from studies.common.scenes import APPLICATIONS
from studies.common.store import each_cell
from studies.common.study import Scale, refuse_planners
from studies.probes.profiling_probe import OWN, gap_names, verdicts

TITLE = "Samples of the SLO profiler"
GOAL = 0.6
FIRST = (16, 32)
"""Items before the first test; the number between two tests is Compass's own."""

MOST = tuple(sorted({64, OWN.most, 256, 1024}))
PROFILERS = {
    "random": "random sampling",
    "proportional": "strata, proportional",
    "neyman": "strata, Neyman",
}
"""Profilers by name, and the names of their sampling in the figure."""

QUERIES = 3.0
ARRIVALS_S = 10.0


def jobs(scale: Scale) -> list[Job]:
    """Return the runs; raise InputError if planners are given."""
    refuse_planners("profiling", scale.planners)
    queries = 1.0 if scale.quick else QUERIES
    return [
        Job(
            (
                f"application={application}",
                f"horizon_s={ARRIVALS_S:g}",
                f"workload.rate={queries / ARRIVALS_S:g}",
                "profiling=free",
                "cluster.profiling.lanes=64",
                "planner._target_=studies.probes.profiling_probe.ProfilingTrial",
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
        for seed in scale.seeds_or()
    ]


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """Return tidy rows: one for each rule, profiler, seed, data set and class of gap."""
    return each_cell(rows, "application", "first", "most", "planner", "seed")


def by_group(tidy: pl.DataFrame) -> pl.DataFrame:
    """Return samples, by group, relative to random sampling under Compass's own rule.

    Seeds are paired. The groups are all tests, the tests of each data set, and those of each class
    of gap, which is the distance between the true accuracy and the floor.
    """
    own = tidy.filter(first=OWN.first, most=OWN.most)
    groups = {"all": own}
    groups |= {name: own.filter(dataset=name) for name in sorted(set(own["dataset"]))}
    groups |= {f"gap {name}": own.filter(gap=name) for name in gap_names()}
    found: list[dict[str, Any]] = []
    for group, part in groups.items():
        sums = part.group_by("planner", "seed").agg(pl.col("tests", "samples", "correct").sum())
        random = sums.filter(planner="random")
        for name in list(PROFILERS)[1:]:
            both = sums.filter(planner=name).join(random, "seed", suffix="_random").sort("seed")
            more = 100 * (both["correct"] - both["correct_random"]) / both["tests"]
            tests = int(both["tests"].sum())
            found.append(
                {
                    "group": group,
                    "planner": name,
                    "seeds": both.height,
                    "tests": tests,
                    "random": both["samples_random"].sum() / max(1, tests),
                    "samples": both["samples"].sum() / max(1, tests),
                    "ratio": paired(sums.filter(planner=name), random, "samples")["ratio"],
                    "more_correct": mean_interval(more.to_numpy(), of_difference(PERCENT)),
                }
            )
    return pl.DataFrame(found)


def at_equal_correctness(tidy: pl.DataFrame) -> pl.DataFrame:
    """Return each profiler's samples divided by those of equally correct random sampling.

    Ratios are computed over all applications and seeds, and intervals by a jackknife over seeds. If
    random sampling is correct less often under every rule, its most correct rule is used, and the
    ratio is an upper bound (``sign`` is ``"≤"``). If it is correct more often under every rule, its
    samples are interpolated between those of its least correct rule and no samples, with which half
    of the verdicts are correct by chance.
    """
    by = tidy.group_by("first", "most", "planner", "seed").agg(
        pl.col("tests", "samples", "correct").sum()
    )
    # numbers of tests, samples and correct verdicts, by rule, profiler and seed
    sums = {
        key: part.sort("seed").select("tests", "samples", "correct").to_numpy()
        for key, part in by.group_by("first", "most", "planner")
    }
    every = range(tidy["seed"].n_unique())

    def pooled(chosen: Sequence[int], *rule: int | str) -> tuple[float, float]:
        """Return the share of correct verdicts, and samples per test, over seeds."""
        tests, samples, correct = sums[rule][list(chosen)].sum(axis=0).tolist()
        return correct / tests, samples / tests

    def ratio(chosen: Sequence[int], first: int, most: int, planner: str) -> float:
        line = [(0.5, 0.0), *sorted(pooled(chosen, first, each, "random") for each in MOST)]
        correct, samples = pooled(chosen, first, most, planner)
        return samples / float(np.interp(correct, *np.transpose(line)))

    found: list[dict[str, Any]] = []
    for first, most, planner in product(FIRST, MOST, PROFILERS):
        rule: dict[str, Any] = {"first": first, "most": most, "planner": planner}
        correct, samples = pooled(every, first, most, planner)
        best = max(pooled(every, first, each, "random")[0] for each in MOST)
        interval = None if planner == "random" else jackknifed(len(every), partial(ratio, **rule))
        sign = "≤" if correct > best else ""
        found.append(
            {**rule, "samples": samples, "correct": 100 * correct, "ratio": interval, "sign": sign}
        )
    return pl.DataFrame(found)


def _judged(ratio: Interval | None, sign: str) -> tuple[str, str]:
    if ratio is None:
        return "", ""
    return estimated(*ratio, sign), goal_reached(ratio, GOAL, at_most=True, sign=sign)


def lines(rows: pl.DataFrame) -> Iterator[str]:
    """Yield each profiler's samples relative to equally correct random sampling, and by group."""
    tidy = cells(rows)
    yield (
        f"The tests cover all configurations for {QUERIES:g} queries per run on average, of both "
        "applications, under the queries' own SLOs. The goal is at most "
        f"{GOAL:g} of the samples of random sampling at equal correctness, by the whole interval; "
        "it is *open* where the interval includes the goal. ≤ marks upper bounds: there random "
        "sampling is never as correct, and its most correct rule is used instead."
    )
    yield ""
    own = {(OWN.first, OWN.most): " (Compass's own rule)"}
    heads = ["first test after", "most items", "profiler", "samples per test", "correct, %"]
    yield from table(
        [*heads, "samples over random's at equal correctness", f"at most {GOAL:g}"],
        (
            [
                first,
                most,
                planner + own.get((first, most), ""),
                number(samples),
                number(correct, 4),
                *_judged(ratio, sign),
            ]
            for first, most, planner, samples, correct, ratio, sign in at_equal_correctness(
                tidy
            ).iter_rows()
        ),
    )
    yield f"Under Compass's own rule, first {OWN.first} and at most {OWN.most} items, by group:"
    yield ""
    heads = ["group", "profiler", "seeds", "tests", "random's samples per test", "samples per test"]
    yield from table(
        [*heads, "ratio", "more correct, points"],
        (
            [*row[:4], *map(number, row[4:6]), *(estimated(*each) for each in row[6:])]
            for row in by_group(tidy).iter_rows()
        ),
    )


def draw(rows: pl.DataFrame, directory: Path) -> list[Path]:
    """Draw the share of correct verdicts against samples; lines join a profiler's rules."""
    frame = at_equal_correctness(cells(rows)).with_columns(
        pl.col("planner").replace_strict(PROFILERS).alias("sampling"),
        pl.format("at most {} items", "most").alias("rule"),
    )
    figure, [panels] = canvas(1, len(FIRST), 4.0, sharey=True)
    for axes, first in zip(panels, FIRST, strict=True):
        part = frame.filter(first=first).drop("ratio").to_dict(as_series=False)
        where: dict[str, Any] = {"data": part, "x": "samples", "y": "correct", "ax": axes}
        sns.scatterplot(**where, style="rule", color="0.25", s=45, zorder=3)
        how = {"palette": "colorblind", "sort": False, "estimator": None}
        sns.lineplot(**where, hue="sampling", style="sampling", **how)
        axes.set_title(f"first test after {first} items")
        axes.set(xlabel="samples per test", ylabel="correct verdicts, %")
    legend_below(figure, panels[0])
    return [save(figure, directory / "profiling.png")]
