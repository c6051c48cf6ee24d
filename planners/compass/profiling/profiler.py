"""The SLO profiler, which chooses how many and which items are measured to judge an SLO.

`StratifiedProfiler` is Compass's; `RandomProfiler` is the same without strata; `FixedProfiler`
takes a fixed number of items, as the baselines do.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

import numpy as np

from planners.common.ranges import Count, InRange, Level
from planners.common.weak_cache import KEPT
from planners.compass.profiling.decisions import Decision, TTest
from planners.compass.profiling.estimates import (
    Strata,
    regressed_mean,
    simple_mean,
    strata_of,
    stratified_mean,
)
from planners.compass.state.records import ProfiledConfig
from scenarios.applications.pipeline import Configuration
from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints
from scenarios.numerics.sums import total
from scenarios.queries import Query
from sim import Estimate, PlanningContext


@dataclass(frozen=True)
class Belief:
    """The profiling result of a configuration."""

    estimate: Estimate  # what was measured
    accuracy: float  # estimated mean; nan if nothing was measured
    variance: float  # variance of that estimate
    verdict: bool | None  # whether the test found that the floor is met; None if undecided

    @property
    def count(self) -> int:
        """Number of measured items."""
        return self.estimate.count

    def accurate(self, floor: float | None) -> bool:
        """Return whether the test or, if it is undecided, the mean says that the floor is met."""
        if self.count == 0:
            return False
        if self.verdict is not None:
            return self.verdict
        return floor is None or self.accuracy >= floor

    def as_profile(self, confirmed: bool = False) -> ProfiledConfig:
        """Return the result in the form in which searches keep it."""
        measured = self.estimate.measurement
        return ProfiledConfig(
            self.accuracy,
            self.variance,
            self.verdict,
            self.count,
            measured.operator_mean_s,
            measured.time_cv,
            measured.normalised,
            confirmed,
        )


class Profiler(InRange, ABC):
    """Base of profilers, which measure the accuracy and times of configurations.

    Attributes:
        first: number of items measured before the first test.
        batch: number of items measured between two tests.
        most: number of items after which profiling ends without a verdict.
        alpha: probability of a wrong verdict in each test; 0 turns tests off.
        decision: rule by which a mean counts as above or below the floor.
    """

    first: int = 16
    batch: int = 16
    most: int = 96
    alpha: float = 0.0
    decision: Decision = TTest()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most < self.first:
            raise ValueError(
                f"most={self.most}: must be {self.first} or more, as many as come first"
            )

    @abstractmethod
    def measure(
        self,
        context: PlanningContext,
        query: Query,
        configuration: Configuration,
        items: int,
        alpha: float,
    ) -> Belief:
        """Measure a configuration on ``items`` items, or fewer if the budget ends; test once."""

    def most_items(self, context: PlanningContext, query: Query) -> int:
        """Return the largest number of a query's items on which a configuration can be measured."""
        return len(context.bulk.features(query))

    def profile(
        self, context: PlanningContext, query: Query, configuration: Configuration
    ) -> Belief:
        """Measure a configuration until the test decides, or until items or budget run out.

        `Decision.looks` has the numbers of items at which the test is made.
        """

        def known() -> int:
            return context.profile(query, configuration, 0).count

        for wanted in self.decision.looks(self.first, self.batch, self.most, known):
            belief = self.measure(context, query, configuration, wanted, self.alpha)
            if belief.verdict is not None or belief.count < wanted:
                break
        return belief

    def sharpened(
        self,
        context: PlanningContext,
        query: Query,
        configuration: Configuration,
        control: Configuration,
        alpha: float | None = None,
    ) -> Belief | None:
        """Return a result corrected by another configuration that was measured on more items.

        Nothing is measured. ``control`` is the control variate of
        `planners.compass.profiling.estimates.regressed_mean`. The test has level ``alpha``, by
        default that of `profile`. Returns None if the control was not measured on all items of the
        configuration, or does not reduce the variance.
        """
        estimate = context.profile(query, configuration, 0)
        other = context.profile(query, control, 0)
        few, many = estimate.measurement, other.measurement
        if not 1 < few.count < many.count:
            return None
        grouped = self._strata(context, query)
        if grouped is None:
            return None
        at = np.searchsorted(many.items, few.items)
        if at[-1] == len(many.items) or (many.items[at] != few.items).any():
            return None
        controlled = many.accuracy[at]
        strata, weights = grouped
        its = strata[few.items]
        _, alone, _, _ = stratified_mean(few.accuracy, its, weights)
        known, its_variance, _, _ = stratified_mean(many.accuracy, strata[many.items], weights)
        mean, variance, freedom = regressed_mean(
            few.accuracy, controlled, its, weights, known, its_variance
        )
        if not variance < alone:
            return None
        return self._decided(query, estimate, mean, variance, freedom, alpha)

    def sharpened_by_most(
        self,
        context: PlanningContext,
        query: Query,
        belief: Belief,
        shown: Mapping[int, ProfiledConfig],
        alpha: float | None = None,
    ) -> Belief:
        """Return a result, corrected if possible by the configuration measured on the most items.

        ``shown`` are the profiles by index of the configuration; `sharpened` describes ``alpha``.
        """
        if not shown:
            return belief
        configurations = context.world.pipeline.configurations
        control = configurations[max(shown, key=lambda index: shown[index].count)]
        configuration = belief.estimate.measurement.configuration
        return self.sharpened(context, query, configuration, control, alpha) or belief

    def _decided(
        self,
        query: Query,
        estimate: Estimate,
        mean: float,
        variance: float,
        freedom: float,
        alpha: float | None,
    ) -> Belief:
        """Return a result with the verdict of the rule of decision; None is the usual level."""
        variance = max(variance, self.decision.least_variance(estimate.measurement.accuracy))
        alpha = self.alpha if alpha is None else alpha
        verdict = self.decision.verdict(
            mean, variance, freedom, estimate.count, query.slo.accuracy, alpha
        )
        return Belief(estimate, mean, variance, verdict)

    def _strata(self, context: PlanningContext, query: Query) -> tuple[Ints, Floats] | None:
        """Return the stratum of each item of a query, and the weights of the K strata.

        Returns None if this profiler never corrects one configuration by another.
        """
        return None


