"""Links: fits against the published percentiles, and the series that follow from them."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_models import links
from hardware_models.errors import UnknownNameError
from hardware_models.tables import load_table

Z95 = 1.6448536269514722


def published(technology, metric):
    return (
        load_table("links")
        .filter(pl.col("technology") == technology, pl.col("metric") == metric)
        .row(0, named=True)
    )


def fits(technology):
    model = links.link_model(technology)
    return {
        "uplink": (model.nominal_uplink_bps / 1e6, model.log_sd_uplink),
        "downlink": (model.nominal_downlink_bps / 1e6, model.log_sd_downlink),
        "RTT servers < 100 km": (model.rtt_s * 1e3, model.rtt_log_sd),
    }


def test_technologies():
    assert links.technologies() == (
        "4G-LTE",
        "5G-NSA-Low-Band",
        "5G-NSA-mmWave",
        "5G-SA-Low-Band",
    )


@pytest.mark.parametrize("technology", links.technologies())
def test_fits_keep_the_median_and_the_distance_from_p5_to_p95(technology):
    for metric, (median, log_sd) in fits(technology).items():
        row = published(technology, metric)
        assert median == pytest.approx(row["p50"])
        assert math.exp(2 * Z95 * log_sd) == pytest.approx(row["p95"] / row["p5"])


def test_fits_miss_p5_and_p95_by_no_more_than_the_stated_factors():
    worst = {}
    for technology in links.technologies():
        for metric, (median, log_sd) in fits(technology).items():
            row = published(technology, metric)
            for percentile, z in (("p5", -Z95), ("p95", Z95)):
                miss = abs(math.log(median * math.exp(z * log_sd) / row[percentile]))
                worst[metric] = max(worst.get(metric, 0), math.exp(miss))
    stated = {"uplink": 1.28, "downlink": 1.89, "RTT servers < 100 km": 1.18}
    assert worst == pytest.approx(stated, abs=0.01)


def test_derived_figures():
    share = ((0.551 / 0.688) ** 2 + (0.45 / 0.674) ** 2) / 2
    assert links.between_link_share() == pytest.approx(share)
    assert links.wide_area_rtt_s() == pytest.approx(0.0435)  # Of 3, 42, 45 and 67 ms.


def series(count, seconds, autocorrelation=0.8, log_sd=0.5, nominal=2e7):
    normals = np.random.default_rng(7).standard_normal((count, seconds + 1))
    logs = [
        np.log(links.capacity_series_bps(nominal, log_sd, row, autocorrelation)) for row in normals
    ]
    return np.array(logs) - math.log(nominal)


def test_series_have_the_marginal_spread_at_every_second():
    logs = series(count=20_000, seconds=4)
    # The standard error of a standard deviation over 20,000 links is 0.5 %.
    assert logs.std(axis=0) == pytest.approx(np.full(4, 0.5), rel=0.02)
    assert logs.mean(axis=0) == pytest.approx(np.zeros(4), abs=0.02)


def test_series_have_the_share_between_links():
    logs = series(count=2_000, seconds=400)
    between = logs.mean(axis=1).var() / logs.var()
    assert between == pytest.approx(links.between_link_share(), abs=0.03)


@pytest.mark.parametrize("autocorrelation", [0.0, 0.5, 0.95])
def test_series_have_the_autocorrelation_within_a_link(autocorrelation):
    (logs,) = series(count=1, seconds=200_000, autocorrelation=autocorrelation)
    within = logs - logs.mean()
    measured = (within[1:] * within[:-1]).mean() / within.var()
    assert measured == pytest.approx(autocorrelation, abs=0.01)
    spread = 0.5 * math.sqrt(1 - links.between_link_share())
    assert within.std() == pytest.approx(spread, rel=0.05)


@settings(max_examples=25)
@given(st.integers(2, 50), st.floats(0, 0.99), st.integers(0, 2**32 - 1))
def test_series_are_causal_positive_and_leave_their_input_alone(size, autocorrelation, seed):
    normals = np.random.default_rng(seed).standard_normal(size)
    kept = normals.copy()
    whole = links.capacity_series_bps(1e6, 0.4, normals, autocorrelation)
    assert whole.shape == (size - 1,)
    assert (whole > 0).all()
    assert np.array_equal(normals, kept)
    # A longer trace begins with the shorter one: the horizon changes nothing before it.
    half = max(2, size // 2)
    prefix = links.capacity_series_bps(1e6, 0.4, normals[:half], autocorrelation)
    assert np.array_equal(prefix, whole[: half - 1])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"nominal_bps": 0.0}, "nominal_bps"),
        ({"log_sd": -0.1}, "log_sd"),
        ({"autocorrelation": 1.0}, "autocorrelation"),
        ({"autocorrelation": math.nan}, "autocorrelation"),
        ({"normals": np.zeros(1)}, "normals"),
        ({"normals": np.zeros((2, 2))}, "normals"),
    ],
)
def test_bad_input_is_named(arguments, name):
    good = {"nominal_bps": 1e6, "log_sd": 0.4, "normals": np.zeros(3), "autocorrelation": 0.5}
    with pytest.raises(ValueError, match=f"^{name} "):
        links.capacity_series_bps(**{**good, **arguments})


def test_unknown_technology_gives_the_nearest():
    with pytest.raises(UnknownNameError, match=r"the nearest is '5G-NSA-mmWave'"):
        links.link_model("5G-mmWave")
