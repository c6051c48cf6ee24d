"""Links: the published percentiles, and the series that follow from them."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, qmc

from hardware_models.errors import TableError, UnknownNameError
from hardware_models.links import technologies as links
from hardware_models.links.technologies import Marginal
from hardware_models.schemas import SCHEMAS
from hardware_models.tables import TableSet, UserTable, load_table, using_tables
from scenarios.numerics.link_capacity import capacity_series_bps

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
NORMALS = norm.ppf(LEVELS)
LOG_NORMAL = Marginal(tuple(2e7 * np.exp(0.5 * NORMALS)))


def published(dataset, technology, metric):
    chosen = (pl.col("dataset") == dataset, pl.col("technology") == technology)
    row = load_table("links").filter(*chosen, pl.col("metric") == metric).row(0, named=True)
    return [row[name] for name in ("p5", "p10", "p25", "p50", "p75", "p90", "p95")]


def quantities(technology):
    model = links.link_model(technology)
    return {
        "uplink": (model.uplink_bps, 1e6),
        "downlink": (model.downlink_bps, 1e6),
        "rtt": (model.round_trip_s, 1e-3),
    }


def test_technologies():
    assert {
        "4G-LTE",
        "5G-NSA-Low-Band",
        "5G-NSA-mmWave",
        "5G-SA-Low-Band",
        "WiFi",
        "broadband",
    } <= set(links.technologies())


@pytest.mark.parametrize("technology", links.technologies())
def test_quantities_have_the_published_percentiles(technology):
    chosen = load_table("link_technologies").filter(pl.col("technology") == technology)
    for row in chosen.iter_rows(named=True):
        if row["quantity"] == "rtt_far":
            continue
        marginal, unit = quantities(technology)[row["quantity"]]
        wanted = published(row["dataset"], row["measured_technology"], row["metric"])
        assert marginal.at(NORMALS) / unit == pytest.approx(wanted)


@pytest.mark.parametrize("technology", links.technologies())
def test_means_are_near_the_published_ones(technology):
    """So tails, of which nothing was published, weigh little, those of links with outages too."""
    normals = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    chosen = load_table("link_technologies").filter(pl.col("technology") == technology)
    rows = chosen.filter(pl.col("quantity") != "rtt_far").join(
        load_table("links"),
        left_on=("dataset", "measured_technology", "metric"),
        right_on=("dataset", "technology", "metric"),
    )
    assert set(rows["quantity"]) == {"uplink", "downlink", "rtt"}
    for row in rows.iter_rows(named=True):
        marginal, unit = quantities(technology)[row["quantity"]]
        assert marginal.at(normals).mean() / unit == pytest.approx(row["mean"], rel=0.26)


def test_nominal_figures_are_medians():
    model = links.link_model("4G-LTE")
    assert model.nominal_uplink_bps == 31.155e6
    assert model.nominal_downlink_bps == 117.2e6
    assert model.rtt_s == pytest.approx(0.022)


def test_the_log_normal_is_reproduced_with_its_tails():
    z = np.linspace(-5, 5, 101)
    assert LOG_NORMAL.at(z) == pytest.approx(2e7 * np.exp(0.5 * z))


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=7, max_size=7),
    st.lists(st.floats(-8, 8), min_size=2, max_size=9),
)
def test_marginals_are_monotone_and_positive(values, normals):
    marginal = Marginal(tuple(sorted(values)))
    drawn = marginal.at(np.sort(normals))
    assert (drawn > 0).all()
    assert (np.diff(drawn) >= -1e-12 * drawn[1:]).all()


def test_derived_figures():
    share = ((0.551 / 0.688) ** 2 + (0.45 / 0.674) ** 2) / 2
    assert links.between_link_share() == pytest.approx(share)
    assert links.wide_area_rtt_s() == pytest.approx(0.0435)  # Of 3, 42, 45 and 67 ms.


def own(tmp_path, table, frame, how="replace"):
    path = tmp_path / f"{table}.csv"
    frame.write_csv(path)
    return using_tables(TableSet({table: UserTable(str(path), how)}))


def test_links_of_a_user_s_own_leave_the_share_between_links(tmp_path):
    before = links.between_link_share()
    table = load_table("links")
    throughput = pl.col("metric").str.starts_with("downlink throughput")
    with own(tmp_path, "links", table.filter(~throughput)):
        assert links.between_link_share() == before
    evening = table.filter(throughput).with_columns(metric=pl.col("metric") + " in the evening")
    with own(tmp_path, "links", evening, "merge"):
        assert links.between_link_share() == before


def test_without_round_trips_to_far_servers_there_is_none_to_the_cloud(tmp_path):
    chosen = load_table("link_technologies")
    far = pl.col("quantity") == "rtt_far"
    with (
        own(tmp_path, "link_technologies", chosen.filter(~far)),
        pytest.raises(TableError, match=r"^link_technologies: no technology has .* rtt_far$"),
    ):
        links.wide_area_rtt_s()
    with_far = chosen.filter(far.any().over("technology"))
    swapped = pl.col("quantity").replace({"rtt": "rtt_far", "rtt_far": "rtt"})
    with (
        own(tmp_path, "link_technologies", with_far.with_columns(swapped)),
        pytest.raises(TableError, match=r"far servers are 0\.0435 s nearer"),
    ):
        links.wide_area_rtt_s()


def series(count, seconds, autocorrelation=0.8, marginal=LOG_NORMAL):
    normals = np.random.default_rng(7).standard_normal((count, seconds + 1))
    return np.array([capacity_series_bps(marginal, row, autocorrelation) for row in normals])


def test_a_link_whose_percentiles_are_all_one_is_constant():
    constant = links.Marginal((5e6,) * 7)
    assert series(2, 20, marginal=constant) == pytest.approx(np.full((2, 20), 5e6))


@pytest.mark.parametrize("technology", ["4G-LTE", "5G-NSA-mmWave", "WiFi", "broadband"])
def test_series_have_the_published_percentiles_over_links(technology):
    model = links.link_model(technology)
    # Spread evenly: the 5th percentile of so few independent draws would be off by some per cent.
    normals = norm.ppf(qmc.Sobol(3, rng=np.random.default_rng(7)).random(4096))
    for marginal in (model.uplink_bps, model.downlink_bps):
        drawn = [capacity_series_bps(marginal, row, model.autocorrelation)[-1] for row in normals]
        for level, at in ((5, 0), (50, 3), (95, 6)):
            assert np.percentile(drawn, level) == pytest.approx(marginal.values[at], rel=0.05)


def test_series_have_the_share_between_links():
    logs = np.log(series(count=2_000, seconds=400))
    between = logs.mean(axis=1).var() / logs.var()
    assert between == pytest.approx(links.between_link_share(), abs=0.03)


def lag1(values):
    about = values - values.mean()
    return (about[1:] * about[:-1]).mean() / about.var()


@pytest.mark.parametrize("autocorrelation", [0.0, 0.5, 0.95])
def test_series_have_the_autocorrelation_within_a_link(autocorrelation):
    drawn = series(count=200, seconds=5_000, autocorrelation=autocorrelation)
    within = [each - each.mean() for each in drawn]
    covariance = np.mean([(each[1:] * each[:-1]).mean() for each in within])
    variance = np.mean([each.var() for each in within])
    assert covariance / variance == pytest.approx(autocorrelation, abs=0.01)
    spread = 0.5 * math.sqrt(1 - links.between_link_share())
    assert np.mean([np.log(each).std() for each in drawn]) == pytest.approx(spread, rel=0.05)


def traced():
    """List the technologies, most of whose autocorrelations come from a trace of their own kind."""
    table = load_table("link_autocorrelation")
    return [
        pytest.param(
            row["technology"], row["lag1"], "uplink" in row["dataset"], id=row["technology"]
        )
        for row in table.iter_rows(named=True)
    ]


@pytest.mark.parametrize(("technology", "measured", "up"), traced())
def test_capacity_is_as_autocorrelated_as_the_real_trace(technology, measured, up):
    model = links.link_model(technology)
    marginal = model.uplink_bps if up else model.downlink_bps
    drawn = series(150, 1200, model.autocorrelation, marginal)
    assert np.mean([lag1(each) for each in drawn]) == pytest.approx(measured, abs=0.1)


@pytest.mark.parametrize("technology", ["5G-driving", "5G-static"])
def test_a_link_with_outages_is_as_autocorrelated_as_asked_for(technology):
    model = links.link_model(technology)
    drawn = series(300, 600, model.autocorrelation, model.downlink_bps)
    found = np.mean([lag1(each) for each in drawn])
    assert found == pytest.approx(model.autocorrelation, abs=0.1)


@settings(max_examples=25)
@given(st.integers(2, 50), st.floats(0, 0.99), st.integers(0, 2**32 - 1))
def test_series_are_causal_positive_and_leave_their_input_alone(size, autocorrelation, seed):
    normals = np.random.default_rng(seed).standard_normal(size)
    kept = normals.copy()
    whole = capacity_series_bps(LOG_NORMAL, normals, autocorrelation)
    assert whole.shape == (size - 1,)
    assert (whole > 0).all()
    assert np.array_equal(normals, kept)
    # A longer trace begins with the shorter one: the horizon changes nothing before it.
    half = max(2, size // 2)
    prefix = capacity_series_bps(LOG_NORMAL, normals[:half], autocorrelation)
    assert np.array_equal(prefix, whole[: half - 1])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"autocorrelation": 1.0}, "autocorrelation"),
        ({"autocorrelation": math.nan}, "autocorrelation"),
        ({"normals": np.zeros(1)}, "normals"),
        ({"normals": np.zeros((2, 2))}, "normals"),
    ],
)
def test_bad_input_is_named(arguments, name):
    good = {"marginal": LOG_NORMAL, "normals": np.zeros(3), "autocorrelation": 0.5}
    with pytest.raises(ValueError, match=f"^{name} "):
        capacity_series_bps(**{**good, **arguments})


def test_unknown_technology_gives_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean '5G-NSA-mmWave'"):
        links.link_model("5G-mmWave")


@pytest.mark.parametrize(
    ("table", "column", "value", "reason"),
    [
        ("links", "p10", 1e4, "of Zhuge.* office WiFi, .* must be above 0 and not"),
        ("link_technologies", "metric", "rate", "uplink of WiFi is that of .* does not have"),
        ("link_autocorrelation", "technology", "X", "technology of table link_autocorrelation"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(tmp_path, table, column, value, reason):
    changed = load_table(table).with_columns(
        pl.when(pl.col("dataset").str.contains("(?i)zhuge"))
        .then(pl.lit(value))
        .otherwise(pl.col(column))
        .alias(column)
    )
    if table != "links":
        changed = changed.unique(SCHEMAS[table].key, keep="first", maintain_order=True)
    path = tmp_path / "changed.csv"
    changed.write_csv(path)
    with (
        using_tables(TableSet({table: UserTable(str(path), "replace")})),
        pytest.raises(ValueError, match=reason) as caught,
    ):
        links.link_model("WiFi")
    assert "\n" not in str(caught.value)