@dataclass(frozen=True)
class FixedProfiler(Profiler):
    """Profiles a fixed number of items at once, whatever the results.

    Args:
        samples: number of items on which each configuration is profiled.
        decision: rule by which a mean counts as above or below the floor. `TTest` makes no test
            here, so that the mean decides.
    """

    samples: Count = 100
    decision: Decision = field(default_factory=TTest)

    @property
    def first(self) -> int:  # type: ignore[override]
        """The number of items of the only measurement."""
        return self.samples

    @property
    def most(self) -> int:  # type: ignore[override]
        """The same number."""
        return self.samples

    def most_items(self, context: PlanningContext, query: Query) -> int:
        """Return the number of items profiled for each configuration of a query."""
        return min(self.samples, super().most_items(context, query))

    def measure(
        self,
        context: PlanningContext,
        query: Query,
        configuration: Configuration,
        items: int,
        alpha: float,
    ) -> Belief:
        """Measure a configuration on the query's first `self.samples` items; no test is made."""
        estimate = context.profile(query, configuration, self.samples)
        mean, variance, freedom = simple_mean(estimate.measurement.accuracy)
        return self._decided(query, estimate, mean, variance, freedom, self.alpha)


@dataclass(frozen=True)
class RandomProfiler(Profiler):
    """Profiles items in order of arrival until a t-test decides.

    `StratifiedProfiler` describes the parameters. Testing again after every batch makes a wrong
    verdict somewhat more likely than ``alpha``.
    """

    first: Count = 16
    batch: Count = 16
    most: Count = 96
    alpha: Level = 0.05
    decision: Decision = field(default_factory=TTest)

    def measure(
        self,
        context: PlanningContext,
        query: Query,
        configuration: Configuration,
        items: int,
        alpha: float,
    ) -> Belief:
        """Measure a configuration on the first ``items`` items, and test once."""
        estimate = context.profile(query, configuration, items)
        mean, variance, freedom = simple_mean(estimate.measurement.accuracy)
        return self._decided(query, estimate, mean, variance, freedom, alpha)

    def _strata(self, context: PlanningContext, query: Query) -> tuple[Ints, Floats]:
        """Assign all items to one stratum of weight 1."""
        return np.zeros(len(context.bulk.features(query)), dtype=np.int64), np.ones(1)


