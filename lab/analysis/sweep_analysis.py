"""Analyses a sweep: means of planners, paired differences, trade-offs, and sums of times."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from lab.analysis.comparison import DIFFERENCES_SCHEMA, MEANS_SCHEMA, Comparison, from_runs
from lab.analysis.run_data import PARTS
from lab.analysis.statistics import student_t
from lab.analysis.sums import WINDOW_S, Sums, totals
from lab.analysis.sweep_frames import Sweep
from lab.common.metrics import (
    BY_TIER,
    CLAIMED,
    COST,
    GOODPUT,
    QUERIES,
    REPORTED,
    RESPONSE,
    SLO_MET,
    by_tier,
    metric_and_tier,
    of_tier,
)

POOLED = "all settings"
TIERS_SCHEMA = {
    "planner": pl.String,
    "tier": pl.String,
    "queries": pl.Float64,
    "n": pl.Int64,
    **dict.fromkeys(("mean", "low", "high", "boot_low", "boot_high"), pl.Float64),
}


@dataclass(frozen=True)
class Analysis:
    """The results of an analysed sweep. Frames by setting have one column per varied key."""

    sweep: Sweep
    comparisons: Mapping[str, Comparison]  # comparisons of the planners, by setting
    # The same over only those seeds that all planners of the setting finished, if any. Means over
    # different seeds cannot be compared.
    alike: Mapping[str, Comparison]
    alike_runs: pl.DataFrame  # the runs of these seeds; all finished runs if no seed is shared
    # The comparison by each seed's mean over the settings that all planners finished, if any.
    pooled: Comparison | None
    pooled_runs: int  # number of runs of each planner in `pooled`
    # For each varied key, `means` by its value; each seed counts with its mean over the other keys.
    by_key: Mapping[str, pl.DataFrame]
    means: pl.DataFrame  # mean of each metric by setting and planner, with intervals over seeds
    differences: pl.DataFrame  # paired differences by setting and metric, with intervals
    # Goodput, cost, response time and dominating planners, by setting and planner, over the seeds
    # of `alike`.
    pareto: pl.DataFrame
    pareto_pooled: pl.DataFrame  # the same over the settings and seeds that every planner finished
    sums: Sums  # the result of `totals` for the sweep

    @cached_property
    def goodput(self) -> pl.DataFrame:
        """Mean goodput with t-intervals and mean active queries, by setting, planner and window."""
        return _with_keys(self.sweep, _goodput(self.alike_runs, self.sums[0]))

    @cached_property
    def time(self) -> pl.DataFrame:
        """How the lifetime of queries was spent, in shares, by setting and planner."""
        return _with_keys(self.sweep, _time(self.alike_runs, self.sums[0]))

    @cached_property
    def latency(self) -> pl.DataFrame:
        """Mean seconds of each part of latency, by setting, planner and operator.

        ``latency_mean_s`` is the mean latency of the whole request; null if unknown.
        """
        return _with_keys(self.sweep, _latency(self.alike_runs, self.sums[1]))

    @cached_property
    def tiers(self) -> pl.DataFrame:
        """Share of time in which the SLO was met, by setting, class of service and planner.

        The shares are means over the ``n`` seeds of `alike_runs`, with intervals; ``queries`` is
        the mean number of queries. Settings with a single class have no rows.
        """
        parts = _parts(self.alike_runs, "setting")
        frames = {setting: _tiers(setting, part) for setting, part in parts.items()}
        return _gathered(self.sweep, frames, TIERS_SCHEMA)

    @property
    def seeds(self) -> int:
        """The largest number of seeds that any planner finished in any setting."""
        counts = self.sweep.finished.group_by("setting", "planner").len()["len"]
        return max(counts, default=0)

    @property
    def alike_means(self) -> pl.DataFrame:
        """Means over the seeds that all planners of a setting finished."""
        frames = {setting: one.means for setting, one in self.alike.items()}
        return _gathered(self.sweep, frames, MEANS_SCHEMA)

    @property
    def alike_differences(self) -> pl.DataFrame:
        """Differences over the seeds that all planners of a setting finished."""
        frames = {setting: one.differences for setting, one in self.alike.items()}
        return _gathered(self.sweep, frames, DIFFERENCES_SCHEMA)


def analyse(sweep: Sweep) -> Analysis:
    """Analyse a sweep; raise InputError if a table of windows or operators cannot be read."""
    runs = _by_planner(sweep.runs, sweep.finished.sort("seed", maintain_order=True))
    by_setting = _parts(runs, "setting")
    comparisons = {
        setting: _compared(sweep, setting, by_setting[setting])
        for setting in sweep.settings["setting"]
        if setting in by_setting
    }
    # The runs of the seeds that all planners of the setting finished.
    planners = pl.col("planner").n_unique()
    alike_runs = runs.filter(planners.over("setting", "seed") == planners.over("setting"))
    alike_by_setting = _parts(alike_runs, "setting")
    alike = {
        setting: one
        if alike_by_setting[setting].height == by_setting[setting].height
        else _compared(sweep, setting, alike_by_setting[setting])
        for setting, one in comparisons.items()
        if setting in alike_by_setting
    }
    common = _common(runs, "setting", "seed")
    pooled = _compared(sweep, POOLED, common) if len(comparisons) > 1 and common.height else None
    return Analysis(
        sweep,
        comparisons,
        alike,
        alike_runs if alike_runs.height else runs,
        pooled,
        common.height // max(1, common["planner"].n_unique()),
        {key: _by_key(sweep, key, runs) for key in sweep.keys},
        _gathered(sweep, {key: one.means for key, one in comparisons.items()}, MEANS_SCHEMA),
        _gathered(
            sweep, {key: one.differences for key, one in comparisons.items()}, DIFFERENCES_SCHEMA
        ),
        _with_keys(sweep, pareto(alike_runs)),
        pareto(common.with_columns(pl.lit(POOLED).alias("setting"))),
        totals(sweep),
    )


def against(differences: pl.DataFrame, reference: str) -> pl.DataFrame:
    """Return the differences of one planner from all others; reversed pairs change sign."""
    ends = (("low", "high"), ("high", "low"))
    swapped = differences.filter(other=reference).with_columns(
        pl.col("other").alias("planner"),
        pl.col("planner").alias("other"),
        -pl.col("difference"),
        *((-pl.col(a)).alias(b) for a, b in ends),
        *((-pl.col(f"boot_{a}")).alias(f"boot_{b}") for a, b in ends),
        (1 / pl.col("ratio")).alias("ratio"),
        *((1 / pl.col(f"ratio_{a}")).alias(f"ratio_{b}") for a, b in ends),
    )
    return pl.concat([differences.filter(planner=reference), swapped])


def _parts(rows: pl.DataFrame, by: str) -> dict[Any, pl.DataFrame]:
    parts = rows.partition_by(by, as_dict=True, maintain_order=True)
    return {value: part for (value,), part in parts.items()}


def _compared(sweep: Sweep, name: str, runs: pl.DataFrame) -> Comparison:
    """Compare planners by each seed's mean over settings; a missing value makes the mean null."""
    metrics = [metric.name for metric in REPORTED]
    rows = runs.group_by("planner", "seed", maintain_order=True).agg(
        pl.when(pl.col(name).null_count() == 0).then(pl.col(name).mean()).alias(name)
        for name in metrics
        if name in runs.columns
    )
    return from_runs(name, _by_planner(sweep.runs, rows).to_dicts(), metrics)


