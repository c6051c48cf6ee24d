"""Recorded links, whose capacity over time is replayed in a loop from a random start."""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from os.path import isfile
from pathlib import Path

import numpy as np

from hardware_models.data_files import content
from hardware_models.errors import pick
from scenarios.numerics import Floats

PACKET_BITS = 1500 * 8
"""Bits per line of a Mahimahi trace, which is a packet of 1500 bytes (README of the traces)."""

HEADER = ("time_s", "rate_bps")
"""The optional header of a CSV file; other names are rejected, as they may mean other units."""

MOST_RTT_S = 5.0
"""The longest allowed round trip of a link; a longer one is probably given in another unit."""

LEAST_BPS = 8.0
"""Lower capacities are raised to one byte per second, so that no message waits forever."""

MOST_BPS = 1e15
"""The largest allowed capacity, a petabit per second: about a thousand times that of the fastest
real links, and small enough for 64-bit byte counts.
"""

MOST_S = 86_400
"""The longest allowed trace, a day; times of a longer one are probably in another unit."""

SHIPPED, GENERATED = Path(str(files("scenarios").joinpath("traces"))), "generated_"
"""The directory of shipped traces, and how the names of those of links begin."""

_MS_PER_S = 1000


def shipped_trace(name: str) -> Path | None:
    """Return the file of a link that is shipped, such as ``generated_4g_uplink``, or None."""
    path = SHIPPED / f"{name}.csv"
    return path if name.startswith(GENERATED) and path.is_file() else None


