"""Live video chat: published figures at published points, and knobs that act as they should."""

import numpy as np
import pytest

from hardware_models.gpu.compute import gpu_batch_times
from hardware_models.gpu.gpu_latency import largest_batch
from scenarios.applications.application import LanguageModel, NeuralNetwork
from scenarios.applications.shipped import shipped_application
from scenarios.declaration import DeclaredApplication

PUBLISHED = {
    ("MVBench", "InternVL2-8B"): 0.664,
    ("MVBench", "InternVL2-1B"): 0.579,
    ("Video-MME", "InternVL2-4B"): 0.514,
    ("Video-MME", "InternVL2-2B"): 0.45,
}


@pytest.fixture(scope="module")
def chat() -> DeclaredApplication:
    return shipped_application("live_video_chat")


def index(chat: DeclaredApplication, **changed: int | str) -> int:
    values = {"frames": 16, "input_px": 448, "model": "InternVL2-8B", "precision": "BF16"}
    return chat.pipeline.configuration(**{**values, **changed}).index


def grid(chat: DeclaredApplication, values: np.ndarray) -> np.ndarray:
    """Arrange values by configuration in an array with one axis a knob, richest first."""
    return values.reshape([len(knob.choices) for knob in chat.pipeline.knobs])


@pytest.mark.parametrize(("dataset", "model"), PUBLISHED)
def test_accuracy_is_the_published_one_at_16_frames_of_448_px(
    chat: DeclaredApplication, dataset: str, model: str
) -> None:
    data = chat.datasets[dataset]
    mean = data.expected_accuracy(data.stratum_weights)[index(chat, model=model)]
    assert mean == pytest.approx(PUBLISHED[dataset, model], rel=1e-5)


@pytest.mark.parametrize("dataset", ["MVBench", "Video-MME"])
def test_richer_choices_are_more_accurate(chat: DeclaredApplication, dataset: str) -> None:
    data = chat.datasets[dataset]
    accuracy = grid(chat, data.expected_accuracy(data.stratum_weights))
    assert ((accuracy > 0) & (accuracy <= 1)).all()
    for axis in range(accuracy.ndim):
        assert (np.diff(accuracy, axis=axis) < 0).all()


def test_more_frames_and_larger_ones_take_longer(chat: DeclaredApplication) -> None:
    data = chat.datasets["MVBench"]
    for operator in (0, 1, 2):
        times = grid(chat, data.service_time_s[:, operator])
        assert (np.diff(times, axis=0) < 0).all()
    for operator in (1, 2):
        assert (np.diff(grid(chat, data.service_time_s[:, operator]), axis=1) < 0).all()


@pytest.mark.parametrize("name", ["live_video_chat", "dense_video_captioning"])
def test_encoders_are_at_the_peak_that_their_time_was_derived_from(name: str) -> None:
    """A batch of requests gains nothing, and slices and boards cost what they cost a full one."""
    models = shipped_application(name).models
    encoders = {model for (operator, _), model in models.items() if operator == "encode"}
    assert encoders
    for one in encoders:
        assert isinstance(one, NeuralNetwork)
        like = one.like, one.benchmark
        batches = gpu_batch_times(*like, "A100-80GB", "7g.80gb", 4, like_items=one.like_items)
        assert batches.factors == pytest.approx([1, 2, 3, 4], rel=0.02)
        for board, profile in (("L4", "full"), ("A100-80GB", "1g.10gb")):
            small, full = (
                gpu_batch_times(*like, board, profile, like_items=items).factors[0]
                for items in (one.like_items, largest_batch())
            )
            assert small == pytest.approx(full, rel=0.1)


def test_a_frame_of_448_px_becomes_256_tokens(chat: DeclaredApplication) -> None:
    data = chat.datasets["MVBench"]
    sixteen = data.tokens(index(chat), 2).prompt
    eight = data.tokens(index(chat, frames=8), 2).prompt
    label = 6  # Of table chat_assumptions.
    assert sixteen - eight == 8 * (256 + label)


def test_features_weigh_more_than_the_frames_they_come_from(chat: DeclaredApplication) -> None:
    sizes = chat.datasets["MVBench"].message_bytes
    assert (sizes[:, 2] > sizes[:, 1]).all()
    assert sizes[index(chat), 2] == 16 * 256 * 4096 * 2


def test_long_videos_are_harder_than_short_ones(chat: DeclaredApplication) -> None:
    data = chat.datasets["Video-MME"]
    assert data.stratum_weights == pytest.approx([1 / 3] * 3)
    short, medium, long = data.accuracy[index(chat)]
    assert short > medium > long
    assert chat.datasets["MVBench"].accuracy.shape == (96, 1)


def test_every_operator_runs_what_it_says(chat: DeclaredApplication) -> None:
    configuration = chat.pipeline.configuration(
        frames=4, input_px=224, model="InternVL2-2B", precision="LLM.int8"
    )
    encoder, model = chat.model(1, configuration), chat.model(2, configuration)
    assert isinstance(encoder, NeuralNetwork)
    assert encoder.weight_bytes == 608_000_000
    assert model == LanguageModel("InternVL2-2B", "LLM.int8")
    assert chat.model(0, configuration) is None
