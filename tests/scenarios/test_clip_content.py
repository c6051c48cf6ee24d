"""The spread of the accuracy of single clips, and their ranks in several configurations."""

import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata, spearmanr
from worlds import content

from scenarios.derivation._quantile_fit import fitted_quantiles

MEASURED = content("speech_recognition", spread="measured")
RAW = files("scenarios").joinpath("data", "raw")
STRATA = pl.read_csv(RAW.joinpath("asr_wer_strata.csv").read_bytes())
PARTS = {"VOiCES": "hidden_kmeans_8", "LibriSpeech": "all", "TED-LIUM": "all"}


def index(row):
    """Return the configuration of a row, found by its values."""
    values = {knob.name: row[knob.name] for knob in MEASURED.pipeline.knobs}
    return MEASURED.pipeline.configuration(**values).index


def cells(name):
    """Yield each row of the table with its configuration and stratum in a data set."""
    rows = STRATA.filter(pl.col("strata") == PARTS[name])
    labels = sorted(rows["stratum"].unique())
    for row in rows.iter_rows(named=True):
        yield row, (index(row), labels.index(row["stratum"]))


def sd_of(dataset):
    """Return the standard deviation of the accuracy of clips, of shape (C, S)."""
    width = np.diff(dataset.quantile_grid, axis=-1)
    left, right = dataset.accuracy_quantiles[..., :-1], dataset.accuracy_quantiles[..., 1:]
    mean = (width * (left + right)).sum(axis=-1) / 2
    square = (width * (left**2 + left * right + right**2)).sum(axis=-1) / 3
    return np.sqrt(square - mean**2)


@pytest.mark.parametrize("name", PARTS)
def test_spread_of_clips_is_measured_in_every_stratum_and_configuration(name):
    dataset = MEASURED.datasets[name]
    spread = sd_of(dataset)
    for row, at in cells(name):
        scale = (1 - dataset.accuracy[at]) / row["wer_mean"]  # 1 on VOiCES
        assert spread[at] == pytest.approx(scale * row["wer_sd"], rel=1e-5)


def test_quantiles_and_mean_of_clips_are_measured_in_every_stratum_and_configuration():
    dataset = MEASURED.datasets["VOiCES"]
    for row, at in cells("VOiCES"):
        grid, values = dataset.quantile_grid[at], dataset.accuracy_quantiles[at]
        assert np.trapezoid(values, grid) == pytest.approx(1 - row["wer_mean"], abs=1e-8)
        assert (values == 1).any() or row["frac_zero"] == 0
        for percent in (25, 50, 75, 95):
            if percent / 100 > row["frac_zero"]:
                fitted = np.interp(1 - percent / 100, grid, values)
                assert fitted == pytest.approx(1 - row[f"p{percent}"], abs=1e-8)


def test_straight_lines_between_quantiles_are_too_wide():
    straight = sd_of(content("speech_recognition", spread="straight").datasets["VOiCES"])
    ratio = straight / sd_of(MEASURED.datasets["VOiCES"])
    assert np.median(ratio) == pytest.approx(1.6, abs=0.05)
    assert ratio.max() > 7


def test_an_unknown_spread_is_told_the_known_ones():
    with pytest.raises(ValueError, match=re.escape("spread=measure: no such spread; choose")) as e:
        content("speech_recognition", spread="measure")
    assert "did you mean 'measured'" in str(e.value)


def test_a_fit_finds_known_distributions_between_their_quantiles():
    known = np.array([0.25, 0.5, 0.75, 0.95])
    grid = np.array([0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.85, 0.95, 0.98, 1.0])
    zero, one = np.zeros(1), np.ones(1)
    [uniform] = fitted_quantiles(known, known[None], zero, one / 2, one / 12**0.5, grid)
    assert uniform[:-2] == pytest.approx(grid[:-2], abs=0.05)
    quantiles = -np.log(1 - known)[None]
    [exponential] = fitted_quantiles(known, quantiles, zero, one, one, grid)
    assert exponential[:-2] == pytest.approx(-np.log(1 - grid[:-2]), abs=0.3)
    assert exponential[-1] > 4.5, "a long tail"


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.87, 1.0])
def test_ranks_in_two_configurations_have_the_declared_correlation(correlation):
    dataset = replace(MEASURED.datasets["TED-LIUM"], rank_correlation=correlation)
    rng = np.random.default_rng(1)
    easiness = rng.random(40_000)
    one, other = (
        dataset.ranks_in_configuration(easiness, rng.standard_normal(40_000)) for _ in range(2)
    )
    assert spearmanr(one, other).statistic == pytest.approx(correlation, abs=0.015)
    assert np.quantile(one, [0.05, 0.5, 0.95]) == pytest.approx([0.05, 0.5, 0.95], abs=0.01)


def test_clips_of_all_strata_correlate_as_the_measured_ones():
    dataset = replace(
        MEASURED.datasets["VOiCES"],
        rank_correlation=content("speech_recognition", rank_correlation="clips.rank_correlation")
        .datasets["VOiCES"]
        .rank_correlation,
    )
    rng = np.random.default_rng(0)
    shares = dataset.stratum_weights / dataset.stratum_weights.sum()
    strata = rng.choice(len(shares), 6400, p=shares)
    easiness = rng.random(6400)
    differing = np.unique(dataset.same_accuracy)
    assert len(differing) == 25, "the mask of frequencies changes no word error rate on VOiCES"
    ranked = [
        rankdata(
            dataset.item_accuracy(
                at, strata, dataset.ranks_in_configuration(easiness, rng.standard_normal(6400))
            )
        )
        for at in differing
    ]
    pairs = np.corrcoef(ranked)[np.triu_indices(len(ranked), 1)]
    assert np.median(pairs) == pytest.approx(0.87, abs=0.01)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_rank_correlation_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=r"rank_correlation=.*must be a number from 0 to 1"):
        content("speech_recognition", rank_correlation=value)
