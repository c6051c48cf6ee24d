"""What profiling and telemetry have shown of a query, and the plans offered for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planners.common.arrays import Floats, Integers, Singles
from planners.compass.state.pools import Market, Uses

if TYPE_CHECKING:  # Profilers read records, which hold what is defined here.
    from planners.compass.profiling.profiler import Belief


ACCURACY, VARIANCE, VERDICT, COUNT, TOTAL_S, TIME_CV = range(6)
"""Columns of `rows_of`. The verdict is 1 or 0, and NaN for None."""
NORMALISED = slice(6, 8)
OPERATOR_TIME_S = slice(8, None)


@dataclass(frozen=True)
class ProfiledConfig:
    """What profiling has shown of one configuration of a query; N operators."""

    accuracy: float  # estimated mean
    variance: float  # of that estimate
    verdict: bool | None  # whether the floor is met by the test; None if undecided
    count: int  # items measured
    operator_time_s: Floats  # mean times on profiling hardware, (N,)
    time_cv: float  # coefficient of variation of their sum between items
    normalised: tuple[float, float]  # see ``Measurement.normalised``
    confirmed: bool = False  # nothing more to learn of accuracy; see ``Search.confirm``

    @cached_property
    def row(self) -> Floats:
        """A row of `rows_of`, cached since every search of the query reads it."""
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
    """Return the profiles of m configurations as numbers, shape (m, 8 + N)."""
    rows = np.array([seen.row for seen in shown], dtype=np.float64)
    return rows.reshape(-1, OPERATOR_TIME_S.start + operators)


@dataclass(frozen=True)
class Slowness:
    """Observed over predicted latency of a query's plans; 1 until telemetry says otherwise."""

    device: float = 1.0  # computation on its device
    links: float = 1.0  # messages on links
    elsewhere: float = 1.0  # computation on servers, waits included
    device_known: bool = False  # telemetry has shown the device's speed


@dataclass(frozen=True)
class Offer:
    """A plan that is believed to meet a query's SLO, or to come nearest."""

    number: int  # of the plan in the query's view
    configuration: int
    latency_s: float  # quantile under the load planned for
    accuracy: float  # mean
    usd_per_hour: float  # list price and egress
    uses: Uses
    demand: Floats  # units of each pool charged to the query, (R,)
    feasible: bool  # believed to meet every part of the SLO
    probability: float = 1.0  # that it does, given accuracy and device

    def loss(self, market: Market) -> float:
        """Return what it costs; see `Market.loss`."""
        return market.loss(float(self.demand @ market.prices), self.probability)


@dataclass(frozen=True, slots=True)
class History:
    """The final beliefs of one query's surrogates; C configurations, N operators."""

    dataset: str
    content: Floats  # mean of its items' features, (F,)
    accuracy: Singles  # mean accuracy, (C,)
    log_time: Singles  # log of operator time on profiling hardware in s, (C, N)
    measured: int  # number of configurations profiled


@dataclass(frozen=True)
class SearchState:
    """What the search for one query knows."""

    profiled: Mapping[int, ProfiledConfig] = field(default_factory=dict)  # by configuration index
    spent_s: float = 0.0  # planning seconds charged to searches and confirmation
    exhausted: bool = False  # further search is not worth it, or has no budget left
    matured: bool = False  # its own models have replaced histories
    kept: bool = False  # ``history`` covers all that was profiled, of the present content
    slowness: Slowness = Slowness()
    offers: Sequence[Offer] = ()  # least loss first; infeasible ones only if all are
    history: History | None = None  # None before the first profiling

    @property
    def items(self) -> int:
        """Items measured, over all configurations."""
        return sum(seen.count for seen in self.profiled.values())


class Candidates(NamedTuple):
    """Plans that could serve a query, k of them; see `Offer` and `Uses`."""

    configuration: Integers  # (k,)
    number: Integers  # (k,)
    probability: Floats  # of meeting the SLO, (k,)
    station: Integers  # (k, N)
    operator_key: Integers  # (k, N)
    filled: Floats  # (k, N)
    backhaul: Floats  # (k,)
