"""A small application that is declared over tables of its own."""

import copy

from scenarios.declaration import DeclaredApplication

TABLES = {
    "rates": {"rate": [10, 5, 1], "frames": [10, 5, 1], "accuracy": [1.0, 0.9, 0.5]},
    "networks": {
        "network": ["big", "small"],
        "seconds": [0.02, 0.01],
        "bytes": [4e8, 1e8],
        "ratio": [200.0, 100.0],
        "accuracy": [0.9, 0.7],
    },
    "content": {"dataset": ["day", "night"], "ease": [1.0, 0.8], "size_cv": [0.5, 0.0]},
    "hours": {
        "dataset": ["day", "day", "night"],
        "stratum": ["noon", "dusk", "dark"],
        "weight": [3, 1, 7],
        "ease": [1.0, 0.6, 0.5],
    },
    "constants": {"answer_tokens": [20]},
    "batches": {
        "rate": [10, 5, 1] * 2,
        "batch": [1, 1, 1, 4, 4, 4],
        "mean_s": [0.1, 0.2, 0.5, 0.25, 0.8, 0.5],
    },
}
DECLARATION = {
    "name": "watch",
    "requests_per_s": 1.0,
    "interarrival": "periodic",
    "window_s": 30.0,
    "answer_bytes": 200.0,
    "latency_per": "output_length",
    "operators": {
        "sample": {
            "kind": "cpu",
            "knobs": {"rate": [10, 5, 1]},
            "service_time_s": ["rates.frames", 0.001],
            "message_bytes": 5000,
            "service_cv": 0.2,
        },
        "see": {
            "kind": "gpu",
            "knobs": {"network": ["big", "small"]},
            "service_time_s": ["rates.frames", "networks.seconds"],
            "message_bytes": ["rates.frames", 100],
            "network": {
                "name": "networks.network",
                "weight_bytes": "networks.bytes",
                "like": "resnet50",
                "benchmark": "resnet50",
                "like_items": 3,
                "device_ratio": "networks.ratio",
            },
        },
        "tell": {
            "kind": "llm",
            "language_model": {"name": "InternVL2-2B", "precision": "BF16"},
            "prompt_tokens": ["rates.frames", 256],
            "output_tokens": "constants.answer_tokens",
            "message_bytes": 300,
        },
    },
    "accuracy": {
        "rule": "product",
        "factors": ["rates.accuracy", "networks.accuracy", "hours.ease"],
        "spread": "success",
    },
    "datasets": {
        "day": {"request_size_cv": "content.size_cv", "strata": "hours.weight"},
        "night": {
            "request_size_cv": "content.size_cv",
            "output_length_cv": 1.5,
            "strata": "hours.weight",
        },
    },
    "tiers": {"fast": {"latency_s": 1.0, "accuracy_of_best": 0.9}, "any": {"weight": 2.0}},
}


def declare(tables, change=None, **keys):
    """Build the application above with a value changed, by its path."""
    node = copy.deepcopy(DECLARATION) | {"tables": str(tables)}
    for path, value in {**(change or {}), **keys}.items():
        *parents, last = path.split(".")
        at = node
        for one in parents:
            at = at[one]
        at[last] = value
    return DeclaredApplication(**node)