@dataclass(frozen=True)
class StratifiedProfiler(Profiler):
    """Profiles items from all strata until a t-test decides.

    The items of a data set are grouped once, by K-means on their features. Each item of a query
    belongs to the stratum g with the nearest centre. The weight W_g is the share of the query's
    items in stratum g. If n_g items of stratum g are measured, with mean y_g and sample variance
    s_g^2, then

        mean = sum W_g y_g,   variance = sum W_g^2 s_g^2 / n_g

    (Cochran, Sampling Techniques, 1977, chapter 5). The estimate has the same expectation as a
    simple random sample's mean. If n_g is proportional to W_g, its variance is no larger. The
    weights are treated as known. Their error, sum W_g (y_g - mean)^2 / 1,024 for 1,024 items,
    matters only once all items are measured: a test is then wrong more often than ``alpha``. In
    trials, adding this error to the variance did not improve Compass. The test is two-sided
    Student's t against the floor. Let V_g be the terms of the variance above. Then the test's
    degrees of freedom, after Welch (1947), "The generalization of 'Student's' problem when several
    different population variances are involved", are

        (sum V_g)^2 / sum (V_g^2 / (n_g + 1)) - 2,   from the least n_g - 1 to the sum of them

    This has less bias than Satterthwaite's estimate. For example, eight strata of equal variance
    with two items each have eight degrees of freedom. On average, Satterthwaite's estimate gives
    3.6, and this one gives 7.2. With two items per stratum and very different strata, a test of
    level 5 % errs in 7 % of cases.

    The paper on Compass confirms that strata are found once, by K-means on input features, and that
    a two-sided t-test stops profiling early. The paper also claims an equal mean and a smaller
    variance, but does not give K, the level of the test or the size of a batch.

    Args:
        strata: number of clusters, K.
        first: number of items before the first test, at least two per stratum.
        batch: number of items between two tests, best a multiple of the number of profiling
            workers.
        most: number of items after which profiling ends without a verdict; surrogates then judge
            the mean.
        alpha: level of each two-sided test, which is its probability of a wrong verdict.
        allocation: ``"proportional"`` makes n_g proportional to W_g, and ``"neyman"`` to W_g s_g.
        decision: rule by which a mean counts as above or below the floor: `TTest` or `Certain`.
    """

    strata: Count = 8
    first: Count = 16
    batch: Count = 16
    most: Count = 96
    alpha: Level = 0.05
    allocation: Literal["proportional", "neyman"] = "proportional"
    decision: Decision = field(default_factory=TTest)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first < 2 * self.strata:
            raise ValueError(
                f"first={self.first}: must be two items for each of {self.strata} strata or more"
            )
        if self.allocation not in ("proportional", "neyman"):
            raise ValueError(f"allocation={self.allocation!r}: choose proportional or neyman")

    def measure(
        self,
        context: PlanningContext,
        query: Query,
        configuration: Configuration,
        items: int,
        alpha: float,
    ) -> Belief:
        """Measure a configuration on items of all strata; items measured earlier are included."""
        grouped = self._grouped(context, query)
        known = context.profile(query, configuration, 0)
        ideal = grouped.weights
        if self.allocation == "neyman" and known.count:
            ideal = ideal * grouped.mean(known)[3]
        measured = known.measurement.items
        taken = _from_strata(items, ideal, measured, grouped.strata, grouped.members, grouped.sizes)
        estimate = context.profile(query, configuration, taken)
        mean, variance, freedom, _ = grouped.mean(estimate)
        return self._decided(query, estimate, mean, variance, freedom, alpha)

    def _strata(self, context: PlanningContext, query: Query) -> tuple[Ints, Floats]:
        """Return the stratum of each item of a query, and the weights of the strata."""
        grouped = self._grouped(context, query)
        return grouped.strata, grouped.weights

    def _grouped(self, context: PlanningContext, query: Query) -> "_Grouped":
        strata = strata_of(context, query.dataset, self.strata)
        features = context.bulk.features(query)
        grouped: _Grouped = KEPT.of(features, strata, lambda: _Grouped.of(strata, features))
        return grouped


