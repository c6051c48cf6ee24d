"""Tables of dense video captioning: Gemma 3 describes the events of a video."""

import polars as pl

from scenarios.derivation import _shared
from scenarios.derivation._shared import figure, raw, sourced

MODELS = ("Gemma-3-27B", "Gemma-3-12B", "Gemma-3-4B")
ENCODER = "SigLIP-So400m"
INPUT_TOKENS = {896: 4096, 448: 1024, 256: 256}
"""Tokens within the encoder by input size; at every size 256 of them, pooled, reach the model."""
TOKENS_PER_FRAME = 256
FEATURE_WIDTH, BYTES_PER_FEATURE = 1152, 2  # Of SigLIP So400m, in BF16.
FRAME_PX = 1280 * 720
DATASETS = ("ActivityNet Captions", "ViTT")

GEMMA3 = "Gemma 3 model card", "https://huggingface.co/google/gemma-3-4b-it"
GEMMA3_REPORT = "Gemma 3 Technical Report, Table 7", "https://arxiv.org/abs/2503.19786"


def derive() -> dict[str, pl.DataFrame]:
    """Work out the tables of the application."""
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
    note = (
        f"CIDEr of COCO captions, pre-trained model, over {best:g}, the best of the family; no "
        "score of these models on dense video captions is known: a proxy, by assumption, the same "
        "for both data sets"
    )
    return sourced(rows, "fraction of the best caption score", *GEMMA3, note)


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
    note = (
        f"frames x (256 + {label:g}) + {prompt:g} tokens; ratio: InternVL2 on MMBench-Video, 8 "
        "over 16 frames, and InternVL-C on Kinetics, 1 over 8, as in live video chat; that "
        "captions suffer alike is an assumption"
    )
    return sourced(
        rows,
        "tokens; ratio",
        "InternVL2 model cards, read in public copies (secondary pages); InternVL README",
        "https://huggingface.co/OpenGVLab/InternVL2-8B",
        note,
    )


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
    note = (
        "GFLOPs of SigLIP So400m (a n + b n^2 through its published points at n = 256 and 729 "
        f"tokens) / {_shared.a100_gflops_per_s():.0f} GFLOP/s of vgg16 on an A100 in PyTorch; "
        "256 x 1152 x 2 bytes; "
        "TextVQA by input size over that at 896 px: that captions suffer alike is an assumption"
    )
    return sourced(rows, "seconds; bytes; ratio", *GEMMA3_REPORT, note)


def _precisions() -> pl.DataFrame:
    rows = (
        {"precision": "BF16", "accuracy_ratio": 1.0, "note": "the published precision"},
        {"precision": "LLM.int8", "accuracy_ratio": _shared.int8_ratio()},
    )
    note = (
        "geometric mean over OPT-175B and BLOOM-176B on hellaswag, piqa, lambada and winogrande; "
        "that it holds for small vision-language models is an assumption"
    )
    return sourced(rows, "ratio", *_shared.int8_provenance(), note)


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
    note = (
        "mean and coefficient of variation of GeneratedTokens: a detailed description is taken to "
        f"be as long as an answer in a conversation; seconds of the event x {stream:g} bytes/s "
        f"(AWStream, 1280 px, 30 fps, QP 30); 1280 x 720 px x {bytes_per_pixel:.3f} bytes "
        "(AWStream, H.264 at QP 20 and 3 fps)"
    )
    return sourced(rows, "tokens; 1; bytes; bytes", *_shared.CONVERSATIONS, note)


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
    note = (
        f"seconds of the event x {fps:g} fps x {1000 * decode_s:.2f} ms to decode a frame (all are "
        f"decoded to reach those sampled) + frames x {1000 * resize_s:.2f} ms to resize one (mean "
        "of a measured detection pipeline); both hosts taken as a server core"
    )
    return sourced(
        rows,
        "seconds",
        "TorchCodec decoder benchmark",
        "https://github.com/pytorch/torchcodec/blob/02dfeaf1d25d7e7c7b7b2a38c79aa6240c8ce93c/benchmarks/decoders/benchmark_readme_data.json",
        note,
    )


def _event_s(dataset: str) -> float:
    return figure("captioning_assumptions", f"event_s {dataset}")
