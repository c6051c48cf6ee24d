"""Service times on other hardware, as multiples of times on the reference hardware.

The reference GPU is a whole A100-80GB. The reference CPU is a core of an AWS c5.4xlarge. If the
source of an application's service times names no hardware, the times are assumed to hold for the
reference hardware.
"""

import math
from dataclasses import dataclass

import numpy as np

from hardware_models import devices
from hardware_models.basis import Basis, Ratio, worst
from hardware_models.errors import pick
from hardware_models.gpu import boards, gpu_latency, mig, mps
from hardware_models.reference import REFERENCE_SLICES
from hardware_models.tables import required_row, table_cache


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """Times of batches on an instance, as multiples of one request's time on the reference GPU.

    Attributes:
        factors: The multiples for batches of 1, 2, ... requests, in this order.
        basis: The weakest basis of the factors.
    """

    factors: tuple[float, ...]
    basis: Basis


@table_cache
def gpu_batch_times(
    like: str,
    benchmark: str,
    board: str,
    profile: str,
    max_batch: int = 1,
    processes: int = 1,
    thread_percent: int = 100,
    like_items: float = 1.0,
) -> BatchTimes:
    """Return the times of batches on an instance of a card, relative to the reference GPU.

    `gpu_latency.batch_latency` gives the effect of batch size, compute slices and processes, for a
    similar model that was measured. `boards.latency_ratio` converts the time to another board,
    unless table ``gpu_latency`` has a row for that board. `mps` gives the slowdown caused by a
    limit on active threads. On a card that does not have 7 compute slices, an instance is assumed
    to be as fast as the same share of 7 slices. Between whole slices, logarithms are interpolated
    linearly.

    Args:
        like: Model of table ``gpu_latency``.
        benchmark: Benchmark by which boards are compared.
        board: The board, such as ``"A100-40GB"``.
        profile: The instance's profile, such as ``"3g.20gb"``.
        max_batch: Largest batch size.
        processes: Number of MPS processes of the same model that share the instance; all are busy.
        thread_percent: Limit on the active threads of these processes together, in percent of the
            instance's threads.
        like_items: Number of the similar model's items that need as much work as one request, for
            example in operations.

    Raises:
        UnknownNameError: A name is not known.
        ValueError: The batch or the number of processes is beyond what was measured.
    """
    known = mig.profiles(board)
    pick(f"profile of {board}", profile, known)
    slices = known[profile].compute_fraction * REFERENCE_SLICES
    if slices < 1:
        raise ValueError(f"{profile} is less than the seventh of a card that was measured")
    _check_items(like, like_items, 1)
    alone_s, basis = _on_slices(like, REFERENCE_SLICES, _items(like_items, 1), 1)
    factors, bases = [], [basis]
    for batch in range(1, max_batch + 1):
        items = _items(like_items, batch)
        cut = known[profile].compute_slices
        there = gpu_latency.measured_elsewhere(board, like, cut, items, processes)
        if there is None:
            _check_items(like, like_items, batch)
            seconds, basis = _on_slices(like, slices, items, processes)
            ratio = boards.latency_ratio(board, benchmark, items)
            there = seconds * ratio.value
            bases += [basis, ratio.basis]
        if thread_percent < 100:
            factor, basis = _thread_factor(like, items, thread_percent)
            there *= factor
            bases.append(basis)
        factors.append(there / alone_s)
    return BatchTimes(tuple(factors), worst(*bases))


@table_cache
def fixed_share(
    like: str,
    benchmark: str,
    board: str,
    profile: str,
    processes: int = 1,
    thread_percent: int = 100,
    like_items: float = 1.0,
) -> float:
    """Return the share of a request's time on an instance that does not scale with its size.

    This is the time to launch work. A request of twice the size is assumed to take as long as two
    requests at once, for which `gpu_batch_times` has the time, and other sizes are assumed to lie
    on the straight line through these two. The share is 0 if two requests at once are beyond what
    was measured. The arguments are those of `gpu_batch_times`.

    For all models on 1, 2, 3, 4 and 7 slices, and requests of 4, 8 and 16 items, this predicts the
    times at 1/4, 1/2 and 4 times the size, which it does not use, with a median error of 7.4 %.
    Times in proportion to size err by 38 %.

    Raises:
        ValueError: One request alone is beyond what was measured, or a name is not known.
    """
    of = like, benchmark, board, profile
    gpu_batch_times(*of, 1, processes, thread_percent, like_items)
    try:
        one, two = gpu_batch_times(*of, 2, processes, thread_percent, like_items).factors
    except ValueError:
        return 0.0
    return min(1.0, max(0.0, 2 - two / one))


