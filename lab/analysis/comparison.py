"""Planners compared on the same seeds: paired differences, with intervals.

All planners of one seed meet the same queries, devices, links and draws, so that what differs
between two of them is theirs. Differences are taken seed by seed, which removes what the seeds
themselves vary by.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from textwrap import wrap
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import Progress
from scipy.special import stdtr, stdtrit

from lab.analysis.bootstrap import bootstrap_interval
from lab.analysis.tiers import metric_and_tier
from lab.common.errors import InputError, key_of
from lab.common.formatting import interval, number, probability
from sim.api.planner import Planner

CONFIDENCE = 0.95

Range = tuple[float, float]
"""The least and the largest value that there can be."""

ANY: Range = (-math.inf, math.inf)
SHARE: Range = (0.0, 1.0)

# What a person looks at first; ``Comparison`` holds every metric of the summaries.
HEADLINES = (
    "service_goodput_mean",
    "slo_met_fraction",
    "response_time_p50_s",
    "planning_device_hours",
    "deployment_cost_usd",
)
# Counts, times and money of the summaries, besides.
OTHERS = (
    *("horizon_s", "simulated_s", "queries", "active_queries_mean", "response_censored"),
    *("false_acceptances", "deployments", "deployments_refused", "deployments_assumed"),
    *("deployments_extrapolated", "requests", "completed", "unserved", "lost", "dropped", "shed"),
    *("in_flight", "planner_crashes", "profiling_runs_lost", "profiles_restored"),
    *("profiles_measured", "planning_charged_s", "planning_wall_s", "attributed_cost_usd"),
    *("idle_cost_usd", "planner_errors", "wall_s"),
)
RANGES: Mapping[str, Range] = dict.fromkeys((*HEADLINES, *OTHERS), (0.0, math.inf)) | {
    "slo_met_fraction": SHARE,
    "queries_met_share": SHARE,
}
"""Range of these metrics: from 0 on, and of a share up to 1."""


def range_of(metric: str) -> Range:
    """Return the range of a metric, also of one of a single class of service.

    What no summary of ours has may be anything.
    """
    return RANGES.get(metric_and_tier(metric)[0], ANY)


MEANS_SCHEMA = {
    "metric": pl.String,
    "planner": pl.String,
    "n": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "boot_low": pl.Float64,
    "boot_high": pl.Float64,
}
DIFFERENCES_SCHEMA = {
    "metric": pl.String,
    "planner": pl.String,
    "other": pl.String,
    "n": pl.Int64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "boot_low": pl.Float64,
    "boot_high": pl.Float64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
    "ratio": pl.Float64,
    "ratio_low": pl.Float64,
    "ratio_high": pl.Float64,
}


@dataclass(frozen=True)
class IntervalEstimate:
    """A mean with its interval, and the probability of one so far from 0 if the truth were 0.

    Args:
        n: values that it rests on.
        mean: their mean; None without any.
        low: lower end of the interval; None with fewer than two values.
        high: upper end.
        p: two-sided p-value, by Student's t or, of equal values, by the sign test.
    """

    n: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison; printed, it shows the headline metrics.

    Args:
        scenario: name of the scenario.
        runs: one row for each seed and planner, with all metrics of its summary.
        means: mean of each metric and planner over seeds, with a 95 % t-interval (``low``,
            ``high``) and one by the bootstrap (``boot_low``, ``boot_high``). None leaves the range
            of its metric (`RANGES`), such as 0 to 1 for a share, and -1 to 1 for the difference of
            two: see `estimate`.
        differences: for each metric and pair of planners, the mean of ``planner`` minus ``other``
            over the ``n`` seeds where both have a value, with the same intervals; ``p`` of the
            paired t-test and ``p_holm``, adjusted for all pairs of that metric; and, where all
            values are positive, the ratio ``planner / other`` by paired log-ratios.
    """

    scenario: str
    runs: pl.DataFrame
    means: pl.DataFrame
    differences: pl.DataFrame

    def __str__(self) -> str:
        return "\n".join([*_report(self), *_others(self)])

    def tables(self) -> str:
        """Return the tables of the headline metrics, without a word on the others."""
        return "\n".join(_report(self))


