"""Links that follow recorded traces: the process, and how its parameters were fitted."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hardware_models.errors import TableError, UnknownNameError
from hardware_models.fits import links as fit
from hardware_models.links import technologies as links
from hardware_models.links.process import (
    LEVELS,
    LinkProcess,
    autoregression,
    correlate,
    traced_link,
)
from hardware_models.links.technologies import Marginal
from hardware_models.tables import TableSet, UserTable, load_table, using_tables

SPREAD = 0.8
LOG_NORMAL = Marginal(tuple(2e7 * np.exp(SPREAD * norm.ppf(LEVELS))), LEVELS)
PLAIN = LinkProcess(LOG_NORMAL, 0.3, 0.4, 2.0, 40.0, 0.0, 5.0)


def normals(count, seconds, seed=7):
    return np.random.default_rng(seed).standard_normal((count, seconds + 1, 3))


def test_an_autoregression_is_its_recursion():
    shocks = np.random.default_rng(1).standard_normal(500)
    for coefficient in (0.0, 0.3, 0.99):
        value, wanted = shocks[0], []
        for at, shock in enumerate(shocks):
            value = coefficient * value + math.sqrt(1 - coefficient**2) * shock if at else shock
            wanted.append(value)
        assert autoregression(shocks, coefficient) == pytest.approx(wanted, abs=1e-12)


def test_the_correlation_over_time_is_that_of_the_formula():
    """The logarithm of a log-normal capacity is g, whose autocorrelation has a closed form."""
    log = np.log(PLAIN.capacity_bps(normals(4000, 60)) / 2e7) / SPREAD
    assert log.std() == pytest.approx(1, abs=0.02)
    for lag in (1, 5, 30):
        found = np.mean(log[:, lag:] * log[:, :-lag])
        wanted = 0.3 + 0.7 * (0.4 * math.exp(-lag / 2) + 0.6 * math.exp(-lag / 40))
        assert found == pytest.approx(wanted, abs=0.03)


def test_outages_keep_the_distribution_and_take_its_lowest_part():
    process = replace(PLAIN, between_share=0.0, fast_s=0.3, slow_s=0.3, outage_share=0.1)
    capacity = process.capacity_bps(normals(300, 2000))
    assert np.log(capacity / 2e7).std() == pytest.approx(SPREAD, rel=0.02)
    out = capacity < 2e7 * math.exp(SPREAD * norm.ppf(0.1))
    assert out.mean() == pytest.approx(0.1, rel=0.05)
    begun = out[:, 1:] & ~out[:, :-1]
    assert out.sum() / (begun.sum() + out[:, 0].sum()) == pytest.approx(5.0, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 300),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.3, 50), st.floats(0.3, 900)),
    st.tuples(st.floats(0, 0.4), st.floats(2, 60)),
    st.integers(0, 2**32 - 1),
)
def test_capacity_is_positive_and_its_beginning_does_not_depend_on_its_end(
    seconds, process, outages, seed
):
    drawn = normals(2, seconds, seed)
    kept = drawn.copy()
    of = LinkProcess(LOG_NORMAL, *process, *outages).capacity_bps
    whole = of(drawn)
    assert whole.shape == (2, seconds)
    assert (whole > 0).all()
    assert np.array_equal(drawn, kept)
    half = max(1, seconds // 2)
    assert np.array_equal(of(drawn[:, : half + 1]), whole[:, :half])
    assert np.array_equal(of(drawn[0]), whole[0])


def test_correlated_variables_have_the_correlation():
    first, second = normals(50, 2000), normals(50, 2000, seed=8)
    both = correlate(first, second, 0.6)
    assert both.std() == pytest.approx(1, abs=0.01)
    assert np.corrcoef(first.ravel(), both.ravel())[0, 1] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("technology", links.technologies())
def test_every_technology_has_both_directions(technology):
    link = traced_link(technology)
    for process in (link.uplink, link.downlink):
        assert list(process.marginal.values) == sorted(process.marginal.values)
        assert process.marginal.values[0] > 0
        assert process.slow_s > process.fast_s
    assert link.rtt_s == links.link_model(technology).rtt_s
    assert link.nominal_uplink_bps == link.uplink.marginal.median
    assert link.nominal_downlink_bps == link.downlink.marginal.median


def test_a_link_without_traces_is_scaled_like_another():
    scaled = traced_link("5G-NSA-mmWave").uplink.marginal.median
    speed_tests = links.link_model("5G-NSA-mmWave")
    traces = traced_link("5G-NSA-mmWave").nominal_downlink_bps
    factor = traces / speed_tests.nominal_downlink_bps
    assert scaled == pytest.approx(speed_tests.nominal_uplink_bps * factor)


def test_statistics_by_hand():
    # The median is 10, so 2 is bad: spells of one and of two seconds.
    found = fit.statistics(np.array([10.0, 2.0, 10.0, 12.0, 2.0, 2.0, 10.0, 12.0]))
    assert found["p50"] == 10
    assert found["bad_share"] == 3 / 8
    assert (found["bad_spells"], found["bad_spell_mean_s"], found["bad_spell_max_s"]) == (2, 1.5, 2)
    about = np.array([2.5, -5.5, 2.5, 4.5, -5.5, -5.5, 2.5, 4.5])
    assert found["acf_1s"] == pytest.approx((about[1:] @ about[:-1]) / (about @ about))


def test_parts_share_no_recording():
    table = load_table("link_trace_statistics")
    recording = pl.col("trace").str.replace(r"\.(up|down)$", "")
    parts = table.group_by(recording, "recording").agg(pl.col("part").n_unique())
    assert parts["part"].max() == 1
    # The files rest1_N and rest-wifi_(N-1) of restaurant WiFi are one recording.
    names = table.filter(technology="WiFi-restaurant")["trace"].str.extract(r"_(\d+)").to_list()
    kinds = table.filter(technology="WiFi-restaurant")["trace"].str.starts_with("rest1").to_list()
    numbers = [int(name) - kind for name, kind in zip(names, kinds, strict=True)]
    assert len(set(numbers)) == len(numbers)


def test_the_pooled_distribution_counts_each_trace_once():
    rows = fit.traces("fit", "WiFi", "downlink")
    once = fit.pooled(rows)
    longer = fit.pooled(rows.with_columns(seconds=pl.col("seconds") * 7))
    assert once == longer
    assert fit.pooled(pl.concat([rows, rows])).values == pytest.approx(once.values, rel=1e-3)
    single = rows.head(1)
    wanted = [single[f"p{at}"].item() for at in (5, 25, 50, 75, 95)]
    values = dict(zip(LEVELS, fit.pooled(single).values, strict=True))
    assert [values[at] for at in (0.05, 0.25, 0.5, 0.75, 0.95)] == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("technology", ["4G-LTE", "5G-NSA-mmWave", "WiFi-restaurant"])
def test_fitted_links_change_as_their_traces_do(technology):
    rows = fit.traces("fit", technology, "downlink")
    process = traced_link(technology).downlink
    in_mbps = replace(process, marginal=fit.pooled(rows))
    ours, theirs = fit.summary(fit.simulated(in_mbps, rows)), fit.summary(rows)
    for name in ("acf_1s", "acf_5s", "acf_30s"):
        assert ours[name] == pytest.approx(theirs[name], abs=0.12), name
    assert ours["bad_spell_mean_s"] == pytest.approx(theirs["bad_spell_mean_s"], rel=0.35)


def test_directions_correlate_as_recorded():
    link = traced_link("LTE-driving")
    found = fit.directions_correlation(link.uplink, link.downlink, link.updown)
    assert 0.18 < found < 0.47  # of the recordings, in which it differs this much


def own(tmp_path, table, frame):
    path = tmp_path / f"{table}.csv"
    frame.write_csv(path)
    return using_tables(TableSet({table: UserTable(str(path), "replace")}))


def test_tables_that_do_not_fit_together_are_refused(tmp_path):
    table = load_table("link_processes")
    with (
        own(tmp_path, "link_processes", table.filter(pl.col("direction") != "uplink")),
        pytest.raises(TableError, match=r"^link_processes: lacks the uplink of WiFi$"),
    ):
        traced_link("WiFi")
    with (
        own(tmp_path, "link_processes", table.with_columns(fit=pl.lit("WiFy downlink"))),
        pytest.raises(UnknownNameError, match="did you mean 'WiFi downlink'"),
    ):
        traced_link("broadband")
    fitted = load_table("fit_links")
    with (
        own(tmp_path, "fit_links", fitted.filter(pl.col("coefficient") != "p50")),
        pytest.raises(TableError, match=r"^fit_links: group 'WiFi downlink' lacks .* p50$"),
    ):
        traced_link("WiFi")
    with pytest.raises(UnknownNameError, match="did you mean '5G-NSA-mmWave'"):
        traced_link("5G-mmWave")