def _thread_factor(like: str, items: int, percent: int) -> tuple[float, Basis]:
    """Return the slowdown by a thread limit, or other models' mean if it was not measured."""
    measured = mps.thread_models()
    if like in measured:
        limited = mps.thread_latency_factor(like, items, percent)
        return limited.value, worst("scaled", limited.basis)  # measured on a V100
    from scipy.stats import gmean  # noqa: PLC0415 -- takes long to import

    factors = [mps.thread_latency_factor(each, items, percent) for each in measured]
    mean = float(gmean([each.value for each in factors]))
    return mean, worst("assumed", *(each.basis for each in factors))


@table_cache
def memory_utilisation(like: str, thread_percent: int = 100, like_items: float = 1.0) -> float:
    """Return the share of a GPU's memory bandwidth that a busy process uses.

    A process with fewer threads reads the same amount in a longer time. Utilisation was measured at
    one batch size, and is assumed to be the same at all batch sizes.

    Args:
        like: Model of table ``gpu_latency``. If its utilisation was not measured, that of a model
            of its family is assumed, or else the mean of all models.
        thread_percent: Limit on the active threads of the process, in percent.
        like_items: As for `gpu_batch_times`.
    """
    measured, stand_in = mps.utilisation_models(), mps.UTILISATION_OF.get(like, like)
    if stand_in in measured:
        full = mps.memory_utilisation(stand_in)
    else:
        full = math.fsum(map(mps.memory_utilisation, measured)) / len(measured)
    if thread_percent == 100:
        return full
    return full / _thread_factor(like, _items(like_items, 1), thread_percent)[0]


def accelerator_time(board: str, benchmark: str, like_items: float = 1.0) -> BatchTimes:
    """Return the time of a request that runs alone on a device's accelerator.

    Args:
        board: The accelerator, as `hardware_models.gpu.boards` names it.
        benchmark: Benchmark by which boards are compared.
        like_items: As for `gpu_batch_times`.

    Raises:
        UnknownNameError: A name is not known.
    """
    ratio = boards.latency_ratio(board, benchmark, _items(like_items, 1))
    return BatchTimes((ratio.value,), ratio.basis)


def _items(like_items: float, batch: int) -> int:
    return max(1, round(like_items * batch))


def _check_items(like: str, like_items: float, batch: int) -> None:
    """Raise ValueError if a batch corresponds to more items than the largest measured batch."""
    items, most = _items(like_items, batch), gpu_latency.largest_batch()
    if items > most:
        weigh = f"{batch} requests at once weigh" if batch > 1 else "a request weighs"
        raise ValueError(
            f"{weigh} as much as a batch of {items} of {like}; batches were measured up to {most}"
        )


def _on_slices(like: str, slices: float, batch: int, processes: int) -> tuple[float, Basis]:
    """Return the latency on ``slices`` sevenths of a card, and its basis."""
    measured = range(1, REFERENCE_SLICES + 1)
    if slices in measured:
        latency = gpu_latency.batch_latency(like, int(slices), batch, processes)
        return latency.seconds, latency.basis
    at = [gpu_latency.batch_latency(like, each, batch, processes) for each in measured]
    logs = [math.log(each.seconds) for each in at]
    between = (each for each, count in zip(at, measured, strict=True) if abs(count - slices) < 1)
    seconds = math.exp(np.interp(math.log(slices), np.log([*measured]), logs))
    return seconds, worst("assumed", *(each.basis for each in between))


def _checked_speed(relative_speed: float) -> float:
    if not (math.isfinite(relative_speed) and relative_speed > 0):
        raise ValueError(
            f"relative_speed is {relative_speed!r}: give a positive multiple of the "
            f"Raspberry Pi 4 CPU"
        )
    return relative_speed


@table_cache
def cpu_latency_factor(relative_speed: float) -> float:
    """Return the ratio of a time on another CPU to that on the reference CPU.

    Args:
        relative_speed: Speed of the other CPU, in multiples of the Raspberry Pi 4 CPU.

    Raises:
        ValueError: The speed is not a positive finite number.
    """
    return reference_cpu_speed() / _checked_speed(relative_speed)


@table_cache
def reference_cpu_speed() -> float:
    """Speed of the reference CPU, in multiples of the Raspberry Pi 4 CPU."""
    row = required_row("compute_ratios", quantity="reference_cpu_relative_speed")
    return float(row["value"])


@table_cache
def network_on_cpu_factor(device_ratio: float, relative_speed: float) -> Ratio:
    """Return the ratio of a time on a device's CPU to that on the reference GPU.

    Large networks are assumed to gain as much from faster CPUs as the small networks of the ncnn
    list do.

    Args:
        device_ratio: Ratio of the time on a Raspberry Pi 5 CPU to that on the reference GPU.
        relative_speed: Speed of the CPU, in multiples of the Raspberry Pi 4 CPU.

    Raises:
        ValueError: The speed is not a positive finite number.
    """
    pi = devices.device("Raspberry Pi 5").relative_speed
    return Ratio(device_ratio * pi / _checked_speed(relative_speed), "assumed")
