"""What is known of a query: what profiling and telemetry have shown, and plans offered for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from planners.compass.state.pools import Market, Uses

if TYPE_CHECKING:  # Profilers read records, which hold what is defined here.
    from planners.compass.profiling.profiler import Belief

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Singles = NDArray[np.float32]

ACCURACY, VARIANCE, VERDICT, COUNT, TOTAL_S, TIME_CV = range(6)
"""Columns of `rows_of`. The verdict is 1 or 0, and NaN for None."""
NORMALISED = slice(6, 8)
OPERATOR_TIME_S = slice(8, None)


@dataclass(frozen=True)
class ProfiledConfig:
    """What profiling has shown of one configuration of a query; N operators.

    Args:
        accuracy: estimated mean accuracy.
        variance: variance of that estimate.
        verdict: whether the test decided that the floor is met, or missed; None if it could not.
        count: items measured.
        operator_time_s: mean time of each on profiling hardware in seconds, shape (N,).
        time_cv: coefficient of variation of their sum between items.
        normalised: see ``Measurement.normalised``.
        confirmed: whether nothing more is to be learned of its accuracy; see ``Search.confirm``.
    """

    accuracy: float
    variance: float
    verdict: bool | None
    count: int
    operator_time_s: Floats
    time_cv: float
    normalised: tuple[float, float]
    confirmed: bool = False

    @cached_property
    def row(self) -> Floats:
        """A row of `rows_of`; every search of the query asks for it."""
        times_s = self.operator_time_s.tolist()
        verdict = nan if self.verdict is None else float(self.verdict)
        known = self.accuracy, self.variance, verdict, self.count, sum(times_s), self.time_cv
        return np.array([*known, *self.normalised, *times_s])

    @classmethod
    def of(cls, belief: "Belief", confirmed: bool = False) -> "ProfiledConfig":
        """Return what a profiler has shown."""
        measured = belief.estimate.measurement
        return cls(
            belief.accuracy,
            belief.variance,
            belief.verdict,
            belief.count,
            measured.operator_mean_s,
            measured.time_cv,
            measured.normalised,
            confirmed,
        )


def rows_of(shown: Iterable[ProfiledConfig], operators: int) -> Floats:
    """Return what was shown of m configurations as numbers, shape (m, 8 + N)."""
    rows = np.array([seen.row for seen in shown], dtype=np.float64)
    return rows.reshape(-1, OPERATOR_TIME_S.start + operators)


@dataclass(frozen=True)
class Slowness:
    """Observed over predicted latency of a query's plans; 1 until telemetry says otherwise.

    Args:
        device: of what runs on its device.
        links: of messages on links.
        elsewhere: of what runs on servers, waits included.
        device_known: whether telemetry has shown the device's speed.
    """

    device: float = 1.0
    links: float = 1.0
    elsewhere: float = 1.0
    device_known: bool = False


@dataclass(frozen=True)
class Offer:
    """A plan that is believed to meet a query's SLO, or to come nearest.

    Args:
        number: its number in the query's view.
        configuration: index of its configuration.
        latency_s: believed quantile of latency under the load that was planned for.
        accuracy: believed mean accuracy.
        usd_per_hour: list price and egress.
        uses: the stations that it would use.
        demand: what the query is held to take of the pools, shape (R,).
        feasible: whether it is believed to meet every part of the SLO.
        probability: how likely it is to, by what is known of accuracy and of the device.
    """

    number: int
    configuration: int
    latency_s: float
    accuracy: float
    usd_per_hour: float
    uses: Uses
    demand: Floats
    feasible: bool
    probability: float = 1.0

    def loss(self, market: Market) -> float:
        """Return what it costs; see `Market.loss`."""
        return market.loss(float(self.demand @ market.prices), self.probability)


@dataclass(frozen=True, slots=True)
class History:
    """What the surrogates of one query believed in the end; C configurations, N operators.

    Args:
        dataset: its data set.
        content: mean of the features of its items, shape (F,).
        accuracy: believed mean accuracy, shape (C,).
        log_time: believed logarithm of each operator's time on profiling hardware in seconds,
            shape (C, N).
        measured: configurations that were profiled.
    """

    dataset: str
    content: Floats
    accuracy: Singles
    log_time: Singles
    measured: int


@dataclass(frozen=True)
class SearchState:
    """What the search for one query knows.

    Args:
        profiled: results of profiling, by index of the configuration.
        spent_s: planning seconds that its searches were charged, and confirming what they found.
        exhausted: whether going on is not worth it: nothing promises more, or a search has used up
            all that it had.
        matured: whether its own models have taken over from histories.
        kept: whether ``history`` is of all that was profiled, and of the present content.
        slowness: what telemetry has shown.
        offers: the plans worth deploying, those of least loss first; infeasible ones only if all
            are.
        history: what surrogates made of what was profiled; None before the first profiling.
    """

    profiled: Mapping[int, ProfiledConfig] = field(default_factory=dict)
    spent_s: float = 0.0
    exhausted: bool = False
    matured: bool = False
    kept: bool = False
    slowness: Slowness = Slowness()
    offers: Sequence[Offer] = ()
    history: History | None = None

    @property
    def items(self) -> int:
        """How many items were measured, of all configurations together."""
        return sum(seen.count for seen in self.profiled.values())


class Candidates(NamedTuple):
    """Plans that a query could be served by, k of them.

    Args:
        configuration: index of the configuration of each, shape (k,).
        number: their numbers in the query's view, shape (k,).
        probability: how likely they are to meet the SLO, shape (k,).
        station: kinds of their operators' stations, -1 on the device, shape (k, N).
        operator_key: numbers of their operators' knob values, shape (k, N).
        filled: share of each station that the query would fill, shape (k, N).
        backhaul: share of time that they keep the backhaul busy, shape (k,).
    """

    configuration: Integers
    number: Integers
    probability: Floats
    station: Integers
    operator_key: Integers
    filled: Floats
    backhaul: Floats