@dataclass(frozen=True)
class _Grouped:
    """The items of a query, grouped by stratum; K is the number of strata with items."""

    strata: Ints  # stratum of each item, of shape (items,)
    members: Ints  # item numbers by stratum, ascending in each, of shape (items,)
    sizes: Ints  # number of items of each stratum, of shape (K,)
    weights: Floats  # share of each stratum in all items, of shape (K,)

    @classmethod
    def of(cls, strata: Strata, features: Floats) -> "_Grouped":
        """Return the items with these features, grouped by stratum."""
        its = strata.of(features)
        sizes = np.bincount(its)
        labels, sizes = (np.cumsum(sizes > 0) - 1)[its], sizes[sizes > 0]
        # NumPy sorts small integers by radix, which takes a tenth of the time.
        members = np.argsort(its.astype(np.uint16), kind="stable")
        return cls(labels, members, sizes, sizes / len(labels))

    def mean(self, estimate: Estimate) -> tuple[float, float, float, Floats]:
        """Return the `stratified_mean` of the measured accuracies."""
        measured = estimate.measurement
        return stratified_mean(measured.accuracy, self.strata[measured.items], self.weights)


@compiled
def _from_strata(
    items: int, ideal: Floats, measured: Ints, strata: Ints, members: Ints, sizes: Ints
) -> Ints:
    """Return the item numbers to measure in all strata, which `spread` numbers of items.

    ``measured`` are the numbers of the items that are measured already. `_Grouped` describes the
    last three arguments.
    """
    done = np.zeros(len(sizes), dtype=np.int64)
    for item in measured:
        done[strata[item]] += 1
    counts = spread(items, ideal, done, sizes)
    taken = np.empty(counts.sum(), dtype=np.int64)
    many, first = 0, 0
    for stratum in range(len(sizes)):
        for at in range(first, first + counts[stratum]):
            taken[many] = members[at]
            many += 1
        first += sizes[stratum]
    return taken


@compiled
def spread(items: int, ideal: Floats, least: Ints, most: Ints, first: int = 2) -> Ints:
    """Return a number of items for each stratum, as close to given proportions as possible.

    Every stratum keeps the items that it has, and gets at least ``first``. Each further item goes
    to the stratum that is furthest below its proportion. Without bounds, this is the method of
    largest remainders, as in Hamilton's apportionment. It takes O(items x K).

    Arrays have shape (K,): ``ideal`` has the proportions. ``least`` has the number of items that
    each stratum has already, and ``most`` has the number of items that exist in it.
    """
    counts = np.minimum(np.maximum(least, first), most)
    whole = total(ideal)
    share = ideal / whole if whole > 0 else np.full(len(ideal), 1 / len(ideal))
    wanted = share * items
    for _ in range(min(items, most.sum()) - counts.sum()):
        chosen, furthest = 0, -inf  # Among equals, the first is chosen.
        for stratum in range(len(counts)):
            behind = wanted[stratum] - counts[stratum]
            if counts[stratum] < most[stratum] and behind > furthest:
                chosen, furthest = stratum, behind
        counts[chosen] += 1
    return counts
