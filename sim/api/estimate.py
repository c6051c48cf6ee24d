"""Profiling results: measurements of configurations, and estimates of plans based on them."""

from dataclasses import dataclass
from functools import cached_property
from math import nan, sqrt

import numpy as np

from scenarios.applications.pipeline import Configuration
from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints
from scenarios.numerics.sums import moments, total
from scenarios.slo import SLO
from sim.api.prediction import DagPath


@dataclass(frozen=True)
class Measurement:
    """The results of profiling one configuration, with N operators, on n items.

    Args:
        configuration: the configuration.
        items: numbers of the items in ascending order, of shape (n,).
        accuracy: accuracy on each item, of shape (n,).
        operator_time_s: each operator's time on each item on profiling hardware, of shape (n, N).
        size: size of each item relative to the mean, of shape (n,).
        allowance: factor by which the latency bound is multiplied for each item, of shape (n,).
    """

    configuration: Configuration
    items: Ints
    accuracy: Floats
    operator_time_s: Floats
    size: Floats
    allowance: Floats

    @property
    def count(self) -> int:
        """Number of items measured."""
        return len(self.accuracy)

    @property
    def accuracy_mean(self) -> float:
        """Mean accuracy over the items; nan if no item was measured."""
        return self._accuracy_moments[0]

    @property
    def accuracy_variance(self) -> float:
        """Sample variance of accuracy between items; nan if fewer than two items were measured."""
        return self._accuracy_moments[1]

    @property
    def operator_mean_s(self) -> Floats:
        """Mean time of each operator, of shape (N,)."""
        return self._time_moments[0]

    @property
    def time_cv(self) -> float:
        """Coefficient of variation of the items' total times divided by their allowances."""
        return self._time_moments[1] if self.count else 0.0

    @property
    def normalised(self) -> tuple[float, float]:
        """Factors by which dividing by allowances changes the mean total time and a constant.

        Both are 1 unless the application states latency per output length.
        """
        return self._time_moments[2:] if self.count else (1.0, 1.0)

    @cached_property
    def _accuracy_moments(self) -> tuple[float, float]:
        return moments(self.accuracy, 1)

    @cached_property
    def _time_moments(self) -> tuple[Floats, float, float, float]:
        found = _time_moments(self.operator_time_s, self.allowance)
        found[0].setflags(write=False)
        return found


@compiled
def _time_moments(times_s: Floats, allowance: Floats) -> tuple[Floats, float, float, float]:
    """Return mean operator times, ``time_cv`` and ``normalised``, from times of shape (n, N)."""
    count, operators = times_s.shape
    means, totals = np.zeros(operators), np.empty(count)
    for item in range(count):
        means += times_s[item]
        totals[item] = total(times_s[item])
    whole = total(totals)
    if operators == 1:
        means[0] = whole  # NumPy sums a single column in the order of a row.
    means /= count
    mean, variance = moments(totals / allowance, 0)
    return (means, sqrt(variance) / mean, mean / (whole / count), total(1 / allowance) / count)


@dataclass(frozen=True)
class Estimate:
    """An estimate, without queueing, of a plan or of a configuration alone from profiling results.

    Args:
        measurement: the measurement of the configuration.
        prefix_reused: number of leading operators whose earlier results were reused.
        latency_quantile: the SLO's quantile, from 0 to 1.
        latency_factors: each operator's time under the plan divided by its time on profiling
            hardware, of shape (N,); None for a configuration alone.
        fixed_s: the plan's propagation delays plus its longest waits for full batches, in seconds.
        transfer_s: nominal transmission time of all messages of a request of mean size, in seconds.
        cost_usd_per_hour: list price of the plan plus egress; None for a configuration alone.
        ways: the paths through the operators, if there is more than one.
    """

    measurement: Measurement
    prefix_reused: int = 0
    latency_quantile: float = 0.95
    latency_factors: tuple[float, ...] | None = None
    fixed_s: float = 0.0
    transfer_s: float = 0.0
    cost_usd_per_hour: float | None = None
    ways: tuple[DagPath, ...] = ()

    @property
    def count(self) -> int:
        """Number of items on which the estimate is based."""
        return self.measurement.count

    @property
    def accuracy_mean(self) -> float:
        """Mean accuracy over the items; nan if no item was measured."""
        return self.measurement.accuracy_mean

    @property
    def accuracy_variance(self) -> float:
        """Sample variance of accuracy between items."""
        return self.measurement.accuracy_variance

    @cached_property
    def latency_s(self) -> Floats:
        """Latency of each item without queueing, divided by the item's allowance, of shape (n,).

        Where operators fork and join, the latency is that of the item's slowest path.
        """
        if self.latency_factors is None:
            raise ValueError("a configuration alone has no latency; profile a plan")
        factors, size = np.array(self.latency_factors), self.measurement.size
        times_s = self.measurement.operator_time_s
        latency = np.asarray(self.fixed_s + times_s @ factors + self.transfer_s * size)
        if self.ways:
            latency = np.max(
                [
                    way.fixed_s
                    + times_s[:, list(way.operators)] @ factors[list(way.operators)]
                    + (way.access_s + way.backhaul_s) * size
                    for way in self.ways
                ],
                axis=0,
            )
        latency /= self.measurement.allowance
        latency.setflags(write=False)
        return latency

    @property
    def latency_mean_s(self) -> float:
        """Mean latency over the items in seconds; nan if no item was measured."""
        latency_s = self.latency_s
        return float(latency_s.mean()) if len(latency_s) else nan

    @cached_property
    def latency_quantile_s(self) -> float:
        """The SLO's quantile of latency over the items in seconds; nan if no item was measured."""
        latency_s = self.latency_s
        return float(np.quantile(latency_s, self.latency_quantile)) if len(latency_s) else nan

    def accurate_enough(self, slo: SLO) -> bool:
        """Return whether the estimate meets the accuracy floor; False if nothing was measured."""
        return self.count > 0 and (slo.accuracy is None or self.accuracy_mean >= slo.accuracy)

    def meets(self, slo: SLO) -> bool:
        """Return whether the estimate meets all parts of the SLO; False if nothing was measured."""
        if not self.accurate_enough(slo):
            return False
        if self.latency_factors is None:
            return True
        cost = self.cost_usd_per_hour
        if slo.cost_usd_per_hour is not None and cost is not None and cost > slo.cost_usd_per_hour:
            return False
        return slo.latency_s is None or self.latency_quantile_s <= slo.latency_s