def _by_key(sweep: Sweep, key: str, runs: pl.DataFrame) -> pl.DataFrame:
    """Return planners' means for each value of a key, over all values of the other keys."""
    others = [other for other in sweep.keys if other != key]
    frames = []
    for value, part in _parts(runs, key).items():
        common = _common(part, "seed", *others)
        if common.height:
            means = _compared(sweep, f"{key}={value}", common).means
            frames.append(means.select(pl.lit(value, sweep.runs.schema[key]).alias(key), pl.all()))
    return pl.concat(frames) if frames else pl.DataFrame(schema={key: pl.String, **MEANS_SCHEMA})


def planners_of(sweep: Sweep) -> list[str]:
    """Return the names of a sweep's planners, in the order of its runs."""
    return list(sweep.runs["planner"].unique(maintain_order=True))


def _common(runs: pl.DataFrame, *cell: str) -> pl.DataFrame:
    """Return the runs of each combination of values of `cell` that every planner finished."""
    planners = runs["planner"].n_unique()
    return runs.filter(pl.col("planner").n_unique().over(*cell) == planners)


def _gathered(
    sweep: Sweep, frames: Mapping[str, pl.DataFrame], schema: Mapping[str, Any]
) -> pl.DataFrame:
    """Join the frames of all settings into one frame with the column ``setting``."""
    named = [
        frame.select(pl.lit(setting).alias("setting"), pl.all())
        for setting, frame in frames.items()
    ]
    return _with_keys(
        sweep, pl.concat(named) if named else pl.DataFrame(schema={"setting": pl.String, **schema})
    )


