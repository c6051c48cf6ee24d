"""Arrival times of queries: a Poisson process, or the replay of a trace."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.resources import as_file, files
from os.path import isfile

import numpy as np
import polars as pl

from hardware_models.data_files import content
from hardware_models.tables import FIRST_ROW_LINE
from scenarios.numerics import Floats

SHIPPED_TRACES = ("azure_llm_2023_code", "azure_llm_2023_conversation")
TIME_COLUMNS = ("arrival_s", "TIMESTAMP")


class ArrivalProcess(ABC):
    """Base class of the sources of arrival times; a new source is a subclass."""

    @abstractmethod
    def times_s(self, rate: float, horizon_s: float, rng: np.random.Generator) -> Floats:
        """Return all arrival times in [0, horizon_s), in seconds and increasing order.

        Args:
            rate: mean arrivals per second.
            horizon_s: end of the simulation in seconds.
            rng: the random stream of this process.
        """


@dataclass(frozen=True)
class Poisson(ArrivalProcess):
    """Independent arrivals at a constant rate."""

    def times_s(self, rate: float, horizon_s: float, rng: np.random.Generator) -> Floats:
        """Return random arrival times, shape (n,)."""
        if rate == 0:
            return np.empty(0)
        times: list[Floats] = []
        last = 0.0
        while last < horizon_s:
            block = last + np.cumsum(rng.exponential(1 / rate, size=256))
            times.append(block)
            last = float(block[-1])
        path = np.concatenate(times)
        return path[path < horizon_s]


@dataclass(frozen=True)
class TraceReplay(ArrivalProcess):
    """The arrival times of a trace, scaled so that their mean rate is the requested one.

    Scaling preserves the order and the burstiness of arrivals. If the trace ends before the
    horizon, it is repeated. ``rate_per_s()`` returns the recorded rate.

    Args:
        path: name of a shipped trace, or a CSV file with a column ``arrival_s`` (seconds) or
            ``TIMESTAMP`` (date and time).
    """

    path: str

    def _offsets_s(self) -> Floats:
        """Return the trace's sorted arrival times in seconds after the first, shape (n,).

        Raises:
            ValueError: the file is missing, unreadable, or has no usable column of times.
        """
        complaint = f"workload.arrivals.path={self.path!r}: "
        if self.path in SHIPPED_TRACES:
            with as_file(files("scenarios").joinpath("traces", f"{self.path}.csv")) as shipped:
                frame = pl.read_csv(shipped)
        else:
            if not isfile(self.path):
                raise ValueError(
                    f"{complaint}no such file; give a CSV file with a column "
                    f"{' or '.join(TIME_COLUMNS)}, or one of {', '.join(SHIPPED_TRACES)}"
                )
            try:
                # The format depends on all rows, because many traces begin with whole seconds.
                frame = pl.read_csv(content(self.path), infer_schema_length=None)
            except (pl.exceptions.PolarsError, OSError) as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"{complaint}not readable as CSV ({reason})") from None
        column = next((name for name in TIME_COLUMNS if name in frame.columns), None)
        if column is None:
            raise ValueError(
                f"{complaint}has the columns {', '.join(frame.columns)}; one of "
                f"{', '.join(TIME_COLUMNS)} is needed"
            )
        try:
            if frame.schema[column] == pl.String:
                stamps = frame[column].str.replace("T", " ").str.strip_suffix("Z")
                stamps = stamps.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns")
                times = stamps.cast(pl.Int64).to_numpy() / 1e9
            else:
                times = frame[column].cast(pl.Float64).to_numpy()
        except pl.exceptions.PolarsError:
            raise ValueError(
                f"{complaint}column {column} does not hold times; give seconds or "
                "'YYYY-MM-DD HH:MM:SS.fff'"
            ) from None
        wrong = np.flatnonzero(~np.isfinite(times))
        if wrong.size:
            given = frame[column][int(wrong[0])]
            raise ValueError(
                f"{complaint}row {wrong[0] + FIRST_ROW_LINE} of column {column} is "
                f"{'empty' if given is None else given}; every row needs a time"
            )
        if len(times) < 2 or times.max() == times.min():
            raise ValueError(f"{complaint}needs at least two different times in column {column}")
        return np.sort(times - times.min())

    def rate_per_s(self) -> float:
        """Return the recorded mean arrival rate of the trace per second."""
        return _mean_rate(self._offsets_s())

    def times_s(self, rate: float, horizon_s: float, rng: np.random.Generator) -> Floats:
        """Return the replayed arrival times, shape (n,).

        The replay starts at a random time within the trace, because a short run at a low rate
        covers only a part of it.

        Raises:
            ValueError: the trace cannot be read.
        """
        offsets = self._offsets_s()
        if rate == 0:
            return np.empty(0)
        stretched = offsets * (_mean_rate(offsets) / rate)
        period = len(offsets) / rate
        shifted = np.sort((stretched - rng.random() * period) % period)
        rounds = int(np.ceil(horizon_s / period))
        path = np.concatenate([shifted + i * period for i in range(rounds)])
        return path[path < horizon_s]


def _mean_rate(offsets: Floats) -> float:
    """Return arrivals per second: n - 1 gaps divided by the time from first to last arrival."""
    return float((len(offsets) - 1) / offsets[-1])