def compare(
    planners: Sequence[Planner] | Mapping[str, Planner],
    scenario: str = "speech_small",
    seeds: int | Sequence[int] = 10,
    overrides: Sequence[str] = (),
    run: Callable[..., Any] | None = None,
) -> Comparison:
    """Run planners on the same seeds of a scenario, and compare them.

    Args:
        planners: planners, named by their class and by the parameters in which they differ; or
            planners by name.
        scenario: name of the experiment that sets up the scenario.
        seeds: how many seeds, from 0 up; or the seeds.
        overrides: further overrides of the configuration, for every run.
        run: makes a run from ``overrides`` and ``planner``, and returns an object with a
            ``summary``; by default ``lab.runs.api.run``.

    Returns:
        The comparison.

    Raises:
        InputError: something in the input is wrong; the message is one sentence.
    """
    named = _named(planners)
    listed = _listed(seeds)
    if isinstance(overrides, str):
        raise InputError(f"overrides={overrides!r}: must be a list, such as [{overrides!r}]")
    for override in overrides:
        if isinstance(override, str) and (argument := _argument(key_of(override))):
            raise InputError(f"{override}: a comparison takes this by its argument {argument}")
    run = run or _runner()
    rows = []
    for seed, name in _watched([(seed, name) for seed in listed for name in named]):
        settings = [f"experiment={scenario}", f"seed={seed}", *overrides]
        result = run(overrides=settings, planner=named[name])
        rows.append({**result.summary, "seed": seed, "planner": name})
    return from_runs(scenario, rows)


def _runner() -> Callable[..., Any]:
    """Return what makes a run; it composes configurations, which a comparison of rows needs not."""
    from lab.runs.api import run

    return run


def from_runs(
    scenario: str, rows: Sequence[Mapping[str, Any]], metrics: Sequence[str] | None = None
) -> Comparison:
    """Compare planners by the summaries of their runs.

    Args:
        scenario: name of the scenario.
        rows: summaries, with ``seed`` and ``planner`` added. What is not a finite number counts as
            missing.
        metrics: keys of the summaries to compare by; by default all that hold numbers.
    """
    metrics = _metrics(rows) if metrics is None else list(metrics)
    planners = list(dict.fromkeys(row["planner"] for row in rows))
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    runs = pl.DataFrame(
        [
            {"seed": row["seed"], "planner": row["planner"]}
            | {metric: _number(row.get(metric)) for metric in metrics}
            for row in rows
        ],
        schema={"seed": pl.Int64, "planner": pl.String} | dict.fromkeys(metrics, pl.Float64),
    )
    found = {(row["planner"], row["seed"]): row for row in runs.iter_rows(named=True)}
    means: list[tuple[Any, ...]] = []
    differences: list[tuple[Any, ...]] = []
    for metric in metrics:
        values = {
            planner: np.array(
                [found.get((planner, seed), {}).get(metric) for seed in seeds], dtype=float
            )
            for planner in planners
        }
        for planner in planners:
            known = values[planner][~np.isnan(values[planner])]
            mean = estimate(known, within=range_of(metric))
            means.append(
                (metric, planner, mean.n, mean.mean, mean.low, mean.high, *_boot(known, mean))
            )
        differences += _pairs(metric, values)
    return Comparison(
        scenario,
        runs,
        pl.DataFrame(means, MEANS_SCHEMA, orient="row"),
        pl.DataFrame(differences, DIFFERENCES_SCHEMA, orient="row"),
    )


# Statistics