def _with_keys(sweep: Sweep, frame: pl.DataFrame) -> pl.DataFrame:
    """Add the varied keys after the column ``setting``, and sort rows by setting."""
    order = sweep.settings.with_row_index("order").drop("short")
    rest = [name for name in frame.columns if name != "setting"]
    return (
        frame.join(order, on="setting", maintain_order="left")
        .sort("order", maintain_order=True)
        .select("setting", *sweep.keys, *rest)
    )


def _rows_of(runs: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame's rows for the given runs, with the columns setting, planner and seed."""
    names = runs.select("run", "setting", "planner", "seed")
    return names.join(frame, on="run", maintain_order="left_right")


def _by_planner(runs: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Sort rows by planner, in the order of planners in `runs`; the sort is stable."""
    order = {name: at for at, name in enumerate(runs["planner"].unique(maintain_order=True))}
    return rows.sort(
        pl.col("planner").replace_strict(order, return_dtype=pl.Int64), maintain_order=True
    )


def _goodput(runs: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Return each window's mean goodput over seeds; it is 0 in a run without that window."""
    found = _rows_of(runs, windows)
    by = ["setting", "planner"]
    seeds = (
        runs.group_by(by)
        .agg(pl.len().cast(pl.Int64).alias("n"))
        .with_columns(pl.col("n").map_elements(student_t, return_dtype=pl.Float64).alias("t"))
    )
    horizons = runs.select("run", "horizon_s")
    observed_s = pl.min_horizontal("end_s", "horizon_s") - pl.col("start_s")
    rates = (
        found.join(horizons, on="run", maintain_order="left")
        .filter(pl.col("start_s") < pl.col("horizon_s"))
        .with_columns(
            (pl.col("met_s") / observed_s).alias("goodput"),
            (pl.col("active_s") / observed_s).alias("active"),
            pl.min_horizontal("end_s", "horizon_s").alias("end_s"),
        )
    )
    summed = (
        rates.group_by(*by, "window", maintain_order=True)
        .agg(
            pl.col("start_s").min(),
            pl.col("end_s").max(),
            pl.col("goodput").sum(),
            (pl.col("goodput") ** 2).sum().alias("squares"),
            pl.col("active").sum(),
        )
        .join(seeds, on=by, maintain_order="left")
        .with_columns(pl.col("goodput", "active") / pl.col("n"))
        .with_columns(
            pl.when(pl.col("n") > 1)
            .then(
                (
                    (pl.col("squares") - pl.col("n") * pl.col("goodput") ** 2).clip(0)
                    / (pl.col("n") - 1)
                    / pl.col("n")
                ).sqrt()
                * pl.col("t")
            )
            .alias("half")
        )
        .with_columns(
            (pl.col("goodput") - pl.col("half")).clip(0).alias("low"),
            (pl.col("goodput") + pl.col("half")).alias("high"),
        )
        .drop("squares", "half", "t")
        .sort("window", maintain_order=True)
    )
    return _by_planner(runs, summed)


def _time(runs: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    totals_s = (
        _rows_of(runs, windows)
        .group_by("setting", "planner", maintain_order=True)
        .agg(pl.col(*WINDOW_S).sum())
    )
    named = ["met_s", "late_s", "inaccurate_s", "too_dear_s"]
    return totals_s.select(
        "setting",
        "planner",
        "active_s",
        *((pl.col(name) / pl.col("active_s")).alias(name[:-2].replace("_", " ")) for name in named),
        ((pl.col("deployed_s") - pl.sum_horizontal(named)) / pl.col("active_s"))
        .clip(0)
        .alias("no requests"),
        (1 - pl.col("deployed_s") / pl.col("active_s")).clip(0).alias("not deployed"),
    ).fill_nan(None)


def _tiers(setting: str, runs: pl.DataFrame) -> pl.DataFrame:
    known = [key for key in BY_TIER if key in runs.columns]
    rows = [
        {"planner": row["planner"], "seed": row["seed"]}
        | by_tier({key: json.loads(row[key] or "{}") for key in known})
        for row in runs.iter_rows(named=True)
    ]
    named = dict.fromkeys(map(metric_and_tier, (key for row in rows for key in row)))
    tiers = [tier for metric, tier in named if metric == SLO_MET.name]
    if len(tiers) < 2:
        return pl.DataFrame(schema=TIERS_SCHEMA)
    metrics = [of_tier(metric, tier) for tier in tiers for metric in (SLO_MET.name, QUERIES.name)]
    means = from_runs(setting, rows, metrics).means
    frames = []
    for tier in tiers:
        counts = means.filter(metric=of_tier(QUERIES.name, tier)).select(
            "planner", pl.col("mean").alias("queries")
        )
        shares = means.filter(metric=of_tier(SLO_MET.name, tier)).with_columns(tier=pl.lit(tier))
        frames.append(shares.join(counts, on="planner", maintain_order="left"))
    return pl.concat(frames).select(*TIERS_SCHEMA)


def _latency(runs: pl.DataFrame, operators: pl.DataFrame) -> pl.DataFrame:
    summed = (
        _rows_of(runs, operators)
        .group_by("setting", "planner", "operator", maintain_order=True)
        .agg(
            pl.col("at").min(),
            pl.col("completed").sum(),
            pl.when(pl.col("latency_s").null_count() == 0).then(pl.col("latency_s").sum()),
            pl.col(*PARTS).sum(),
        )
        .with_columns(pl.col(*PARTS, "latency_s") / pl.col("completed"))
        .rename({"latency_s": "latency_mean_s"})
        .sort("at", maintain_order=True)
        .drop("at")
    )
    return _by_planner(runs, summed)


def dominators(points: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return, for each point, the indices of points that dominate it; smaller is better."""
    return [
        [
            at
            for at, other in enumerate(points)
            if tuple(other) != tuple(one) and all(a <= b for a, b in zip(other, one, strict=True))
        ]
        for one in points
    ]


def pareto(runs: pl.DataFrame) -> pl.DataFrame:
    """Return goodput, cost, response time and dominating planners by setting and planner.

    Goodput and cost are means over seeds. The response time is the median over seeds of each run's
    median; a run without a median counts as infinite, and an infinite result is null.
    ``dominated_by`` names the planners that are no worse in any of the three metrics and better in
    at least one. Planners that see the truth dominate no planner, because they cannot be deployed.
    """
    rows = (
        runs.group_by("setting", "planner", "planner_sees_truth", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("n"),
            pl.col(GOODPUT.name).mean(),
            pl.col(COST.name).mean(),
            pl.col(RESPONSE.name).cast(pl.Float64).fill_null(np.inf).median(),
        )
        .with_columns(pl.when(pl.col(RESPONSE.name).is_finite()).then(RESPONSE.name).name.keep())
    )
    parts = [_marked(part) for part in rows.partition_by("setting", maintain_order=True)]
    return pl.concat(parts) if parts else _marked(rows)


def _marked(rows: pl.DataFrame) -> pl.DataFrame:
    rivals = rows.select(
        (-pl.col(aim.name) if aim.more_is_better else pl.col(aim.name)).fill_null(np.inf)
        for aim in CLAIMED
    ).rows()
    names, truth = rows["planner"].to_list(), rows["planner_sees_truth"].to_list()
    above = [", ".join(names[at] for at in found if not truth[at]) for found in dominators(rivals)]
    return rows.with_columns(
        pl.Series("dominated", [bool(names) for names in above], pl.Boolean),
        pl.Series("dominated_by", above, pl.String),
    )
