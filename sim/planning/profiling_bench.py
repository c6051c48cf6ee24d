"""The profiling bench: items of data, and the results and costs of profiling with them.

Profiling runs on separate hardware, one item at a time on each worker. A worker has a core and a
whole board, by default an A100-80GB.

Item i of a query's data is the same for every planner and configuration: it always has the same
stratum, easiness within the stratum, size and length. Its rank in a configuration is the same for
every planner, too; ``Dataset.rank_correlation`` says how much it depends on the configuration. An
operator runs again on an item only if its own or upstream knobs differ from those of all earlier
runs on that item (prefix reuse).

Items have *features*, which planners can read free of charge: size, output length if it varies, and
two indicators of difficulty. The indicators represent an embedding of the item. Both are standard
normal variables. One is correlated with the item's rank in its stratum, and the other with the
stratum's difficulty. The correlation, ``feature_correlation``, is an assumption. At its default,
0.85, about 0.58, 0.47 or 0.38 of the variance of accuracy is within clusters if K-means divides the
items of VOiCES into 4, 8 or 16 clusters. With hidden embeddings of 6,400 real VOiCES clips, the
share is 0.56 to 0.38 (public per-clip results of github.com/weiyu0824/vulcan).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scenarios.applications.application import Application
from scenarios.applications.dataset import LEAST_RANK, Dataset
from scenarios.applications.pipeline import Configuration
from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints
from scenarios.numerics.distributions import Constant, Variability
from scenarios.numerics.normal_quantiles import normal_quantile
from scenarios.random_streams import stream
from scenarios.requests import service_factors
from sim.api.estimate import Estimate, Measurement
from sim.api.plan import Plan
from sim.planning.profiling_log import ProfileRecord, ProfilingLog

ITEMS, FEW = 1024, 64
"""Number of items of each owner, and number of those that are drawn at first."""

NONE = np.zeros(0, dtype=np.int64)
NONE.setflags(write=False)


class ProfilingRun(NamedTuple):
    """A possible profiling run: the items that it would measure, and its cost."""

    items: Ints  # numbers of the items that it measures, of shape (m,)
    charged_s: float  # seconds on the search's clock
    device_s: float  # seconds for which profiling devices are used
    prefix_reused: int  # number of leading operators that need not run


@dataclass(frozen=True)
class _Items:
    """The true properties of items, indexed by item number: n items, N operators."""

    strata: Ints  # stratum of each item, of shape (n,)
    ranks: Floats  # rank of each item's easiness within its stratum, of shape (n,)
    sizes: Floats  # size divided by the mean size, of shape (n,)
    lengths: Floats  # output length divided by the mean, of shape (n,)
    allowances: Floats  # factor of the latency bound of each item, of shape (n,)
    factors: Floats  # factors of each operator's time, of shape (N, n)


class ProfilingBench:
    """The items of one owner, which is a query or a data set, and all measurements on them.

    ``weights`` is the mixture of the data set's strata, of shape (S,). ``names`` are the names of
    the owner's random streams. Every run is written to ``log``, which can already have runs of an
    earlier process.
    """

    def __init__(
        self,
        application: Application,
        dataset: Dataset,
        weights: Floats,
        names: Sequence[str | int],
        seed: int,
        feature_correlation: float,
        profiling_log: ProfilingLog | None = None,
        service_cv: float = 0.0,
    ) -> None:
        self._application = application
        self._service_cv = service_cv
        self.dataset = dataset
        self._weights = weights
        self._correlation = feature_correlation
        self.owner = tuple(names)
        self._profiling_log = profiling_log or ProfilingLog()
        self._records: list[ProfileRecord] = []
        # Times of language models depend on more than an item's size.
        self._generating = [
            at for at, operator in enumerate(application.operators) if operator.kind == "llm"
        ]
        self._seed = seed
        self._drawn: _Items | None = None
        self._expected: Floats | None = None
        self._measured: dict[int, Measurement] = {}
        self._estimates: dict[Plan, Estimate] = {}
        self._own: dict[int, Floats] = {}
        self._seen: dict[int, Bools] = {}
        self._unseen: list[ProfileRecord] = []
        self._features: Floats | None = None
        self.runs = 0

    def _of(self, purpose: str) -> np.random.Generator:
        return stream(self._seed, *self.owner, "profiling item", purpose)

    def _items(self, count: int) -> "_Items":
        """Return at least the first ``count`` items; items are generated only as far as needed."""
        if self._drawn is None or count > len(self._drawn.ranks):
            self._drawn = self._draw(FEW if count <= FEW else ITEMS)
        return self._drawn

    def _draw(self, count: int) -> "_Items":
        dataset, application = self.dataset, self._application
        alike = np.ones(count)

        def varied(variability: Variability, purpose: str) -> Floats:
            if isinstance(variability, Constant):
                return alike
            return variability.draw(self._of(purpose), count)

        def drawn(variability: Variability, purpose: str) -> Callable[[int], Floats]:
            return lambda _: varied(variability, purpose)

        strata = np.zeros(count, dtype=np.int64)
        if len(self._weights) > 1:
            edges = np.cumsum(self._weights)[:-1]
            strata = edges.searchsorted(self._of("stratum").random(count), side="right")
        lengths = varied(dataset.output_length, "length")
        return _Items(
            strata,
            self._of("rank").random(count),
            varied(dataset.request_size, "size"),
            lengths,
            lengths if application.latency_per == "output_length" else alike,
            np.array(
                [
                    service_factors(operator, self._service_cv, drawn)(count)
                    for operator in application.operators
                ]
            ),
        )

    @property
    def features(self) -> Floats:
        """Features of all items, of shape (items, 4); see ``BulkOperations.features``."""
        if self._features is None:
            items = self._items(ITEMS)
            hardness = self.dataset.accuracy.mean(axis=0)
            hardness -= hardness.mean()
            spread = np.sqrt(self.dataset.stratum_weights @ hardness**2)
            hardness /= spread or 1.0
            rows = np.empty((4, ITEMS))
            np.log(items.sizes, out=rows[0])
            np.log(items.lengths, out=rows[1])
            self._of("view of rank").standard_normal(out=rows[2])
            self._of("view of stratum").standard_normal(out=rows[3])
            noise_share = (1 - self._correlation**2) ** 0.5
            _view(rows[2:], items.ranks, hardness, items.strata, self._correlation, noise_share)
            features = rows.T
            features.setflags(write=False)
            self._features = features
        return self._features

    def estimate(self, plan: Plan) -> Estimate | None:
        """Return the cached estimate of a plan, or None if there are newer results."""
        estimate = self._estimates.get(plan)
        if estimate is None:
            return None
        measurement = estimate.measurement
        newest = self._measured.get(measurement.configuration.index)
        return estimate if newest is measurement else None

    def keep(self, plan: Plan, estimate: Estimate) -> None:
        """Cache the estimate of a plan."""
        self._estimates[plan] = estimate

    def known(self, configuration: Configuration) -> Measurement | None:
        """Return the present measurement of a configuration, or None."""
        return self._measured.get(configuration.index)

    def missing(self, configuration: Configuration, wanted: int | Ints) -> Ints:
        """Return the numbers of the items that are not measured yet, in ascending order.

        ``wanted`` is an ascending array of item numbers, of shape (m,), or a number n for the first
        n items.
        """
        known = self._measured.get(configuration.index)
        done = NONE if known is None else known.items
        if isinstance(wanted, int) and wanted <= len(done):
            return NONE  # Planners often ask for items that are measured already.
        left = np.ones(ITEMS, dtype=bool)
        left[done] = False
        if isinstance(wanted, int):
            return np.flatnonzero(left)[: wanted - len(done)]
        return wanted[left[wanted]]

    def run(
        self,
        configuration: Configuration,
        items: Ints,
        workers: int,
        factors: Floats | None = None,
    ) -> ProfilingRun:
        """Return the run that would measure new items with this number of workers.

        ``factors`` are the operators' times on a worker, divided by their reference times, of shape
        (N,); None if all are 1.
        """
        self._see_all()
        charged_s, device_s, reused = 0.0, 0.0, 0
        times = self.dataset.service_time_s[configuration.index]
        if factors is not None:
            times = times * factors
        keys = self._application.pipeline.work_numbers[configuration.index]
        for operator, (key, time_s) in enumerate(zip(keys, times.tolist(), strict=True)):
            seen = self._seen.get(key)
            count = len(items) if seen is None else len(items) - int(np.count_nonzero(seen[items]))
            reused += count == 0 and reused == operator
            charged_s += -(-count // workers) * time_s
            device_s += count * time_s
        return ProfilingRun(items, charged_s, device_s, reused)

    def _see_all(self) -> None:
        """Mark, for each operator key, the items on which its operator ran in new records."""
        while self._unseen:
            record = self._unseen.pop()
            for key in self._application.pipeline.work_numbers[record.configuration]:
                if key not in self._seen:
                    self._seen[key] = np.zeros(ITEMS, dtype=bool)
                self._seen[key][record.items] = True

    def _times_s(self, configuration: Configuration, drawn: _Items, items: Ints) -> Floats:
        """Return the time of each operator on m items in seconds, of shape (m, N)."""
        means_s = self.dataset.service_time_s[configuration.index]
        times_s = _scaled(means_s, drawn.sizes, drawn.factors, items)
        for operator in self._generating:
            times_s[:, operator] = self._application.item_times_s(
                self.dataset,
                configuration,
                operator,
                drawn.sizes[items],
                drawn.lengths[items],
                drawn.factors[operator, items],
            )
        return times_s

    def true_accuracy(self, configuration: Configuration) -> float:
        """Return the true expected accuracy of a configuration, for result tables only."""
        if self._expected is None:
            self._expected = self.dataset.expected_accuracy(self._weights)
        return float(self._expected[configuration.index])

    def measure(self, configuration: Configuration, items: Ints, at_ns: int = 0) -> Measurement:
        """Measure new items, in ascending order; return the measurement on all items so far."""
        known = self._measured.get(configuration.index)
        if known is not None and not len(items):
            return known
        index = configuration.index
        record = self._profiling_log.recall(self.owner, index, items)
        if record is None:
            nothing = np.zeros(0), np.zeros((0, len(self._application.operators)))
            observed = self._observe(configuration, items) if len(items) else nothing
            record = ProfileRecord(self.owner, index, at_ns, items, *observed)
            self._profiling_log.note(record)
        return self.learn(configuration, record)

    def _observe(self, configuration: Configuration, items: Ints) -> tuple[Floats, Floats]:
        """Return accuracies of shape (m,) and operator times of shape (m, N) on m items."""
        drawn = self._items(_count_up_to(items))
        ranks = drawn.ranks[items]
        if self.dataset.rank_correlation < 1:
            own = self._own_scores(configuration, _count_up_to(items))
            ranks = self.dataset.ranks_in_configuration(ranks, own[items])
        accuracy = self.dataset.item_accuracy(configuration.index, drawn.strata[items], ranks)
        return accuracy, self._times_s(configuration, drawn, items)

    def _own_scores(self, configuration: Configuration, count: int) -> Floats:
        """Return the normal scores that items have in this configuration only, at least a count."""
        alike = int(self.dataset.same_accuracy[configuration.index])
        known = self._own.get(alike)
        if known is None or count > len(known):
            # Later batches of a configuration mostly reach a little further than earlier ones.
            drawn = FEW if count <= FEW else min(ITEMS, 2 * count)
            known = self._of(f"rank in configuration {alike}").standard_normal(drawn)
            self._own[alike] = known
        return known

    @property
    def newest(self) -> ProfileRecord:
        """The record of the last run."""
        return self._records[-1]

    def learn(self, configuration: Configuration, record: ProfileRecord) -> Measurement:
        """Add a record of a configuration; return the measurement on all items so far."""
        if len(record.items):
            self._records.append(record)
            self._unseen.append(record)
            self.runs += 1
        items, accuracy, times_s = record.items, record.accuracy, record.operator_time_s
        known = self._measured.get(configuration.index)
        if known is not None and known.count:
            before = known.items, known.accuracy, known.operator_time_s
            items, accuracy, times_s = _merged(*before, items, accuracy, times_s)
        drawn = self._items(_count_up_to(items))
        measurement = Measurement(
            configuration, items, accuracy, times_s, drawn.sizes[items], drawn.allowances[items]
        )
        # Planners get the same arrays that later estimates use.
        for array in (items, accuracy, times_s, measurement.size, measurement.allowance):
            array.setflags(write=False)
        self._measured[configuration.index] = measurement
        return measurement

    def fall_back(self, to_ns: int) -> int:
        """Drop the runs that ended after ``to_ns``; return the number of dropped runs."""
        kept = [record for record in self._records if record.learned_ns <= to_ns]
        lost = len(self._records) - len(kept)
        if lost:
            self._measured, self._estimates, self._seen = {}, {}, {}
            self._records, self._unseen = [], []
            for record in kept:
                configuration = self._application.pipeline.configurations[record.configuration]
                self.learn(configuration, record)
        return lost


@compiled
def _view(
    views: Floats,
    ranks: Floats,
    hardness: Floats,
    strata: Ints,
    latent_share: float,
    noise_share: float,
) -> None:
    """Turn ``views``, standard normal noise of shape (2, n), into indicators of difficulty.

    The method is a Gaussian copula. The rank, which is uniform in (0, 1), is converted to a normal
    score by inverse transform, and then mixed with noise. The squares of the two shares add up to
    1, so the variance is 1. ``ranks`` and ``strata`` have shape (n,), with one value for each item;
    ``hardness`` has shape (K,), with one value for each stratum.
    """
    for item in range(len(ranks)):
        rank = min(max(ranks[item], LEAST_RANK), 1 - LEAST_RANK)
        views[0, item] = latent_share * normal_quantile(rank) + noise_share * views[0, item]
        views[1, item] = latent_share * hardness[strata[item]] + noise_share * views[1, item]


@compiled
def _scaled(means_s: Floats, sizes: Floats, factors: Floats, items: Ints) -> Floats:
    """Return mean times (N,) times the sizes (n,) and factors (N, n) of m items, shape (m, N)."""
    times_s = np.empty((len(items), len(means_s)))
    for row, item in enumerate(items):
        for operator in range(len(means_s)):
            times_s[row, operator] = means_s[operator] * sizes[item] * factors[operator, item]
    return times_s


@compiled
def _merged(
    items: Ints,
    accuracy: Floats,
    times_s: Floats,
    new_items: Ints,
    new_accuracy: Floats,
    new_times_s: Floats,
) -> tuple[Ints, Floats, Floats]:
    """Merge results on different items, both in ascending order, as in merge sort."""
    count, more = len(items), len(new_items)
    numbers = np.empty(count + more, dtype=np.int64)
    values, times = np.empty(count + more), np.empty((count + more, times_s.shape[1]))
    at = 0
    for row in range(count + more):
        new = row - at
        if new == more or (at < count and items[at] < new_items[new]):
            numbers[row], values[row], times[row] = items[at], accuracy[at], times_s[at]
            at += 1
        else:
            numbers[row], values[row], times[row] = (
                new_items[new],
                new_accuracy[new],
                new_times_s[new],
            )
    return numbers, values, times


def _count_up_to(items: Ints) -> int:
    return int(items[-1]) + 1 if len(items) else 0