def estimate(values: np.ndarray, scale: float = 0.0, within: Range = ANY) -> IntervalEstimate:
    """Return the mean of values with Student's t-interval and the p-value of a mean of 0.

    The half-width is t(0.975, n - 1) s / sqrt(n), after Student (1908), "The probable error of a
    mean"; of paired differences this is the paired t-test.

    Values that differ by no more than rounding have an interval of no width, which says nothing of
    how much others may differ, and the t-test has no spread to go by. So p is 1 if they are 0, and
    else that of the sign test: of n values, all of one sign, 2^(1 - n), which is 0.05 or more of
    five or fewer.

    Of values in a range, such as shares, the interval is cut at its ends. The true mean cannot lie
    beyond, so what is left holds it whenever the whole does. The mean and p stay as they are.

    Args:
        values: finite values.
        scale: largest magnitude of the numbers that the values were computed from, if larger than
            the values' own: it decides what is rounding.
        within: range of the values.
    """
    n = len(values)
    if n == 0:
        return IntervalEstimate(0)
    mean = float(np.mean(values))
    if n == 1:
        return IntervalEstimate(1, mean)
    least = float(np.finfo(float).tiny) ** 0.5  # The square of what is less vanishes.
    rounding = max(least, 8 * np.finfo(float).eps * max(scale, float(np.abs(values).max())))
    if float(np.ptp(values)) <= rounding:
        return IntervalEstimate(
            n, mean, mean, mean, 1.0 if abs(mean) <= rounding else 2.0 ** (1 - n)
        )
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half = student_t(n) * error
    p = 2 * float(stdtr(n - 1, -abs(mean) / error))
    return IntervalEstimate(n, mean, *cut(mean - half, mean + half, within), p)


def cut(low: float, high: float, within: Range) -> Range:
    """Return the part of an interval that lies in a range."""
    return max(low, within[0]), min(high, within[1])


def of_difference(within: Range) -> Range:
    """Return the range of the difference of two values that have a range."""
    low, high = within
    return low - high, high - low


