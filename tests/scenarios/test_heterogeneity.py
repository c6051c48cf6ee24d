"""How users of a data set differ: measured, and as drawn."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from worlds import scenario

from scenarios.applications.shipped import shipped_application
from scenarios.derivation._shared import raw
from scenarios.derivation.speech_recognition import concentration
from scenarios.queries import births
from scenarios.workload import Workload


def tables():
    types = {"n": pl.Float64, "wer_mean": pl.Float64}
    strata = raw("asr_wer_strata", **types).filter(strata="hidden_kmeans_8", freq_mask_hz="500")
    return strata, raw("speech_conditions", **types)


def test_users_of_one_model_differ_as_the_fit_to_the_other_models_says():
    """Variances between rooms and noises were measured for models that the fit has not seen."""
    strata, conditions = tables()
    for (model,), own in conditions.group_by("model"):
        fitted = concentration(*(each.filter(pl.col("model") != model) for each in tables()))
        assert 0.8 < fitted < 1.0
        clusters = strata.filter(model=model)
        between, measured = (
            np.mean(
                [
                    np.cov(rows["wer_mean"], aweights=rows["n"], ddof=0)
                    for _, rows in each.group_by("sample_rate_hz")
                ]
            )
            for each in (clusters, own)
        )
        assert between / (fitted + 1) == pytest.approx(measured, rel=0.08)
        # With the former assumption of 20, users differ less than a third as much as measured.
        assert (between / 21) ** 0.5 < measured**0.5 / 3


def accuracies(application, dataset, **changes):
    """Return the best accuracy that each of many users can have."""
    workload = Workload(1.0, datasets={dataset: 1.0}, **changes)
    made = replace(scenario(600.0), application=application, workload=workload)
    best = application.datasets[dataset].expected_accuracy
    return np.array([best(truth.content[0][1]).max() for _, truth in births(made, 901)])


def test_the_workload_takes_precedence_over_the_data_set():
    datasets = {"VOiCES": {"strata": "strata.weight", "content_concentration": 0.899}}
    similar = {"VOiCES": {"strata": "strata.weight"}}
    own = shipped_application("speech_recognition", datasets=datasets)
    alike = shipped_application("speech_recognition", datasets=similar)
    usual = accuracies(alike, "VOiCES")
    assert np.array_equal(accuracies(own, "VOiCES", content_concentration=20.0), usual)
    assert np.array_equal(accuracies(alike, "VOiCES", content_concentration=20.0), usual)
    assert accuracies(own, "VOiCES").std() > 2 * usual.std()
    datasets["VOiCES"]["content_concentration"] = 0
    with pytest.raises(ValueError, match=r"VOiCES.content_concentration=0: must be above 0"):
        shipped_application("speech_recognition", datasets=datasets)


def test_cameras_differ_as_measured_sequences_do():
    mot17 = {"strata": "scenes.weight", "content_concentration": 0.1}
    made = shipped_application("visual_tracking", datasets={"MOT17": mot17, "MOT20": {}})
    alike = shipped_application("visual_tracking", datasets={"MOT17": {}, "MOT20": {}})
    # The mean is that of the data set, and one camera per sequence has the spread of the sequences.
    data = made.datasets["MOT17"]
    assert data.expected_accuracy(data.stratum_weights) == pytest.approx(
        alike.datasets["MOT17"].accuracy[:, 0]
    )
    drawn = accuracies(made, "MOT17")
    rows = raw("tracking_sequences", objects=pl.Float64, mota=pl.Float64)
    spread = {}
    for (system,), each in rows.group_by("system"):
        mean = np.average(each["mota"], weights=each["objects"])
        spread[system] = np.cov(each["mota"], aweights=each["objects"], ddof=0) ** 0.5 / mean
    assert drawn.std() / drawn.mean() == pytest.approx(spread["CenterTrack"] / 1.1**0.5, rel=0.1)
    # Another system, which was not used, differs more between the same sequences.
    assert spread["CenterTrack"] < spread["YOLOv3 and DeepSORT"] < 2.5 * spread["CenterTrack"]
    assert accuracies(alike, "MOT17").std() == pytest.approx(0)
