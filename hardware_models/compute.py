"""Service times on other hardware, as factors of the times measured on the reference hardware.

The speech pipeline was profiled on a research-cloud node whose GPU and CPU its source does not
name. What stands for them is declared in table ``compute_ratios``, in rows of kind ``assumption``.
"""

import math

import numpy as np
import polars as pl
from scipy.stats import gmean

from hardware_models import devices, mig
from hardware_models.errors import pick
from hardware_models.tables import load_table, table_cache


@table_cache
def _ratios(quantity: str) -> dict[str, float]:
    table = load_table("compute_ratios").filter(pl.col("quantity") == quantity)
    return dict(zip(table["item"], table["value"], strict=True))


@table_cache
def slice_exponent() -> float:
    """Exponent k of the power law by which latency grows as a slice shrinks.

    The law passes through the two measured end points, the whole A100 and one of its 7 compute
    slices: k = ln(r) / ln(7), with r the ratio of batch-1 RNN-T latencies, as the geometric mean
    over the rounds of MLPerf Inference that report both (TensorRT). Between them it interpolates.
    """
    slices = 7  # Those ratios compare an A100 with one of its 7 compute slices.
    return math.log(gmean(list(_ratios("latency_1g_over_full").values()))) / math.log(slices)


@table_cache
def gpu_latency_factor(board: str, profile: str) -> float:
    """Factor from a GPU time on the reference hardware to one on an instance of a board.

    A whole A100 is 1.0, an assumption. It is plausible: hubert-large takes 21.2 ms for a
    LibriSpeech clip of 473,398 bytes on average, which at 4 bytes (float32) x 16 kHz is 7.4 s, so
    349 times real time, and the Open ASR leaderboard has 495.86 on an A100 (batched, end to end):
    the same order. A slice of g of 7 compute slices is (7/g)^k, see `slice_exponent`. An L4 is
    the ratio of batch-1 RNN-T latencies, as for the slices (MLPerf Inference v3.0).

    Args:
        board: The board, such as ``"A100-40GB"``.
        profile: The instance's profile, such as ``"3g.20gb"``.

    Returns:
        What to multiply a reference GPU time by.

    Raises:
        UnknownNameError: The board or the profile is not known.
    """
    known = mig.profiles(board)
    pick(f"profile of {board}", profile, known)
    speeds = _ratios("board_relative_speed")
    pick("gpu", board, speeds)
    return float(known[profile].compute_fraction ** -slice_exponent() / speeds[board])


def _checked_speed(relative_speed: float) -> float:
    if not (math.isfinite(relative_speed) and relative_speed > 0):
        raise ValueError(
            f"relative_speed is {relative_speed!r}: give a positive multiple of the "
            f"Raspberry Pi 4 CPU"
        )
    return relative_speed


@table_cache
def cpu_latency_factor(relative_speed: float) -> float:
    """Factor from a CPU time on the reference hardware to one on another CPU.

    The reference CPU is taken as that of an AWS c5.4xlarge, a server CPU of the ncnn list: an
    assumption, since the profile names none.

    Args:
        relative_speed: Speed of the other CPU, in multiples of the Raspberry Pi 4 CPU.

    Returns:
        What to multiply a reference CPU time by.

    Raises:
        ValueError: The speed is not a positive finite number.
    """
    (reference,) = _ratios("reference_cpu_relative_speed").values()
    return reference / _checked_speed(relative_speed)


@table_cache
def raspberry_pi_over_gpu() -> float:
    """Time of a neural operator on a Raspberry Pi 5 CPU over that on a V100-class GPU.

    Geometric mean over whisper-tiny, -base and -small of the time to encode a 30 s window in fp16
    by whisper.cpp, table ``asr_encode_latency``.
    """
    table = load_table("asr_encode_latency").pivot(
        "hardware", index="model", values="encode_window_ms"
    )
    return float(gmean((table["Raspberry Pi 5"] / table["V100"]).to_numpy()))


@table_cache
def gpu_work_on_cpu_factor(relative_speed: float) -> float:
    """Factor from a GPU time on the reference hardware to one on a phone's or board's CPU.

    `raspberry_pi_over_gpu` scaled by CPU speed. Two assumptions: the reference GPU is of the class
    of a V100, and a large network scales over CPUs as the small ones of the ncnn list do.

    Args:
        relative_speed: Speed of the CPU, in multiples of the Raspberry Pi 4 CPU.

    Returns:
        What to multiply a reference GPU time by.

    Raises:
        ValueError: The speed is not a positive finite number.
    """
    pi = devices.relative_speed("Raspberry Pi 5")
    return raspberry_pi_over_gpu() * pi / _checked_speed(relative_speed)


def batch_latency_factor(batch: int) -> float:
    """Time of a batch over the time of a batch of one.

    Linear between the measured sizes of BERT on one compute slice of an A100-80GB, one process
    (ParvaGPU, PyTorch). That speech models batch like BERT is an assumption.

    Args:
        batch: Number of requests in the batch, from 1 to the largest measured.

    Returns:
        What to multiply the time of a batch of one by.

    Raises:
        ValueError: The batch is beyond the measured sizes.
    """
    table = load_table("batch_latency").sort("batch")
    sizes, times = table["batch"].to_numpy(), table["batch_latency_ms"].to_numpy()
    if not sizes[0] <= batch <= sizes[-1]:
        raise ValueError(f"batch is {batch!r}: measured sizes go from {sizes[0]} to {sizes[-1]}")
    return float(np.interp(batch, sizes, times) / times[0])


@table_cache
def largest_batch() -> int:
    """Largest batch that was measured; beyond it, `batch_latency_factor` raises."""
    return int(load_table("batch_latency")["batch"].to_numpy().max())


@table_cache
def _weights() -> dict[str, int]:
    table = load_table("model_sizes")
    return dict(zip(table["model"], table["weight_bytes"], strict=True))


def model_weight_bytes(model: str) -> int:
    """Size of a speech model's weights in bytes, at 4 bytes a parameter (fp32).

    Parameter counts are those of the Open ASR leaderboard; three models of the same architecture
    size borrow the count of wav2vec2-large-robust, as table ``model_sizes`` says.

    Raises:
        UnknownNameError: The model is not in the table.
    """
    pick("speech model", model, _weights())
    return _weights()[model]
