"""Compares planners by their paired differences on the same seeds, with intervals.

With the same seed, all planners get the same queries, devices, links and random draws. Differences
are computed seed by seed, which removes the variance between seeds.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from textwrap import wrap
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import track

from lab.analysis.settings import distinct_names
from lab.analysis.statistics import (
    IntervalEstimate,
    as_ratio,
    bootstrap_interval,
    estimate,
    holm,
    of_difference,
)
from lab.behaviour import difference
from lab.common.console import times, warn
from lab.common.errors import InputError, key_of
from lab.common.formatting import count, interval, number, probability
from lab.common.metrics import HEADLINES, range_of
from sim.api.planner import Planner

MEANS_SCHEMA = {
    "metric": pl.String,
    "planner": pl.String,
    "n": pl.Int64,
    **dict.fromkeys(("mean", "low", "high", "boot_low", "boot_high"), pl.Float64),
}
DIFFERENCES_SCHEMA = {
    "metric": pl.String,
    "planner": pl.String,
    "other": pl.String,
    "n": pl.Int64,
    **dict.fromkeys(("difference", "low", "high", "boot_low", "boot_high"), pl.Float64),
    **dict.fromkeys(("p", "p_holm", "ratio", "ratio_low", "ratio_high"), pl.Float64),
}
# Keys that must not be overridden, because arguments of `compare` set them.
ARGUMENTS = {"seed": "seeds", "planner": "planners", "experiment": "scenario"}


@dataclass(frozen=True)
class Comparison:
    """A comparison of planners; its text form consists of the tables of the headline metrics.

    Args:
        scenario: name of the scenario.
        runs: one row per seed and planner, with all metrics of the summary.
        means: one row per metric and planner. It has the mean over seeds and two 95 % intervals:
            Student's t-interval (``low``, ``high``) and the bootstrap interval (``boot_low``,
            ``boot_high``). Both intervals are cut to the metric's range.
        differences: one row per metric and pair of planners. It has the mean of the difference
            ``planner`` minus ``other`` over the ``n`` seeds on which both planners have a value,
            and its two intervals. ``p`` is the p-value of the paired t-test, and ``p_holm`` is
            adjusted for the number of pairs. ``ratio`` is the geometric mean of ``planner`` divided
            by ``other``; it is null unless all values are positive.
        of: what is compared, as the tables call it.
    """

    scenario: str
    runs: pl.DataFrame
    means: pl.DataFrame
    differences: pl.DataFrame
    of: str = "planner"

    def __str__(self) -> str:
        left_out = self._shown_and_others()[1]
        words = f"Also in .means and .differences: {', '.join(left_out)}"
        return "\n".join([self.tables(), *(["", *wrap(words, 100)] if left_out else [])])

    def tables(self) -> str:
        """Return the tables of the headline metrics."""
        return "\n".join(_tables(self, self._shown_and_others()[0]))

    def _shown_and_others(self) -> tuple[list[str], list[str]]:
        """Return the names of the metrics in the tables, and those of all other metrics."""
        metrics = self.means["metric"].unique(maintain_order=True).to_list()
        shown = [metric.name for metric in HEADLINES if metric.name in metrics] or metrics
        return shown, [metric for metric in metrics if metric not in shown]


def compare(
    planners: Sequence[Planner] | Mapping[str, Planner],
    scenario: str = "speech_small",
    seeds: int | Sequence[int] = 10,
    overrides: Sequence[str] = (),
    run: Callable[..., Any] | None = None,
) -> Comparison:
    """Run planners in the same scenario with the same seeds, and return their comparison.

    Args:
        planners: a mapping from names to planners, or a list; planners of a list are named by their
            class and by the parameters in which they differ.
        scenario: name of the experiment that defines the scenario.
        seeds: the seeds, or a number N, which stands for the seeds 0 to N - 1.
        overrides: further overrides of the configuration for every run.
        run: a function that makes a run from ``overrides`` and ``planner``, and returns an object
            with a ``summary``; the default is ``lab.runs.api.run``.

    Raises InputError if an argument is wrong; its message is one sentence.
    """
    named = _named(planners)
    listed = _listed(seeds)
    if isinstance(overrides, str):
        raise InputError(f"overrides={overrides!r}: must be a list, such as [{overrides!r}]")
    for override in overrides:
        key = key_of(override).partition(".")[0] if isinstance(override, str) else ""
        if argument := ARGUMENTS.get(key):
            raise InputError(f"{override}: use the argument {argument} of compare instead")
    if run is None:
        from lab.runs.api import run as run_once

        run = run_once
    rows = []
    screen, jobs = Console(stderr=True), list(product(listed, named))
    hidden = not screen.is_terminal
    for seed, name in track(jobs, "comparing", console=screen, transient=True, disable=hidden):
        settings = [f"experiment={scenario}", f"seed={seed}", *overrides]
        result = run(overrides=settings, planner=named[name])
        rows.append({**result.summary, "seed": seed, "planner": name})
    if sentence := difference(row.get("behaviour") for row in rows):
        warn(sentence)
    return from_runs(scenario, rows)


def from_runs(
    scenario: str, rows: Sequence[Mapping[str, Any]], metrics: Sequence[str] | None = None
) -> Comparison:
    """Compare planners by the summaries of their runs; infinite values count as missing."""
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


def _pairs(metric: str, values: Mapping[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
    """Yield a row of the frame ``differences`` for each pair of planners."""
    pairs = list(combinations(values, 2))
    estimates, boots, ratios = [], [], []
    for one, other in pairs:
        both = ~(np.isnan(values[one]) | np.isnan(values[other]))
        a, b = values[one][both], values[other][both]
        scale = float(max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)))
        estimates.append(estimate(a - b, scale, of_difference(range_of(metric))))
        boots.append(_boot(a - b, estimates[-1]))
        positive = bool(len(a)) and a.min() > 0 and b.min() > 0
        # Log-ratios have the rounding errors of numbers around 1.
        log_ratio = estimate(np.log(a) - np.log(b), 1.0) if positive else IntervalEstimate(0)
        ratios.append(as_ratio(log_ratio))
    adjusted = holm([found.p for found in estimates])
    for (one, other), found, boot, p_holm, ratio in zip(
        pairs, estimates, boots, adjusted, ratios, strict=True
    ):
        yield (
            *(metric, one, other, found.n, found.mean, found.low, found.high, *boot),
            *(found.p, p_holm, *ratio),
        )


def _boot(values: np.ndarray, found: IntervalEstimate) -> tuple[float | None, float | None]:
    """Return the mean's bootstrap interval, or its t-interval if the t-interval has no width."""
    if found.low is None or found.low == found.high:
        return found.low, found.high
    return bootstrap_interval(values)


