"""Dense video captioning: ratios of published scores, and knobs that act as they should."""

import numpy as np
import pytest

from scenarios.applications.shipped import shipped_application
from scenarios.declaration import DeclaredApplication

CIDER = {"Gemma-3-27B": 116, "Gemma-3-12B": 111, "Gemma-3-4B": 102}
TEXT_VQA = {896: 58.0, 448: 53.5, 256: 44.1}


@pytest.fixture(scope="module")
def captioning() -> DeclaredApplication:
    return shipped_application("dense_video_captioning")


def accuracy(captioning: DeclaredApplication, **changed: int | str) -> float:
    values = {"frames": 16, "input_px": 896, "model": "Gemma-3-27B", "precision": "BF16"}
    at = captioning.pipeline.configuration(**{**values, **changed}).index
    return float(captioning.datasets["ViTT"].accuracy[at, 0])


@pytest.mark.parametrize("model", CIDER)
def test_models_differ_as_their_caption_scores_do(
    captioning: DeclaredApplication, model: str
) -> None:
    assert accuracy(captioning, model=model) == pytest.approx(CIDER[model] / 116, rel=1e-5)


@pytest.mark.parametrize("px", TEXT_VQA)
def test_input_sizes_differ_as_in_the_published_ablation(
    captioning: DeclaredApplication, px: int
) -> None:
    assert accuracy(captioning, input_px=px) == pytest.approx(TEXT_VQA[px] / 58.0, rel=1e-5)


@pytest.mark.parametrize("dataset", ["ActivityNet Captions", "ViTT"])
def test_richer_choices_are_more_accurate_and_slower(
    captioning: DeclaredApplication, dataset: str
) -> None:
    data = captioning.datasets[dataset]
    shape = [len(knob.choices) for knob in captioning.pipeline.knobs]
    scores = data.accuracy[:, 0].reshape(shape)
    assert ((scores > 0) & (scores <= 1)).all()
    for axis in range(scores.ndim):
        assert (np.diff(scores, axis=axis) < 0).all()
    times = data.service_time_s.sum(axis=1).reshape(shape)
    for axis in (0, 1, 2):  # Not the precision: LLM.int8 saves memory, and is slower.
        assert (np.diff(times, axis=axis) < 0).all()


def test_all_frames_are_decoded_however_few_are_sampled(captioning: DeclaredApplication) -> None:
    times = captioning.datasets["ViTT"].service_time_s[:, 0]
    assert times.max() < 1.02 * times.min()
    assert times.min() > 35.2 * 30 * 0.002


def test_sampling_does_not_depend_on_what_follows(captioning: DeclaredApplication) -> None:
    assert captioning.pipeline.upstream_knobs == ((0,), (0, 1), (0, 1, 2, 3))


def test_a_latency_bound_is_that_of_a_description_of_mean_length(
    captioning: DeclaredApplication,
) -> None:
    assert captioning.latency_per == "output_length"
    data = captioning.datasets["ViTT"]
    configuration = captioning.pipeline.configurations[0]
    ones = np.ones(2)
    short, long = captioning.item_times_s(data, configuration, 2, ones, np.array([0.5, 2.0]), ones)
    assert short < long
