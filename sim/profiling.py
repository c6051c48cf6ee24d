"""Profiling: what planners may measure, with which noise, at which price.

Profiling runs on hardware of its own, a reference core and a whole A100-80GB for each worker,
without queueing. Item i of a query's data is the same item for every planner and configuration: it
has one stratum, one rank in it, one size and length. An operator runs again on an item only if its
own knobs or those upstream differ from all earlier runs on that item (prefix reuse).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scenarios.application import Application, Configuration, Dataset, KnobValue
from scenarios.random_streams import stream
from scenarios.slo import SLO
from sim.plan import Plan

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
ITEMS = 1024


@dataclass(frozen=True)
class Measurement:
    """What profiling one configuration on n items has shown, N operators.

    Args:
        configuration: the configuration.
        accuracy: accuracy on each item, shape (n,).
        operator_time_s: time of each operator on each item on the profiling hardware, shape (n, N).
        size: size of each item over the mean, shape (n,).
        allowance: how many times the latency bound each item may take, shape (n,).
    """

    configuration: Configuration
    accuracy: Floats
    operator_time_s: Floats
    size: Floats
    allowance: Floats

    @property
    def count(self) -> int:
        """Items measured."""
        return len(self.accuracy)

    @cached_property
    def accuracy_mean(self) -> float:
        """Mean accuracy over the items; nan when none was measured."""
        return float(self.accuracy.mean()) if self.count else float("nan")

    @cached_property
    def accuracy_variance(self) -> float:
        """Sample variance of accuracy between items; nan below two items."""
        return float(self.accuracy.var(ddof=1)) if self.count > 1 else float("nan")

    @cached_property
    def operator_mean_s(self) -> Floats:
        """Mean time of each operator, shape (N,)."""
        means = np.asarray(self.operator_time_s.mean(axis=0))
        means.setflags(write=False)
        return means

    @cached_property
    def time_cv(self) -> float:
        """Coefficient of variation of the pipeline's total time over allowance, between items."""
        totals = self.operator_time_s.sum(axis=1) / self.allowance
        return float(totals.std() / totals.mean()) if self.count else 0.0

    @cached_property
    def normalised(self) -> tuple[float, float]:
        """What dividing by allowances does to the mean of the pipeline's time, and of a constant.

        Both are 1 unless the application states latency per output length.
        """
        totals = self.operator_time_s.sum(axis=1)
        if not self.count:
            return 1.0, 1.0
        return (
            float((totals / self.allowance).mean() / totals.mean()),
            float((1 / self.allowance).mean()),
        )


@dataclass(frozen=True)
class Estimate:
    """What is believed of a plan, or of a configuration alone, from profiling without queueing.

    Args:
        measurement: what was measured of the configuration.
        prefix_reused: leading operators whose earlier results served again.
        latency_quantile: the quantile that the SLO speaks of.
        latency_factors: per operator, time under the plan over that on profiling hardware, shape
            (N,); None for a configuration alone.
        fixed_s: propagation delays of the plan in seconds.
        transfer_s: nominal transmission time of all messages of a request of mean size, seconds.
        cost_usd_per_hour: list price of the plan and egress; None for a configuration alone.
    """

    measurement: Measurement
    prefix_reused: int = 0
    latency_quantile: float = 0.95
    latency_factors: tuple[float, ...] | None = None
    fixed_s: float = 0.0
    transfer_s: float = 0.0
    cost_usd_per_hour: float | None = None

    @property
    def count(self) -> int:
        """Items that the estimate rests on."""
        return self.measurement.count

    @property
    def accuracy_mean(self) -> float:
        """Mean accuracy over the items; nan when there are none."""
        return self.measurement.accuracy_mean

    @property
    def accuracy_variance(self) -> float:
        """Sample variance of accuracy between items."""
        return self.measurement.accuracy_variance

    @cached_property
    def latency_s(self) -> Floats:
        """Latency of each item under the plan over its allowance, no queueing, shape (n,)."""
        if self.latency_factors is None:
            raise ValueError("a configuration alone has no latency; profile a plan")
        compute = self.measurement.operator_time_s @ np.array(self.latency_factors)
        latency = np.asarray(self.fixed_s + compute + self.transfer_s * self.measurement.size)
        latency /= self.measurement.allowance
        latency.setflags(write=False)
        return latency

    @property
    def latency_mean_s(self) -> float:
        """Mean latency over the items in seconds."""
        return float(self.latency_s.mean())

    @cached_property
    def latency_quantile_s(self) -> float:
        """The SLO's quantile of latency over the items in seconds."""
        return float(np.quantile(self.latency_s, self.latency_quantile))

    def accurate_enough(self, slo: SLO) -> bool:
        """Tell whether the accuracy part of an SLO looks met; False when nothing was measured."""
        return self.count > 0 and (slo.accuracy is None or self.accuracy_mean >= slo.accuracy)

    def meets(self, slo: SLO) -> bool:
        """Tell whether every part of an SLO looks met; False when nothing was measured."""
        if not self.accurate_enough(slo):
            return False
        if self.latency_factors is None:
            return True
        cost = self.cost_usd_per_hour
        if slo.cost_usd_per_hour is not None and cost is not None and cost > slo.cost_usd_per_hour:
            return False
        return slo.latency_s is None or self.latency_quantile_s <= slo.latency_s