@lru_cache
def student_t(n: int, probability: float = (1 + CONFIDENCE) / 2) -> float:
    """Return the quantile of Student's t that bounds a mean of n values; nan below two.

    Args:
        n: how many values.
        probability: that of lying below the quantile.
    """
    return float(stdtrit(n - 1, probability))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for making several tests; None stays None and counts for nothing.

    The step-down procedure of Holm (1979), "A simple sequentially rejective multiple test
    procedure": of m tests, the k-th smallest p-value is multiplied by m - k + 1, made no smaller
    than the adjusted one before it, and cut at 1.
    """
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    before = 0.0
    for k, (p, i) in enumerate(order):
        before = max(before, min(1.0, p * (len(order) - k)))
        adjusted[i] = before
    return adjusted


def _pairs(metric: str, values: Mapping[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
    """Yield a row of differences for each pair of planners."""
    pairs = list(combinations(values, 2))
    estimates, boots, ratios = [], [], []
    for one, other in pairs:
        both = ~(np.isnan(values[one]) | np.isnan(values[other]))
        a, b = values[one][both], values[other][both]
        scale = float(max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)))
        estimates.append(estimate(a - b, scale, of_difference(range_of(metric))))
        boots.append(_boot(a - b, estimates[-1]))
        positive = bool(len(a)) and a.min() > 0 and b.min() > 0
        # The rounding of a log-ratio is that of numbers around 1.
        log_ratio = estimate(np.log(a) - np.log(b), 1.0) if positive else IntervalEstimate(0)
        with np.errstate(over="ignore"):
            ratios.append(
                tuple(
                    None if value is None else float(np.exp(value))
                    for value in (log_ratio.mean, log_ratio.low, log_ratio.high)
                )
            )
    adjusted = holm([found.p for found in estimates])
    for (one, other), found, boot, p_holm, ratio in zip(
        pairs, estimates, boots, adjusted, ratios, strict=True
    ):
        yield (
            *(metric, one, other, found.n, found.mean, found.low, found.high, *boot),
            *(found.p, p_holm, *ratio),
        )


def _boot(values: np.ndarray, found: IntervalEstimate) -> tuple[float | None, float | None]:
    """Return the bootstrap interval of a mean, which has no width where the t-interval has none."""
    if found.low is None or found.low == found.high:
        return found.low, found.high
    return bootstrap_interval(values, CONFIDENCE)


# Names and values


def _named(planners: Sequence[Planner] | Mapping[str, Planner]) -> dict[str, Planner]:
    """Check planners, and name those without a name."""
    if isinstance(planners, str) or not isinstance(planners, Sequence | Mapping):
        raise InputError(f"planners={planners!r}: must be a list of planners, or planners by name")
    listed = list(planners.values() if isinstance(planners, Mapping) else planners)
    if not listed:
        raise InputError("planners: name at least one planner")
    for planner in listed:
        if not isinstance(planner, Planner):
            raise InputError(
                f"planners: {planner!r} must be an object of a class that derives from "
                "sim.Planner, such as planners.CheapestFeasible()"
            )
    if isinstance(planners, Mapping):
        return dict(planners)
    names = distinct_names([(type(one).__name__, one.parameters()) for one in listed])
    return dict(zip(names, listed, strict=True))


def _listed(seeds: int | Sequence[int]) -> list[int]:
    """Return the seeds, checked."""
    given: Any = seeds
    if _is_whole(given):
        given = range(given)
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
    fit = all(_is_whole(seed) and seed >= 0 for seed in listed)
    if not listed or not fit or len(set(listed)) < len(listed):
        raise InputError(
            f"seeds={seeds!r}: must be a whole number above 0, or different whole numbers of 0 or "
            "more"
        )
    return listed


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _argument(key: str) -> str | None:
    """Return the argument of ``compare`` that decides what an override would set."""
    return {"seed": "seeds", "planner": "planners", "experiment": "scenario"}.get(
        key.partition(".")[0]
    )


def distinct_names(planners: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Name planners by their class and, within one class, by the parameters that differ.

    Args:
        planners: class and parameters of each; those of a part may be given apart, by dotted keys
            below its own.
    """
    named: list[str] = []
    for kind, parameters in planners:
        alike = [others for other, others in planners if other == kind]
        differing = {
            key: value
            for key, value in parameters.items()
            if any(key not in other or repr(other[key]) != repr(value) for other in alike)
        }
        # What lies below a part that is another says nothing more.
        differing = {
            key: value
            for key, value in differing.items()
            if not any(key.startswith(f"{above}.") for above in differing)
        }
        given = ", ".join(f"{key}={value!r}" for key, value in differing.items())
        name = unique = f"{kind}({given})" if given else kind
        count = 1
        while unique in named:
            count += 1
            unique = f"{name} #{count}"
        named.append(unique)
    return named


