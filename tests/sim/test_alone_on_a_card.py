"""Operators alone on a card take the times that the files of applications declare."""

from pathlib import Path

import pytest

from scenarios.applications.shipped import shipped_application
from scenarios.cluster import Node
from sim.api.plan import CORE, Allocation
from sim.catalogue.service_times import RefusalError, node_service

CONF = Path(__file__).parents[2] / "conf" / "application"
CARDS = {
    "A100-40GB": ("a2-highgpu-1g", "7g.40gb"),
    "A100-80GB": ("a2-ultragpu-1g", "7g.80gb"),
    "L4": ("g2-standard-4", "full"),
}


def alone(name, dataset, card):
    """Return accuracy and seconds of a mean request by configuration, of those that fit."""
    application, (machine, profile) = shipped_application(name), CARDS[card]
    data, node = application.datasets[dataset], Node(machine=machine)
    most = {"cpu": Allocation(CORE), "gpu": Allocation(profile), "llm": Allocation(profile, 1, 16)}
    found = {}
    for one in application.pipeline.configurations:
        try:
            factors = [
                node_service(application, at, one, node, most[operator.kind]).factor
                for at, operator in enumerate(application.operators)
            ]
        except RefusalError:
            continue
        accuracy = float(data.accuracy[one.index] @ data.stratum_weights)
        found[str(one)] = accuracy, float(data.service_time_s[one.index] @ factors)
    return found


@pytest.mark.parametrize(
    ("name", "dataset", "card", "fastest", "best", "seconds", "said"),
    [
        (
            "code_generation",
            "HumanEval",
            "A100-40GB",
            0.5,
            "32B-Instruct/GPTQ-Int8/8/2",
            11,
            "11 s with",
        ),
        (
            "code_generation",
            "HumanEval",
            "A100-80GB",
            0.4,
            "32B-Instruct/BF16/8/2",
            14,
            "14 s by the",
        ),
        (
            "code_generation",
            "HumanEval",
            "L4",
            0.7,
            "32B-Instruct/GPTQ-Int4/8/2",
            26,
            "0.7 s on an",
        ),
        ("dense_video_captioning", "ViTT", "A100-40GB", 5, "27B/LLM.int8", 18, "18 s on an A1"),
        ("dense_video_captioning", "ViTT", "A100-80GB", 4, "27B/BF16", 14, "14 s on an A100-80GB"),
        ("dense_video_captioning", "ViTT", "L4", 10, "12B/LLM.int8", 37, "37 s on an L4"),
        (
            "live_video_chat",
            "Video-MME",
            "A100-40GB",
            0.3,
            "InternVL2-8B/BF16",
            1.9,
            "1.9 and 7.8 s",
        ),
        (
            "live_video_chat",
            "Video-MME",
            "A100-80GB",
            0.3,
            "InternVL2-8B/BF16",
            1.7,
            "1.7 s on an A1",
        ),
        ("live_video_chat", "Video-MME", "L4", 0.6, "InternVL2-8B/BF16", 7.8, "0.6 s on an L4"),
    ],
)
def test_times_alone_on_a_card_are_those_of_its_file(
    name, dataset, card, fastest, best, seconds, said
):
    found = alone(name, dataset, card)
    most_accurate = max(found, key=lambda one: found[one][0])
    assert most_accurate.endswith(best)
    assert float(f"{found[most_accurate][1]:.2g}") == seconds
    assert float(f"{min(time for _, time in found.values()):.1g}") == fastest
    assert said in " ".join((CONF / f"{name}.yaml").read_text("utf-8").replace("#", "").split())