def _lines(path: str | Path) -> list[tuple[int, str]]:
    """Return the non-blank lines of a file, with their line numbers from 1."""
    path = shipped_trace(str(path)) or path
    if not isfile(path):
        raise ValueError(f"{path}: no such file; name a trace of a link")
    try:
        text = content(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not readable as text ({error})") from None
    return [(at, line) for at, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_rtt(key: str, rtt_s: float) -> None:
    """Check a round trip in seconds; the error message names ``key``.

    Raises:
        ValueError: it is negative, or so long that it is probably in milliseconds.
    """
    if not (math.isfinite(rtt_s) and rtt_s >= 0):
        raise ValueError(f"{key}={rtt_s}: must be 0 s or more")
    if rtt_s > MOST_RTT_S:
        meant = f"; did you mean {rtt_s / _MS_PER_S:g}?" if rtt_s <= MOST_RTT_S * _MS_PER_S else ""
        raise ValueError(f"{key}={rtt_s}: must be {MOST_RTT_S:g} s or less{meant}")


def load_rate_csv(path: str | Path) -> tuple[Floats, Floats]:
    """Read a CSV file of times in seconds and rates in bits per second.

    The first line is optionally the header ``time_s,rate_bps``.

    Returns:
        Ascending times and rates, each of shape (n,). A rate is valid until the next time.

    Raises:
        ValueError: the file or one of its lines is invalid; the message names file and line.
    """
    times: list[float] = []
    rates: list[float] = []
    lines = _lines(path)
    for index, (number, line) in enumerate(lines):
        try:
            cells = next(csv.reader([line]))
        except csv.Error as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        try:
            time, rate = map(float, cells)
        except ValueError:
            names = tuple(cell.strip().lower() for cell in cells)
            if index == 0 and names == HEADER:
                continue
            if index == 0 and len(names) == 2 and not any(map(_is_number, names)):
                raise ValueError(
                    f"{path}, line {number}: the header is {line.strip()!r} and must be "
                    f"{','.join(HEADER)}, for seconds and bits per second"
                ) from None
            hint = (
                "; a trace of Mahimahi needs format: mahimahi" if line.strip().isdecimal() else ""
            )
            raise ValueError(
                f"{path}, line {number}: {line!r} is no pair time_s,rate_bps of numbers{hint}"
            ) from None
        if not (math.isfinite(time) and math.isfinite(rate) and rate >= 0):
            raise ValueError(
                f"{path}, line {number}: {line!r} must hold a finite time and a rate of 0 or more"
            )
        if rate > MOST_BPS:
            raise ValueError(
                f"{path}, line {number}: rate {rate:g} bit/s must be {MOST_BPS:g} bit/s or less"
            )
        if times and time <= times[-1]:
            raise ValueError(f"{path}, line {number}: time {time:g} s must be after {times[-1]:g}")
        times.append(time)
        rates.append(rate)
    if len(times) < 2:
        raise ValueError(f"{path}: holds fewer than two lines time_s,rate_bps")
    return np.array(times), np.array(rates)


def load_mahimahi(path: str | Path) -> tuple[Floats, Floats]:
    """Read a Mahimahi trace, in which each line is the time of a packet of 1500 bytes in whole ms.

    Returns:
        The start time of each second, from 0 on, and the capacity in bits per second during it,
        each of shape (n,). If the trace ends within a second, this second has only the packets of
        the part that the trace covers; a trace below one second is repeated within the second.

    Raises:
        ValueError: the file or one of its lines is invalid; the message names file and line.
    """
    stamps: list[int] = []
    for number, line in _lines(path):
        word = line.strip()
        if not word.isdecimal():
            raise ValueError(f"{path}, line {number}: {word!r} is no whole number of milliseconds")
        if stamps and int(word) < stamps[-1]:
            raise ValueError(
                f"{path}, line {number}: time {word} ms must not be before {stamps[-1]}"
            )
        stamps.append(int(word))
    if not stamps or stamps[-1] == 0:
        raise ValueError(f"{path}: holds no time after 0 ms")
    end_ms = stamps[-1]  # as in Mahimahi, the trace ends at its last time and then repeats
    if end_ms > MOST_S * _MS_PER_S:
        raise ValueError(f"{path}: ends at {end_ms} ms, which is more than a day")
    seconds = math.ceil(end_ms / _MS_PER_S)
    # A time on the edge of two seconds belongs to the earlier one, as the end does to the last.
    bins = np.maximum(np.ceil(np.array(stamps) / _MS_PER_S).astype(np.int64) - 1, 0)
    counts = np.bincount(bins, minlength=seconds)
    length_s = min(1.0, end_ms / _MS_PER_S)
    return np.arange(seconds, dtype=np.float64), counts * PACKET_BITS / length_s


FORMATS: dict[str, Callable[[str | Path], tuple[Floats, Floats]]] = {
    "csv": load_rate_csv,
    "mahimahi": load_mahimahi,
}
"""The functions that read a trace, by the name of its format."""


def each_second(times_s: Floats, rates_bps: Floats, from_s: float) -> Floats:
    """Return the mean rate in each whole second from ``from_s`` on, shape (m,).

    A rate is valid until the next time; the last rate is valid for the median step. Ascending times
    and rates have shape (n,), with n at least 2.
    """
    step = float(np.median(np.diff(times_s)))
    edges = np.append(times_s, times_s[-1] + step) - from_s
    bits = np.concatenate([[0.0], np.cumsum(np.diff(edges) * rates_bps)])
    whole = np.arange(max(0, math.floor(edges[-1])) + 1, dtype=np.float64)
    return np.diff(np.interp(whole, edges, bits))


def _load(path: str, form: str) -> tuple[Floats, Floats]:
    """Read a file in the format ``form``; return its times and rates."""
    times, rates = FORMATS[form](path)
    if not rates.any():
        raise ValueError(f"{path}: has a rate of 0 throughout; nothing would ever arrive")
    if times[-1] - times[0] > MOST_S:
        raise ValueError(f"{path}: spans {times[-1] - times[0]:g} s, which is more than a day")
    return times, rates


def _capacity_bps(path: str, form: str, times: Floats, rates: Floats, from_s: float) -> Floats:
    """Return the capacity of one direction in each second from ``from_s`` on."""
    series = rates if form == "mahimahi" else each_second(times, rates, from_s)
    if not series.size:
        since = (
            "" if from_s == times[0] else f" after {from_s:g} s, when the other direction begins"
        )
        raise ValueError(f"{path}: spans less than a second{since}")
    return np.maximum(series, LEAST_BPS)


@dataclass
class LinkTrace:
    """A recorded link, which can take the place of an access technology.

    Args:
        uplink: file with the capacity of the uplink, or name of a shipped trace.
        downlink: file with the capacity of the downlink, or name of a shipped trace.
        format: ``csv`` (time in seconds, bits per second) or ``mahimahi`` (ms of each packet).
        rtt_s: round trip between device and edge site in seconds.
    """

    uplink: str = ""
    downlink: str = ""
    format: str = "csv"
    rtt_s: float = 0.05


@dataclass(frozen=True)
class Recording:
    """A recorded link after reading: its capacity in each second, and its nominal values.

    Args:
        uplink: uplink capacity in each second, in bits per second, shape (n,).
        downlink: downlink capacity in each second, in bits per second, shape (m,).
        rtt_s: round trip in seconds.
        step_s: median seconds between two recorded values, in the direction in which this median is
            longer.
    """

    uplink: Floats
    downlink: Floats
    rtt_s: float
    step_s: float = 1.0

    @cached_property
    def nominal_uplink_bps(self) -> float:
        """Median capacity in this direction, in bits per second."""
        return float(np.median(self.uplink))

    @cached_property
    def nominal_downlink_bps(self) -> float:
        """Median capacity in this direction, in bits per second."""
        return float(np.median(self.downlink))

    def replay_bps(self, seconds: int, start: float) -> tuple[Floats, Floats]:
        """Replay the recording in a loop; return uplink and downlink capacity by second, in bits/s.

        Both directions start at the same second, which lies at the fraction ``start`` of the longer
        recording, in [0, 1). Both results have the shape (seconds,).
        """
        first = int(start * max(len(self.uplink), len(self.downlink)))
        at = np.arange(first, first + seconds)
        return self.uplink[at % len(self.uplink)], self.downlink[at % len(self.downlink)]


def recording(trace: LinkTrace) -> Recording:
    """Read the files of a recorded link.

    Raises:
        ValueError: the format is unknown, the round trip is invalid, or a file is invalid.
    """
    pick("format", trace.format, FORMATS)
    check_rtt("rtt_s", trace.rtt_s)
    for direction in ("uplink", "downlink"):
        if not getattr(trace, direction):
            raise ValueError(f"{direction} is missing; name the file of a trace for each direction")
    files = trace.uplink, trace.downlink
    read = [_load(path, trace.format) for path in files]
    # Both directions have the same clock, but one recording can be longer.
    from_s = max(float(times[0]) for times, _ in read)
    uplink, downlink = (
        _capacity_bps(path, trace.format, *each, from_s)
        for path, each in zip(files, read, strict=True)
    )
    steps_s = [float(np.median(np.diff(times))) if len(times) > 1 else 1.0 for times, _ in read]
    return Recording(uplink, downlink, trace.rtt_s, max(steps_s))