def _named(planners: Sequence[Planner] | Mapping[str, Planner]) -> dict[str, Planner]:
    """Check planners and return them by name; planners of a list get distinct names."""
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


def _metrics(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the metrics, which are the keys whose values are all either numbers or missing."""
    keys = dict.fromkeys(key for row in rows for key in row if key not in ("seed", "planner"))
    headlines = {metric.name for metric in HEADLINES}
    return [
        key
        for key in keys
        if all(row.get(key) is None or _is_number(row[key]) for row in rows)
        # A headline metric without any value is kept too; its n is 0.
        and (key in headlines or any(_is_number(row.get(key)) for row in rows))
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) and math.isfinite(value) else None


def _tables(comparison: Comparison, shown: Sequence[str]) -> Iterator[str]:
    means, differences = comparison.means, comparison.differences
    planners = comparison.runs["planner"].n_unique()
    seeds = comparison.runs["seed"].n_unique()
    yield (
        f"{comparison.scenario}: {count(planners, comparison.of)}, {count(seeds, 'seed')}, "
        + ("so no intervals" if seeds == 1 else "means with 95 % t-intervals")
    )
    yield ""
    yield from _aligned(
        ("metric", comparison.of, "n", "mean", "95 % interval"),
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
        yield "n is the number of seeds with a value (of both planners, in differences). A median"
        yield "response time is missing if fewer than half of the queries were ever served."
    if "planner_errors" in comparison.runs.columns:
        raised = comparison.runs.group_by("planner", maintain_order=True).agg(
            pl.col("planner_errors").sum(), (pl.col("planner_errors") > 0).sum().alias("runs")
        )
        for planner, errors, runs in raised.filter(pl.col("runs") > 0).iter_rows():
            yield ""
            yield f"Planner {planner} raised {times(int(errors))}, on {runs} of {seeds} seeds."


def _by_pair(differences: pl.DataFrame, metrics: Sequence[str]) -> Iterator[str]:
    """Yield a table of differences for each pair of planners, all with the same column widths."""
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
    """Yield the rows of a frame for the given metrics, one metric after the other."""
    for metric in metrics:
        yield from frame.filter(metric=metric).iter_rows()


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], names: int = 2) -> Iterator[str]:
    """Yield the lines of a table with aligned columns, of which the first `names` are names.

    A repeated first name is left blank if another name follows it.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    before = ""
    for row in (head, ["-" * width for width in widths], *rows):
        first = "" if names > 1 and row[0] == before else row[0]
        before = row[0]
        cells = [
            cell.ljust(width) if column < names else cell.rjust(width)
            for column, (cell, width) in enumerate(zip((first, *row[1:]), widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