@dataclass(frozen=True)
class ProfilingRun:
    """One run: what it would bring the count to, and what it takes.

    Args:
        samples: items measured after the run.
        charged_s: seconds on the search's clock.
        device_s: seconds of profiling devices.
        prefix_reused: leading operators that need not run at all.
    """

    samples: int
    charged_s: float
    device_s: float
    prefix_reused: int


class ProfilingBench:
    """The items of one owner, a query or a data set, and all that was measured on them.

    Args:
        application: what is profiled.
        dataset: whose content.
        weights: mixture over the data set's strata, shape (S,).
        names: names of the owner's random streams.
        seed: seed of the run.
    """

    def __init__(
        self,
        application: Application,
        dataset: Dataset,
        weights: Floats,
        names: Sequence[str | int],
        seed: int,
    ) -> None:
        self._application = application
        self._dataset = dataset
        self._weights = weights

        def of(purpose: str) -> np.random.Generator:
            return stream(seed, *names, "profiling item", purpose)

        count = ITEMS
        self._strata: Integers = np.searchsorted(
            np.cumsum(weights)[:-1], of("stratum").random(count), side="right"
        )
        self._ranks = of("rank").random(count)
        self._sizes = dataset.request_size.draw(of("size"), count)
        self._sizes.setflags(write=False)
        self._lengths = dataset.output_length.draw(of("length"), count)
        normalised = application.latency_per == "output_length"
        self._allowances = self._lengths if normalised else np.ones(count)
        self._allowances.setflags(write=False)
        self._factors = np.column_stack(
            [
                operator.variability.draw(of(f"service {operator.name}"), count)
                for operator in application.operators
            ]
        )
        self._measured: dict[int, Measurement] = {}
        self._estimates: dict[Plan, Estimate] = {}
        self.runs = 0
        self._prefixes: dict[tuple[int, tuple[KnobValue, ...]], int] = {}

    def estimate(self, plan: Plan) -> Estimate | None:
        """Return the kept estimate of a plan, unless there are newer results."""
        estimate = self._estimates.get(plan)
        if estimate is None:
            return None
        measurement = estimate.measurement
        newest = self._measured.get(measurement.configuration.index)
        return estimate if newest is measurement else None

    def keep(self, plan: Plan, estimate: Estimate) -> None:
        """Keep the estimate of a plan."""
        self._estimates[plan] = estimate

    @property
    def items(self) -> int:
        """Items that the owner's data hold; no more can be profiled."""
        return len(self._ranks)

    def known(self, configuration: Configuration) -> Measurement | None:
        """Return what was measured of a configuration so far."""
        return self._measured.get(configuration.index)

    def run(self, configuration: Configuration, samples: int, workers: int) -> ProfilingRun:
        """Return what measuring up to ``samples`` items takes, with so many workers."""
        samples = min(samples, self.items)
        charged_s, device_s, reused = 0.0, 0.0, 0
        times = self._dataset.service_time_s[configuration.index]
        for operator, time_s in enumerate(times.tolist()):
            key = self._application.pipeline.operator_key(operator, configuration)
            count = max(0, samples - self._prefixes.get((operator, key), 0))
            reused += count == 0 and reused == operator
            charged_s += -(-count // workers) * time_s
            device_s += count * time_s
        return ProfilingRun(samples, charged_s, device_s, reused)

    def _times_s(self, configuration: Configuration, first: slice) -> Floats:
        """Return the time of each operator on the first items, shape (n, N)."""
        return np.column_stack(
            [
                self._application.item_times_s(
                    self._dataset,
                    configuration,
                    operator,
                    self._sizes[first],
                    self._lengths[first],
                    self._factors[first, operator],
                )
                for operator in range(len(self._application.operators))
            ]
        )

    def true_accuracy(self, configuration: Configuration) -> float:
        """Return the expected accuracy of a configuration, for the record only."""
        return float(self._dataset.expected_accuracy(self._weights)[configuration.index])

    def measure(self, configuration: Configuration, samples: int) -> Measurement:
        """Return the measurement of a configuration on at least ``samples`` items."""
        known = self._measured.get(configuration.index)
        samples = min(samples, self.items)
        if known is not None and known.count >= samples:
            return known
        for operator in range(len(self._application.operators)):
            key = (operator, self._application.pipeline.operator_key(operator, configuration))
            self._prefixes[key] = max(samples, self._prefixes.get(key, 0))
        self.runs += samples > 0
        index, first = configuration.index, slice(0, samples)
        size = self._sizes[first]
        measurement = Measurement(
            configuration,
            self._dataset.item_accuracy(index, self._strata[first], self._ranks[first]),
            self._times_s(configuration, first),
            size,
            self._allowances[first],
        )
        # Planners get the very arrays that later estimates are made from.
        measurement.accuracy.setflags(write=False)
        measurement.operator_time_s.setflags(write=False)
        self._measured[index] = measurement
        return measurement