def _metrics(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys of summaries that hold a number in some run, and text in none."""
    keys = dict.fromkeys(key for row in rows for key in row if key not in ("seed", "planner"))
    return [
        key
        for key in keys
        if any(_is_number(row.get(key)) for row in rows)
        and all(row.get(key) is None or _is_number(row[key]) for row in rows)
    ] + [
        # Nobody was ever served, say: the metric stays, with n = 0.
        key
        for key in keys
        if key in HEADLINES and all(row.get(key) is None for row in rows)
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) and math.isfinite(value) else None


# Shown to a person


def _watched(jobs: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield jobs, with a bar of progress on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("comparing", total=len(jobs))
        for seed, name in jobs:
            progress.update(task, description=f"{name}, seed {seed}")
            yield seed, name
            progress.advance(task)


def _report(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of a plain-text report."""
    means, differences = comparison.means, comparison.differences
    shown, _ = _shown_and_others(comparison)
    planners = comparison.runs["planner"].n_unique()
    seeds = comparison.runs["seed"].n_unique()
    yield (
        f"{comparison.scenario}: {planners} planner{'s' * (planners != 1)}, "
        f"{seeds} seed{'s' * (seeds != 1)}, "
        + ("hence no intervals" if seeds == 1 else "means with 95 % t-intervals")
    )
    yield ""
    yield from _aligned(
        ("metric", "planner", "n", "mean", "95 % interval"),
        [
            (metric, planner, str(n), number(mean, 4), interval(low, high, 4, "-"))
            for metric, planner, n, mean, low, high, *_ in _of(means, shown)
        ],
    )
    if differences.height:
        yield ""
        yield (
            "Differences (first minus second)"
            if seeds == 1
            else "Paired differences over seeds (first minus second; p by paired t, Holm-adjusted)"
        )
        yield from _by_pair(differences, shown)
    if means.filter(pl.col("metric").is_in(shown))["n"].min() != seeds:
        yield ""
        yield "n counts the seeds with a value, in differences for both planners; other seeds are"
        yield "left out. A median response time is missing where under half were ever served."
    if "planner_errors" in comparison.runs.columns:
        raised = comparison.runs.group_by("planner", maintain_order=True).agg(
            pl.col("planner_errors").sum(), (pl.col("planner_errors") > 0).sum().alias("runs")
        )
        for planner, errors, runs in raised.filter(pl.col("runs") > 0).iter_rows():
            yield ""
            often = "once" if errors == 1 else f"{errors:,.0f} times"
            yield f"Planner {planner} raised {often}, in {runs} of {seeds} seeds."


def _others(comparison: Comparison) -> Iterator[str]:
    """Yield lines that name the metrics which the report does not show."""
    _, others = _shown_and_others(comparison)
    if others:
        yield ""
        yield from wrap(f"Also in .means and .differences: {', '.join(others)}", 100)


def _shown_and_others(comparison: Comparison) -> tuple[list[str], list[str]]:
    """Return the metrics that the report shows, and the others."""
    metrics = comparison.means["metric"].unique(maintain_order=True).to_list()
    shown = [metric for metric in HEADLINES if metric in metrics] or metrics
    return shown, [metric for metric in metrics if metric not in shown]


def _by_pair(differences: pl.DataFrame, metrics: Sequence[str]) -> Iterator[str]:
    """Yield a table of differences for each pair of planners, all with the same columns."""
    pairs = differences.select("planner", "other").unique(maintain_order=True).rows()
    rows = [
        (
            *(metric, str(n), number(mean, 4), interval(low, high, 4, "-"), probability(p_holm)),
            *(number(ratio, 4), interval(ratio_low, ratio_high, 4, "-")),
        )
        for one, other in pairs
        for metric, _, _, n, mean, low, high, _, _, _, p_holm, ratio, ratio_low, ratio_high in _of(
            differences.filter(planner=one, other=other), metrics
        )
    ]
    head = ("metric", "n", "difference", "95 % interval", "p", "ratio", "95 % interval")
    title, rule, *lines = _aligned(head, rows, names=1)
    for i, (one, other) in enumerate(pairs):
        yield ""
        yield f"{one} - {other}"
        yield title
        yield rule
        yield from lines[i * len(metrics) : (i + 1) * len(metrics)]


def _of(frame: pl.DataFrame, metrics: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of some metrics, in their order."""
    for metric in metrics:
        yield from frame.filter(metric=metric).iter_rows()


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], names: int = 2) -> Iterator[str]:
    """Yield the lines of a table: columns of names to the left, of numbers to the right.

    A name in the first column is not repeated below itself.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    before = ""
    for row in (head, ["-" * width for width in widths], *rows):
        first = "" if row[0] == before else row[0]
        before = row[0]
        cells = [
            cell.ljust(width) if column < names else cell.rjust(width)
            for column, (cell, width) in enumerate(zip((first, *row[1:]), widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
