"""The machine's noise while something is observed: stolen time, frequency, load, and a probe."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from math import fsum
from pathlib import Path
from time import monotonic
from typing import Any

import polars as pl

EVERY_S = 1.0
PROBE_STEPS = 60
CHUNK = bytes(64 * 1024)
PROC = Path("/proc")
SCHEMA = {
    "t_s": pl.Float64,
    "steal_share": pl.Float64,
    "busy_share": pl.Float64,
    "frequency_hz": pl.Float64,
    "load_1min": pl.Float64,
    "probe_s": pl.Float64,
}
"""Columns: seconds since the first scheduled request; the share of the time of all cores since the
row before that another guest of the host took (steal), and that any process used (busy); mean
frequency of the cores; the load average; the time of a fixed computation on one thread. What the
system does not tell is null."""


def probe_s() -> float:
    """Return how long a fixed computation takes now: some milliseconds, longer if disturbed."""
    before = monotonic()
    for _ in range(PROBE_STEPS):
        sha256(CHUNK)  # This releases Python's lock, so that the client goes on sending.
    return monotonic() - before


def core_times(stat: str) -> tuple[float, float, float] | None:
    """Return the steal, busy and total time of all cores, from the text of ``/proc/stat``.

    The fields are user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user
    time (man 5 proc).
    """
    found = re.match(r"cpu +((?:\d+ ?)+)", stat)
    fields = [int(one) for one in found[1].split()] if found else []
    if len(fields) < 8:
        return None
    user, nice, system, idle, waiting, irq, soft, steal = fields[:8]
    busy = user + nice + system + irq + soft
    return steal, busy, busy + idle + waiting + steal


def frequency_hz(cpuinfo: str) -> float | None:
    """Return the mean frequency of the cores from ``/proc/cpuinfo``; None if unknown."""
    found = [float(one) for one in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", cpuinfo, re.MULTILINE)]
    return fsum(found) / len(found) * 1e6 if found else None


class NoiseRecorder:
    """Writes down the machine's noise once a second, in a thread of its own."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    @contextmanager
    def during(self, start_s: float) -> Iterator[None]:
        """Record while the body runs; `start_s` is the zero of ``t_s`` on the monotonic clock."""
        ended = threading.Event()
        thread = threading.Thread(target=self._record, args=(start_s, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def frame(self) -> pl.DataFrame:
        """Return the rows so far, with the columns of `SCHEMA`."""
        return pl.DataFrame(self._rows, SCHEMA)

    def _record(self, start_s: float, ended: threading.Event) -> None:
        before, due = core_times(_text("stat")), monotonic()
        while not ended.wait(max(0.0, (due := due + EVERY_S) - monotonic())):
            now = core_times(_text("stat"))
            steal = busy = None
            if before and now and now[2] > before[2]:
                steal, busy = ((now[at] - before[at]) / (now[2] - before[2]) for at in (0, 1))
            load = None
            with suppress(OSError, AttributeError):
                load = os.getloadavg()[0]
            row = (monotonic() - start_s, steal, busy, frequency_hz(_text("cpuinfo")), load)
            self._rows.append(dict(zip(SCHEMA, (*row, probe_s()), strict=True)))
            before = now


def _text(name: str) -> str:
    try:
        return (PROC / name).read_text()
    except OSError:
        return ""
