"""Every figure of the application against the tables that it comes from."""

from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from worlds import content

from hardware_models.tables import load_table
from scenarios.applications.application import NeuralNetwork
from scenarios.applications.shipped import shipped_application

APPLICATION = shipped_application("speech_recognition")
STRAIGHT = content("speech_recognition", spread="straight")
OPERATORS = ("audio_sampler", "noise_reduction", "wave_to_text", "decoder")
NAMES = ("LibriSpeech", "TED-LIUM", "VOiCES")
RAW = files("scenarios").joinpath("data", "raw")
PROFILE = pl.read_csv(RAW.joinpath("asr_pipeline_profile.csv").read_bytes())
STRATA = pl.read_csv(RAW.joinpath("asr_wer_strata.csv").read_bytes())


def index(row):
    """Return the configuration of a row, found by its values."""
    values = {knob.name: row[knob.name] for knob in APPLICATION.pipeline.knobs}
    return APPLICATION.pipeline.configuration(**values).index


def test_operators_and_knobs_are_those_of_the_profile():
    assert tuple(operator.name for operator in APPLICATION.operators) == OPERATORS
    assert [operator.kind for operator in APPLICATION.operators] == ["cpu", "cpu", "gpu", "cpu"]
    for knob in APPLICATION.pipeline.knobs:
        assert set(knob.choices) == set(PROFILE[knob.name].unique())


def test_tables_hold_every_configuration_of_every_data_set_once():
    assert tuple(APPLICATION.datasets) == NAMES
    for name in NAMES:
        rows = PROFILE.filter(pl.col("dataset") == name)
        assert sorted(index(row) for row in rows.iter_rows(named=True)) == list(range(125))


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_every_configuration_is_the_tables(name):
    dataset = APPLICATION.datasets[name]
    rows = PROFILE.filter(pl.col("dataset") == name)
    raw_mean = rows["audio_sampler_input_bytes"].mean()
    for row in rows.iter_rows(named=True):
        at = index(row)
        raw = row["audio_sampler_input_bytes"]
        for number, operator in enumerate(OPERATORS):
            assert dataset.service_time_s[at, number] == pytest.approx(row[f"{operator}_ms"] / 1e3)
            ratio = row[f"{operator}_input_bytes"] / raw
            assert dataset.message_bytes[at, number] == pytest.approx(raw_mean * ratio)
        expected = dataset.expected_accuracy(dataset.stratum_weights)[at]
        if name == "VOiCES":  # Its accuracy is that of the table by stratum, see below.
            assert expected == pytest.approx(1 - row["wer"], abs=0.05)
        else:
            assert expected == pytest.approx(1 - row["wer"])


def test_strata_of_voices_are_the_tables():
    dataset = APPLICATION.datasets["VOiCES"]
    rows = STRATA.filter(pl.col("strata") == "hidden_kmeans_8")
    labels = sorted(rows["stratum"].unique())
    assert dataset.accuracy.shape == (125, len(labels))
    counts = {row["stratum"]: row["n"] for row in rows.iter_rows(named=True)}
    total = sum(counts.values())
    assert dataset.stratum_weights == pytest.approx([counts[label] / total for label in labels])
    for row in rows.iter_rows(named=True):
        at = index(row)
        stratum = labels.index(row["stratum"])
        assert dataset.accuracy[at, stratum] == pytest.approx(1 - row["wer_mean"])


def test_quantiles_of_voices_are_the_tables_but_for_one_scale():
    dataset = STRAIGHT.datasets["VOiCES"]
    rows = STRATA.filter(pl.col("strata") == "hidden_kmeans_8")
    labels = sorted(rows["stratum"].unique())
    for row in rows.iter_rows(named=True):
        at = index(row), labels.index(row["stratum"])
        measured = {p: row[f"p{p}"] for p in (25, 50, 75, 95) if p / 100 > row["frac_zero"]}
        fitted = {
            p: 1 - np.interp(1 - p / 100, dataset.quantile_grid[at], dataset.accuracy_quantiles[at])
            for p in measured
        }
        scales = [fitted[p] / wer for p, wer in measured.items() if wer > 0]
        assert scales == pytest.approx([scales[0]] * len(scales), rel=1e-9)
        assert 0.5 < scales[0] <= 1 + 1e-9, "scaled down, and only where the mean demands it"


@pytest.mark.parametrize("name", NAMES)
def test_quantile_functions_are_monotone_and_have_the_measured_mean(name):
    dataset = STRAIGHT.datasets[name]
    grid, values = dataset.quantile_grid, dataset.accuracy_quantiles
    assert grid.shape == values.shape == (125, len(dataset.stratum_weights), 7)
    assert (grid[..., 0] == 0).all()
    assert (grid[..., -1] == 1).all()
    assert (np.diff(grid, axis=-1) >= 0).all()
    assert (np.diff(values, axis=-1) >= -1e-12).all()
    assert values.max() <= 1
    means = np.trapezoid(values, grid, axis=-1)
    assert means == pytest.approx(dataset.accuracy, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_of_many_items_has_the_measured_mean(name):
    dataset = STRAIGHT.datasets[name]
    ranks = (np.arange(20_000) + 0.5) / 20_000
    for at in range(0, 125, 7):
        for stratum in range(len(dataset.stratum_weights)):
            strata = np.full(len(ranks), stratum)
            values = dataset.item_accuracy(at, strata, ranks)
            assert values.mean() == pytest.approx(dataset.accuracy[at, stratum], abs=1e-3)
            assert (np.diff(values) >= -1e-12).all(), "an item that ranks higher is easier"


def test_spread_of_request_sizes_is_that_of_clips():
    cvs = {name: APPLICATION.datasets[name].request_size.cv for name in NAMES}
    assert cvs["LibriSpeech"] == pytest.approx(0.63, abs=0.005)
    assert cvs["TED-LIUM"] == pytest.approx(0.52, abs=0.005)
    assert cvs["VOiCES"] == pytest.approx((cvs["LibriSpeech"] + cvs["TED-LIUM"]) / 2)


def test_only_the_network_is_a_model_and_its_size_and_ratio_are_the_tables():
    table = load_table("model_sizes")
    sizes = dict(zip(table["model"], table["weight_bytes"], strict=True))
    for configuration in APPLICATION.pipeline.configurations[::13]:
        models = [APPLICATION.model(i, configuration) for i in range(4)]
        assert models[0] is models[1] is models[3] is None
        network = models[2]
        assert isinstance(network, NeuralNetwork)
        assert network.name == configuration.values[-1]
        assert network.weight_bytes == sizes[network.name]
        assert network.device_ratio == pytest.approx(222.28, abs=0.01)


def test_operator_keys_are_prefixes_of_knobs():
    pipeline = APPLICATION.pipeline
    configuration = pipeline.configurations[77]
    keys = [pipeline.operator_key(i, configuration) for i in range(4)]
    assert [len(key) for key in keys] == [1, 2, 3, 3]
    assert all(configuration.values[: len(key)] == key for key in keys)
    with pytest.raises(KeyError, match="has the knobs"):
        pipeline.configuration(model="hubert-large")


def test_keys_of_the_declaration_can_be_set_one_by_one():
    changed = shipped_application("speech_recognition", requests_per_s=1.0, window_s=20.0)
    assert (changed.requests_per_s, changed.window_s) == (1.0, 20.0)
