"""Tables of live video chat: InternVL2 answers a question about the last seconds of a video."""

import numpy as np
import polars as pl

from scenarios.derivation import _shared
from scenarios.derivation._shared import figure, raw, sourced

MODELS = ("InternVL2-8B", "InternVL2-4B", "InternVL2-2B", "InternVL2-1B")
"""The models; all use the same image encoder, so that its time does not depend on the model."""
ENCODER = "InternViT-300M-448px"
INPUTS_PX = (448, 336, 224)
REFERENCE_PX = 448
PATCH_PX, MERGED_PATCHES = 14, 4  # Of the encoder; four patches make a token of the language model.
FEATURE_WIDTH, BYTES_PER_FEATURE = 4 * 1024, 2  # Four patches of width 1024, in BF16.
BENCHMARKS = {"MVBench": "MVBench", "Video-MME": "Video-MME w/o subs"}
STRATA = ("short", "medium", "long")


def derive() -> dict[str, pl.DataFrame]:
    """Return the tables of the application, by name."""
    return {
        "accuracy": _accuracy(),
        "strata": _strata(),
        "frames": _frames(),
        "inputs": _inputs(),
        "prompts": _prompts(),
        "precisions": _precisions(),
        "questions": _questions(),
    }


def tokens_per_frame(input_px: int) -> int:
    """Return the number of language-model tokens of a square frame of this size in pixels."""
    return (input_px // PATCH_PX) ** 2 // MERGED_PATCHES


def _accuracy() -> pl.DataFrame:
    table = raw("video_question_accuracy", value=pl.Float64)
    rows = (
        {
            "model": model,
            "dataset": dataset,
            "accuracy": table.filter(
                (pl.col("model") == model) & (pl.col("benchmark") == benchmark)
            )["value"].item()
            / 100,
        }
        for model in MODELS
        for dataset, benchmark in BENCHMARKS.items()
    )
    return sourced("live_video_chat.accuracy", rows)


def _strata() -> pl.DataFrame:
    table = raw("video_question_accuracy", value=pl.Float64)
    name = BENCHMARKS["Video-MME"]
    wide = table.filter(pl.col("benchmark").str.starts_with(f"{name} (")).pivot(
        "benchmark", index="model", values="value"
    )
    scores = {one: wide[f"{name} ({one})"].to_numpy() for one in STRATA}
    overall = sum(scores.values()) / len(STRATA)
    rows = [
        {
            "dataset": "MVBench",
            "stratum": "all",
            "weight": 1.0,
            "accuracy_ratio": 1.0,
            "note": "no score by kind of content is known for these models",
        },
        *(
            {
                "dataset": "Video-MME",
                "stratum": one,
                "weight": 1 / len(STRATA),
                "accuracy_ratio": float(np.mean(scores[one] / overall)),
            }
            for one in STRATA
        ),
    ]
    return sourced("live_video_chat.strata", rows)


def _frames() -> pl.DataFrame:
    notes = {
        16: "the number of frames of the published accuracy",
        8: "geometric mean over the four models of MMBench-Video, 8 over 16 frames",
        4: "between 1 and 8 frames, logarithm of the ratio linear in that of the frames",
        1: "ratio at 8 x geometric mean over Kinetics-400/600/700 of InternVL-C, 1 over 8 frames; "
        "that answers suffer as classification does is an assumption",
    }
    rows = (
        {"frames": frames, "accuracy_ratio": ratio, "note": notes[frames]}
        for frames, ratio in _shared.frame_ratios().items()
    )
    return sourced("live_video_chat.frames", rows)


def _inputs() -> pl.DataFrame:
    encoders = raw("image_encoders", image_size=pl.Int64, imagenet_zeroshot_top1=pl.Float64).filter(
        pl.col("model").str.starts_with("ViT-B-16-SigLIP")
    )
    slope, level = np.polyfit(
        np.log(encoders["image_size"].to_numpy()), encoders["imagenet_zeroshot_top1"].to_numpy(), 1
    )
    bytes_per_pixel = figure("video_processing", "sampled_bytes_per_pixel")

    def top1(px: int) -> float:
        return float(level + slope * np.log(px))

    rows = (
        {
            "input_px": px,
            "tokens_per_frame": tokens_per_frame(px),
            "encode_s_per_frame": _shared.encode_s(ENCODER, (px // PATCH_PX) ** 2),
            "bytes_per_frame": bytes_per_pixel * px**2,
            "feature_bytes_per_frame": tokens_per_frame(px) * FEATURE_WIDTH * BYTES_PER_FEATURE,
            "accuracy_ratio": top1(px) / top1(REFERENCE_PX),
        }
        for px in INPUTS_PX
    )
    return sourced(
        "live_video_chat.inputs",
        rows,
        speed=_shared.a100_gflops_per_s(),
        bytes_per_pixel=bytes_per_pixel,
    )


def _prompts() -> pl.DataFrame:
    question = figure("chat_assumptions", "question_tokens")
    label = figure("chat_assumptions", "label_tokens_per_frame")
    rows = (
        {
            "frames": frames,
            "input_px": px,
            "prompt_tokens": frames * (tokens_per_frame(px) + label) + question,
        }
        for frames in _shared.FRAMES
        for px in INPUTS_PX
    )
    return sourced("live_video_chat.prompts", rows, label=label, question=question)


def _precisions() -> pl.DataFrame:
    rows = (
        {"model": model, "precision": precision, "accuracy_ratio": ratio}
        for model in MODELS
        for precision, ratio in (("BF16", 1.0), ("LLM.int8", _shared.int8_ratio()))
    )
    return sourced("live_video_chat.precisions", rows, _shared.int8_provenance())


def _questions() -> pl.DataFrame:
    quantile = figure("chat_assumptions", "output_quantile")
    stream = figure("video_processing", "stream_bytes_per_s")
    resize_s = figure("video_processing", "resize_s_per_frame")
    rows = (
        {
            "dataset": dataset,
            "output_tokens": float(np.quantile(_shared.generated_tokens(), quantile)),
            "output_length_cv": _shared.answer_length_cv(),
            "buffer_bytes": stream * figure("chat_assumptions", f"buffer_s {dataset}"),
            "resize_s_per_frame": resize_s,
        }
        for dataset in BENCHMARKS
    )
    return sourced("live_video_chat.questions", rows, quantile=quantile, stream=stream)
