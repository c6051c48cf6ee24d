"""Tables of dense video captioning: Gemma 3 describes the events of a video."""

import polars as pl

from scenarios.derivation import _shared
from scenarios.derivation._shared import figure, raw, sourced

MODELS = ("Gemma-3-27B", "Gemma-3-12B", "Gemma-3-4B")
ENCODER = "SigLIP-So400m"
INPUT_TOKENS = {896: 4096, 448: 1024, 256: 256}
"""Tokens in the image encoder by input size in pixels; pooling leaves 256 for the language model.
"""
TOKENS_PER_FRAME = 256
FEATURE_WIDTH, BYTES_PER_FEATURE = 1152, 2  # of SigLIP So400m, in BF16
FRAME_PX = 1280 * 720
DATASETS = ("ActivityNet Captions", "ViTT")


def derive() -> dict[str, pl.DataFrame]:
    """Return the tables of the application, by name."""
    return {
        "accuracy": _accuracy(),
        "frames": _frames(),
        "inputs": _inputs(),
        "precisions": _precisions(),
        "events": _events(),
        "sampling": _sampling(),
    }


def _accuracy() -> pl.DataFrame:
    table = raw("caption_accuracy", value=pl.Float64)
    scores = dict(zip(table["model"], table["value"], strict=True))
    best = max(scores.values())
    rows = ({"model": model, "accuracy": scores[model] / best} for model in MODELS)
    return sourced("dense_video_captioning.accuracy", rows, best=best)


def _frames() -> pl.DataFrame:
    label = figure("captioning_assumptions", "label_tokens_per_frame")
    prompt = figure("captioning_assumptions", "prompt_tokens")
    rows = (
        {
            "frames": frames,
            "prompt_tokens": frames * (TOKENS_PER_FRAME + label) + prompt,
            "accuracy_ratio": ratio,
        }
        for frames, ratio in _shared.frame_ratios().items()
    )
    return sourced("dense_video_captioning.frames", rows, label=label, prompt=prompt)


def _inputs() -> pl.DataFrame:
    table = raw("encoder_resolution", input_px=pl.Int64, value=pl.Float64).filter(
        pl.col("benchmark") == "TextVQA"
    )
    scores = dict(zip(table["input_px"], table["value"], strict=True))
    rows = (
        {
            "input_px": px,
            "encode_s_per_frame": _shared.encode_s(ENCODER, tokens),
            "feature_bytes_per_frame": TOKENS_PER_FRAME * FEATURE_WIDTH * BYTES_PER_FEATURE,
            "accuracy_ratio": scores[px] / max(scores.values()),
        }
        for px, tokens in INPUT_TOKENS.items()
    )
    return sourced("dense_video_captioning.inputs", rows, speed=_shared.a100_gflops_per_s())


def _precisions() -> pl.DataFrame:
    rows = (
        {"precision": "BF16", "accuracy_ratio": 1.0, "note": "the published precision"},
        {"precision": "LLM.int8", "accuracy_ratio": _shared.int8_ratio()},
    )
    return sourced("dense_video_captioning.precisions", rows, _shared.int8_provenance())


def _events() -> pl.DataFrame:
    stream = figure("video_processing", "stream_bytes_per_s")
    bytes_per_pixel = figure("video_processing", "sampled_bytes_per_pixel")
    rows = (
        {
            "dataset": dataset,
            "output_tokens": float(_shared.generated_tokens().mean()),
            "output_length_cv": _shared.answer_length_cv(),
            "event_bytes": stream * _event_s(dataset),
            "bytes_per_frame": bytes_per_pixel * FRAME_PX,
        }
        for dataset in DATASETS
    )
    return sourced(
        "dense_video_captioning.events", rows, stream=stream, bytes_per_pixel=bytes_per_pixel
    )


def _sampling() -> pl.DataFrame:
    decode_s = figure("video_processing", "decode_s_per_frame")
    resize_s = figure("video_processing", "resize_s_per_frame")
    fps = figure("captioning_assumptions", "video_fps")
    rows = (
        {
            "dataset": dataset,
            "frames": frames,
            "service_time_s": _event_s(dataset) * fps * decode_s + frames * resize_s,
        }
        for dataset in DATASETS
        for frames in _shared.FRAMES
    )
    return sourced(
        "dense_video_captioning.sampling",
        rows,
        fps=fps,
        decode_ms=1000 * decode_s,
        resize_ms=1000 * resize_s,
    )


def _event_s(dataset: str) -> float:
    return figure("captioning_assumptions", f"event_s {dataset}")
