"""Sums in a report: parts of latency, time, goodput by class of service."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from spoiled_sweeps import (
    exchange,
    exchange_two_windows_in_the_middle,
    in_groups_of,
    in_two_parts,
    spoil,
    without_its_last,
)

from lab import read_sweep
from lab.analysis.run_data import PARTS
from lab.analysis.sums import WINDOW_S, totals
from lab.analysis.sweep_analysis import analyse
from lab.common.errors import InputError
from lab.reporting.drawings.where_time_goes import (
    latency_by_operator,
    latency_by_planner,
    pooled_operators,
    works_at_once,
)
from lab.reporting.sweep_figures import _drawings
from lab.reporting.tables import tables

KEYS = ("setting", "planner", "window")


def test_frames_have_the_keys_and_agree_with_the_summaries(made):
    sweep = read_sweep(made)
    assert list(sweep.keys) == ["workload.rate"]
    assert sweep.settings["short"].to_list() == ["rate=0.05", "rate=0.1"]
    assert sweep.runs.height == 8
    found = (
        sweep.windows.join(sweep.runs.lazy().select("run", "simulated_s"), on="run")
        .group_by("run", "planner", "seed", "workload.rate")
        .agg(goodput=pl.col("deployed_s").filter("met").sum() / pl.col("simulated_s").first())
        .collect()
    )
    both = found.join(sweep.runs, on=["run", "planner", "seed", "workload.rate"])
    assert both.height == 8
    np.testing.assert_allclose(both["goodput"], both["service_goodput_mean"], atol=1e-12)
    queries = sweep.queries.group_by("run").agg(pl.len()).collect().join(sweep.runs, on="run")
    assert queries["len"].to_list() == queries["queries"].to_list()


def test_parts_of_latency_add_up_to_the_mean_of_the_windows(made):
    analysis = analyse(read_sweep(made))
    parts = ["queueing", "batching", "compute", "transfer"]
    sums = analysis.latency.group_by("setting", "planner").agg(pl.sum_horizontal(parts).sum())
    weighted = pl.col("latency_mean_s").fill_nan(0) * pl.col("completed")
    means = (
        analysis.sweep.windows.group_by("setting", "planner")
        .agg((weighted.sum() / pl.col("completed").sum()).alias("mean"))
        .collect()
    )
    both = sums.join(means, on=["setting", "planner"])
    assert both.height == 4
    np.testing.assert_allclose(both["queueing"], both["mean"], rtol=1e-6)


def test_goodput_has_the_t_interval_of_its_seeds(made):
    """Of two seeds, the half-width is t(0.975, 1) |a - b| / 2; the interval begins at 0 or more."""
    analysis = analyse(read_sweep(made))
    of_seed = (
        analysis.sweep.windows.join(
            analysis.sweep.runs.lazy().select("run", "horizon_s"), on="run", how="left"
        )
        .filter(pl.col("start_s") < pl.col("horizon_s"))
        .group_by("setting", "planner", "window", "seed")
        .agg(
            pl.col("deployed_s").filter("met").sum()
            / (pl.min_horizontal("end_s", "horizon_s") - pl.col("start_s")).first()
        )
        .collect()
    )
    rows = analysis.goodput.to_dicts()
    assert len(rows) == 2 * 2 * 2
    for row in rows:
        values = of_seed.filter(*(pl.col(key) == row[key] for key in KEYS))["deployed_s"].to_list()
        one, other = (*values, 0.0)[:2]
        half = 12.7062047 * abs(one - other) / 2
        mean = (one + other) / 2
        expected = [mean, max(0.0, mean - half), mean + half]
        assert [row["goodput"], row["low"], row["high"]] == pytest.approx(expected, abs=1e-7)
    assert max(row["high"] - row["goodput"] for row in rows) > 1


def test_what_operators_do_at_the_same_time_is_not_added_up(sweep, monkeypatch):
    def drawn():
        analysis = analyse(read_sweep(sweep))
        by_planner = latency_by_planner(analysis)
        by_operator = latency_by_operator(analysis, pooled_operators(analysis.latency), "")
        captions = "".join(one.caption for one in _drawings(analysis))
        labels = [axes.get_xlabel() for axes in by_planner.axes]
        titles = [axes.get_title() for axes in by_operator.axes]
        return "".join((*labels, *titles, captions)), analysis, by_planner

    said, analysis, _ = drawn()
    assert "mean time of a request (ms)" in said
    assert "same time" not in said
    assert works_at_once(analysis.latency) is False
    for windows in sweep.glob("*/windows/*.parquet"):
        rows = pl.read_parquet(windows)
        rows.with_columns(pl.col("latency_mean_s") * 0.8).write_parquet(windows)
    said, analysis, figure = drawn()
    assert said.count("sum over operators, some in parallel (ms)") == 2
    assert said.count("in total,\nsome in parallel") == 2
    assert "the mean latency of a request is in brackets" in said
    assert "less time than their sum" in said
    sum_ms, mean_ms = (
        float(text.replace(",", ""))
        for text in figure.axes[0].texts[0].get_text().removesuffix(")").split(" (")
    )
    assert mean_ms == pytest.approx(0.8 * sum_ms, rel=0.01)
    # Of a run whose windows have latencies over the length of the output, the mean is not known.
    for config in sweep.glob("*/config.yaml"):
        config.write_text(config.read_text() + "\napplication: {latency_per: output_length}\n")
    said, analysis, _ = drawn()
    assert "same time" not in said
    assert analysis.latency["latency_mean_s"].null_count() == analysis.latency.height


def test_operators_are_summed_as_if_each_row_looked_its_window_up(sweep):
    # A run that was killed has windows whose operators were not written any more.
    [*_, last] = sorted((sweep / "3" / "operators").iterdir())
    last.unlink()
    read = read_sweep(sweep)
    keys = ["run", "query", "window"]
    weight = pl.col("completed")
    expected = (
        read.operators.join(read.windows.select(*keys, weight, "latency_mean_s"), on=keys)
        .group_by("run", "operator")
        .agg(
            weight.sum(),
            (pl.col("latency_mean_s") * weight).sum().alias("latency_s"),
            *((pl.col(f"{one}_s") * weight).sum().alias(one) for one in PARTS),
        )
        .sort("run", "operator")
        .collect()
    )
    _, found = totals(read)
    assert found["run"].unique(maintain_order=True).to_list() == list("0124567")
    found = found.sort("run", "operator").drop("at")
    assert_frame_equal(found, expected, check_row_order=True, rel_tol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_operators_are_summed_alike_however_their_rows_lie_in_files(sweep, rows):
    _, expected = totals(read_sweep(sweep))
    for file in sweep.glob("*/operators/part-00001.parquet"):
        in_groups_of(file, rows)
    assert_frame_equal(totals(read_sweep(sweep))[1], expected)
    exchange_two_windows_in_the_middle(file)
    in_groups_of(file, rows)
    assert_frame_equal(totals(read_sweep(sweep))[1], expected)


def test_operators_are_summed_alike_in_whatever_order_a_part_has_them(sweep):
    _, expected = totals(read_sweep(sweep))
    second = in_two_parts(sweep / "0" / "operators" / "part-00001.parquet")
    exchange(second, 0, 1)
    assert_frame_equal(totals(read_sweep(sweep))[1], expected)


def test_operators_without_their_last_row_are_refused(sweep):
    without_its_last(sorted((sweep / "0" / "operators").iterdir())[-1])
    with pytest.raises(InputError, match="0/operators does not match its windows"):
        totals(read_sweep(sweep))


def test_operators_of_an_unknown_window_are_refused(sweep):
    for file in (sweep / "0" / "operators").iterdir():
        rows = pl.read_parquet(file)
        rows.with_columns(pl.col("window") + 1000).write_parquet(file)
    with pytest.raises(InputError, match="0/operators does not match its windows"):
        totals(read_sweep(sweep))


def test_runs_that_go_on_are_not_summed_for_they_may_write_meanwhile(sweep):
    spoil(sweep / "0", simulated_s=60.0, status="running")
    without_its_last(sweep / "0" / "windows" / "part-00001.parquet")
    windows, operators = totals(read_sweep(sweep))
    others = [str(number) for number in range(1, 8)]
    assert windows["run"].unique(maintain_order=True).to_list() == others
    assert operators["run"].unique(maintain_order=True).to_list() == others


def test_time_and_goodput_over_time_agree_with_the_summaries(made):
    analysis = analyse(read_sweep(made))
    shares = analysis.time.select(
        pl.sum_horizontal(pl.exclude("^(setting|workload.rate|planner|.*_s)$"))
    )
    np.testing.assert_allclose(shares.to_series(), 1, atol=1e-9)
    over_time = analysis.goodput.group_by("setting", "planner").agg(
        goodput=(pl.col("goodput") * (pl.col("end_s") - pl.col("start_s"))).sum() / 120
    )
    means = analysis.means.filter(metric="service_goodput_mean")
    both = over_time.join(means, on=["setting", "planner"])
    np.testing.assert_allclose(both["goodput"], both["mean"], atol=1e-9)


def test_each_class_of_service_has_its_share_of_the_time(made):
    analysis = analyse(read_sweep(made))
    by = ["setting", "planner", "tier"]
    met_s = pl.col("deployed_s").filter("met").sum()
    runs = analysis.sweep.windows.group_by(*by, "seed").agg(share=met_s / pl.col("active_s").sum())
    means = runs.group_by(by).agg(pl.len().alias("seeds"), pl.col("share").mean()).collect()
    both = analysis.tiers.join(means, on=by)
    assert both.height == analysis.tiers.height == means.height > 8
    assert both["n"].to_list() == both["seeds"].to_list()
    np.testing.assert_allclose(both["mean"], both["share"], rtol=1e-9)
    assert (analysis.tiers["high"].drop_nulls() <= 1).all()
    counts = analysis.sweep.queries.group_by("setting", "planner").agg(pl.len() / 2).collect()
    summed = analysis.tiers.group_by("setting", "planner").agg(pl.col("queries").sum())
    assert_frame_equal(
        summed.rename({"queries": "len"}), counts, check_row_order=False, check_dtypes=False
    )


def test_the_page_has_classes_of_service_where_there_are_several(sweep):
    shown = {one.title: one for one in tables(analyse(read_sweep(sweep)))}["Classes of service"]
    assert shown.head == [
        *("workload.rate", "tier", "planner", "n", "queries", "SLO met, share of time")
    ]
    assert shown.rows[0][1].text == "economy"
    assert "[" in shown.rows[0][-1].text
    for number in range(8):  # one class alone, and runs of before there was that figure
        one = {"slo_met_fraction_by_tier": {"only": 0.5}, "queries_by_tier": {"only": 3}}
        spoil(sweep / str(number), **(one if number < 4 else dict.fromkeys(one)))
    assert "Classes of service" not in [one.title for one in tables(analyse(read_sweep(sweep)))]


def test_a_window_without_requests_fails_on_no_part(sweep):
    idle = {"met": False, "repeated": True, "accuracy_met": False, "cost_met": False}
    for path in (sweep / "0" / "windows").iterdir():
        windows = pl.read_parquet(path)
        windows.with_columns(pl.lit(held).alias(name) for name, held in idle.items()).write_parquet(
            path
        )
    sums_s = totals(read_sweep(sweep))[0].filter(run="0").select(WINDOW_S).sum().row(0, named=True)
    assert sums_s.pop("active_s") >= sums_s.pop("deployed_s") > 0
    assert set(sums_s.values()) == {0.0}
