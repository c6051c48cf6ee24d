"""Measures an operator on this machine: batch latencies as rows of a table.

The latency in a row is the median of the timed batches, because latencies have a long right tail.
Its interval lies between two order statistics and assumes no distribution (David and Nagaraja,
Order Statistics, 3rd ed., Wiley 2003, section 7.1).
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from math import fsum
from multiprocessing import get_context
from threading import BrokenBarrierError
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hardware_models.errors import did_you_mean
from lab.common.errors import InputError, one_line
from lab.common.named_modules import import_named
from lab.common.orphans import end_with

BATCH = "{batch}"
NS_PER_MS = 1e6
Run = Callable[[int], object]


@dataclass(frozen=True)
class Subject:
    """The measured operator: a Python callable or a command."""

    # `"callable"`: the text is `package.module:function`, a function that takes the batch size and
    # blocks until the batch is done. `"command"`: the text is a command line, run without a shell,
    # with `{batch}` for the batch size; its start-up is timed too.
    kind: str
    text: str

    def __str__(self) -> str:
        return f"--{self.kind}={self.text}"

    def load(self) -> Run:
        """Return the function that runs one batch; raise InputError if it does not exist."""
        if self.kind == "command":
            return partial(_run, self)
        module, colon, name = self.text.partition(":")
        if not (module and colon and name):
            raise InputError(f"{self}: must have the form package.module:function")
        try:
            owner = import_named(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # A module can end its process, as scripts do.
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise InputError(f"{self}: {module} cannot be imported ({reason})") from None
        found = getattr(owner, name, None)
        if not callable(found):
            known = [name for name, value in vars(owner).items() if callable(value)]
            raise InputError(f"{self}: {module} has no such callable{did_you_mean(name, known)}")
        run: Run = found
        return run


@dataclass(frozen=True)
class Protocol:
    """How batches are timed."""

    warmup: int = 3  # untimed batches at the start of each process
    repeats: int = 10  # timed batches of each process
    processes: int = 1  # number of processes that run the operator simultaneously
    confidence: float = 0.95  # confidence of the median's interval

    def __post_init__(self) -> None:
        for name, least in (("warmup", 0), ("repeats", 1), ("processes", 1)):
            if getattr(self, name) < least:
                raise InputError(f"--{name}={getattr(self, name)}: must be at least {least}")
        if not 0 < self.confidence < 1:
            raise InputError(f"--confidence={self.confidence}: must lie between 0 and 1")
        needed = int(np.ceil(1 - np.log2(1 - self.confidence)))
        if self.repeats * self.processes < needed:
            least = -(-needed // self.processes)
            raise InputError(
                f"--repeats={self.repeats}: too few for an interval with confidence "
                f"{self.confidence:g}; use at least {least}"
            )


@dataclass(frozen=True)
class Timing:
    """The latency of a batch in ms: the median and its interval, the mean and the extremes."""

    batch: int
    median_ms: float
    low_ms: float
    high_ms: float
    mean_ms: float
    least_ms: float
    most_ms: float
    timed: int


def measure(operator: Subject, batches: Sequence[int], protocol: Protocol) -> list[Timing]:
    """Time an operator at each batch size, in parallel processes; raise InputError if it fails."""
    if operator.kind == "command" and BATCH not in operator.text and {*batches} != {1}:
        raise InputError(f"{operator}: must contain {BATCH} in place of the batch size")
    timed = _timed_together if protocol.processes > 1 else partial(_timed, operator.load())
    return [_timing(batch, timed(operator, batch, protocol), protocol) for batch in batches]


def median_interval(samples: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return an interval of the median of n samples; raise ValueError if n is too small."""
    from scipy.stats import quantile_test

    values = np.asarray(samples, dtype=float)
    # SciPy requires strictly more than the confidence, but two samples reach exactly 0.5.
    interval = quantile_test(values).confidence_interval(confidence - 1e-12)
    if not np.isfinite([interval.low, interval.high]).all():
        raise ValueError(f"{len(values)} samples are too few for a confidence of {confidence:g}")
    return float(interval.low), float(interval.high)


def _timing(batch: int, samples_ns: Sequence[int], protocol: Protocol) -> Timing:
    ms = np.asarray(samples_ns) / NS_PER_MS
    low, high = median_interval(ms, protocol.confidence)
    median, least, most = map(float, (np.median(ms), ms.min(), ms.max()))
    return Timing(batch, median, low, high, fsum(ms) / len(ms), least, most, len(ms))


def _run(operator: Subject, batch: int) -> None:
    words = [word.replace(BATCH, str(batch)) for word in shlex.split(operator.text)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"{operator}: cannot be run ({error.strerror})") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
        raise InputError(
            f"{operator}: ended with status {done.returncode} at batch {batch}: {last}"
        )


def _once(operator: Subject, run: Run, batch: int) -> int:
    start = perf_counter_ns()
    try:
        run(batch)
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # The operator can call exit(), for example.
        what = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"{operator}: failed at batch {batch} ({what})") from None
    return perf_counter_ns() - start


def _timed(run: Run, operator: Subject, batch: int, protocol: Protocol) -> list[int]:
    for _ in range(protocol.warmup):
        _once(operator, run, batch)
    return [_once(operator, run, batch) for _ in range(protocol.repeats)]


_together: Any = None


def _join(parent: int, path: list[str], barrier: Any, at_work: Any) -> None:
    """Store the objects that a new process shares with the other processes."""
    end_with(parent)
    global _together  # noqa: PLW0603  # The only way to pass a barrier to a pool's processes.
    sys.path[:] = path
    _together = barrier, at_work


def _timed_among_others(operator: Subject, batch: int, protocol: Protocol) -> list[int] | str:
    """Time batches while other processes do the same; return a message on failure."""
    barrier, at_work = _together
    try:
        run = operator.load()
        for _ in range(protocol.warmup):
            _once(operator, run, batch)
        barrier.wait()
        samples = [_once(operator, run, batch) for _ in range(protocol.repeats)]
        with at_work.get_lock():
            at_work.value -= 1
        # Keep the machine busy until the others have timed their last batches.
        while at_work.value and not barrier.broken:
            _once(operator, run, batch)
    except InputError as error:
        barrier.abort()
        return str(error)
    except BrokenBarrierError:
        return ""
    return samples


def _timed_together(operator: Subject, batch: int, protocol: Protocol) -> list[int]:
    context = get_context("spawn")
    count = protocol.processes
    shared = context.Barrier(count), context.Value("i", count)
    try:
        with ProcessPoolExecutor(count, context, _join, (os.getpid(), sys.path, *shared)) as pool:
            work = [
                pool.submit(_timed_among_others, operator, batch, protocol) for _ in range(count)
            ]
            results = [one.result() for one in work]
    except BrokenProcessPool:
        raise InputError(f"{operator}: a process was killed at batch {batch}") from None
    failures = [one for one in results if isinstance(one, str)]
    if failures:
        raise InputError(max(failures, key=len))
    return [sample for one in results for sample in one if isinstance(sample, int)]
