"""What applications on video share: encoders' times, frames, and bytes of video."""

import numpy as np
import polars as pl
from scipy.stats import gmean

from hardware_models.tables import load_table
from scenarios.derivation._tables import raw

FRAMES = (16, 8, 4, 1)
PEAK_BATCH = 256
"""The batch at which the reference network is bound by arithmetic, the largest measured."""


def gflops(network: str, tokens: int) -> float:
    """Return the operations of an image encoder on one image.

    A published point where there is one; else a n + b n^2 for n tokens, through two of them: linear
    layers, and attention.
    """
    rows = raw("network_operations", tokens=pl.Int64, gflops=pl.Float64).filter(
        pl.col("network") == network
    )
    n, operations = rows["tokens"].to_numpy(), rows["gflops"].to_numpy()
    if tokens in n:
        return float(operations[n == tokens][0])
    a, b = np.linalg.solve(np.stack([n[:2], n[:2] ** 2], axis=1), operations[:2])
    return float(a * tokens + b * tokens**2)


def a100_gflops_per_s() -> float:
    """Return what a whole A100-80GB reaches in PyTorch on a network bound by arithmetic.

    Measured on vgg16 at the largest batch, the stack of table ``gpu_latency``; that image encoders
    reach the same is an assumption.
    """
    row = load_table("gpu_latency").filter(
        (pl.col("model") == "vgg16")
        & (pl.col("gpu") == "A100-80GB")
        & (pl.col("mig_gpcs") == 7)
        & (pl.col("mps_procs") == 1)
        & (pl.col("batch") == PEAK_BATCH)
    )
    (operations,) = raw("network_operations", gflops=pl.Float64).filter(
        pl.col("network") == "vgg16"
    )["gflops"]
    return float(operations * PEAK_BATCH * 1000 / row["batch_latency_ms"].item())


def encode_s(network: str, tokens: int) -> float:
    """Return the time of an image encoder for one image on a whole A100-80GB, in seconds."""
    return gflops(network, tokens) / a100_gflops_per_s()


def frame_ratios() -> dict[int, float]:
    """Return the accuracy with fewer frames over that with 16, by number of frames.

    8 frames: geometric mean over InternVL2-1B, 2B, 4B and 8B of MMBench-Video at 8 over 16 frames.
    1 frame: that times the geometric mean over Kinetics-400, 600 and 700 of InternVL-C at 1 over 8.
    4 frames: linear in the logarithm of frames, between 1 and 8.
    """
    table = raw("video_question_accuracy", frames=pl.Int64, value=pl.Float64)

    def ratio(rows: pl.Expr, key: str, few: int, many: int) -> float:
        wide = table.filter(rows).pivot("frames", index=key, values="value")
        return float(gmean((wide[str(few)] / wide[str(many)]).to_numpy()))

    eight = ratio(pl.col("benchmark") == "MMBench-Video", "model", 8, 16)
    one = eight * ratio(pl.col("model") == "InternVL-C", "benchmark", 1, 8)
    logs = np.interp(np.log(FRAMES), np.log([1, 8, 16]), np.log([one, eight, 1.0]))
    return {frames: float(np.exp(log)) for frames, log in zip(FRAMES, logs, strict=True)}
