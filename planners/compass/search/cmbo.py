"""CMBO: Compass's choice of the next plan to profile, on arrays, without a planning context.

CMBO has two surrogates (Compass paper, Fig. 8). One models accuracy, which depends only on the
configuration. The other models latency, which depends on the whole plan. Profiling one
configuration shows the time of each operator, from which the latency of every plan of that
configuration follows.

The latency surrogate is a reconstruction that differs from the authors' prototype. The prototype
uses one Gaussian process over configurations and placements, with an observation for each placement
of a profiled configuration. Here, the logarithm of each operator's time is a Gaussian process over
its own and upstream knobs, and a plan's latency is computed from these times. Both use the same
information. The version in this module is exact for profiled configurations, has smaller errors
elsewhere, and has one point per configuration instead of one per plan.
"""

from collections.abc import Sequence
from functools import cache
from math import exp, inf, log1p, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from planners.bayesopt.acquisition import feasible_saving, probability_above
from planners.bayesopt.gaussian_process import GaussianProcess, Grid
from planners.compass.search.accuracy_prior import ITEM_VARIANCE
from planners.compass.search.plan_latency import PlanLatency, all_keep_bound, best_saving
from planners.compass.search.pooled import PooledAccuracy
from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints

ACCURACY_CENTRE, ACCURACY_SCALE = 0.5, 0.25
"""Prior mean and standard deviation of accuracies, which lie between 0 and 1."""

LOG_TIME_SCALE = 1.0
"""Prior standard deviation of log times, for times that differ by a factor of e; fits correct it.
"""

SHORTEST_S = 1e-9
"""Time assumed if the measured time is 0, the logarithm of which is undefined."""


class Domain:
    """The features of all configurations, which the surrogates of all queries share.

    Args:
        points: features of the configurations, of shape (C, D), such as those that
            ``planners.bayesopt.encodings`` computes.
        blocks: number of features of each knob.
        upstream: for each of N operators, the indices of the knobs on which its time depends, such
            as ``pipeline.upstream_knobs``.

    Attributes:
        accuracy: the points of the accuracy surrogate, one per configuration.
        times: for each operator, the points of its time surrogate and the index of each
            configuration's point, of shape (C,). The points are the distinct values of the
            operator's upstream knobs.
    """

    def __init__(
        self, points: Floats, blocks: Sequence[int], upstream: Sequence[tuple[int, ...]]
    ) -> None:
        self.accuracy = Grid(points, blocks)
        known = {reach: _reaching(points, blocks, reach) for reach in set(upstream)}
        self.times = [known[reach] for reach in upstream]

    def __len__(self) -> int:
        """Return the number of configurations."""
        return len(self.accuracy)


def _reaching(points: Floats, blocks: Sequence[int], reach: tuple[int, ...]) -> tuple[Grid, Ints]:
    """Return the distinct points in the blocks ``reach``, and each configuration's point index."""
    owner = np.repeat(np.arange(len(blocks)), blocks)
    reaching, widths = points[:, np.isin(owner, reach)], tuple(blocks[block] for block in reach)
    if not widths:
        return Grid(reaching[:1], widths), np.zeros(len(points), dtype=np.int64)
    reaching, point_of = np.unique(reaching, axis=0, return_inverse=True)
    return Grid(reaching, widths), point_of


class Cmbo:
    """Beliefs about all plans of one query, given the profiles of a few configurations.

    There are C configurations of D features, P plans and N operators.

    Args:
        points: a `Domain`, or the features of the configurations, of shape (C, D). In the second
            case, ``blocks`` and ``upstream`` are those of the `Domain` that is created.
        configuration: index of each plan's configuration, of shape (P,).
        factors: ratio of each operator's time in each plan, including waits, to its time on
            profiling hardware, of shape (P, N).
        transfer_s: seconds to transmit an average request's messages in each plan, of shape (P,).
        cost: cost of each plan, in any unit, of shape (P,).
        latency_s: bound on the latency quantile in seconds, or None.
        accuracy: lower bound on mean accuracy, or None.
        fixed_s: the seconds of latency that do not depend on request size, such as propagation, as
            an array of shape (P,) or a number.
        latency_quantile: the quantile of latency that ``latency_s`` bounds.
        latency_margin: the share of the latency bound within which plans must stay.
        latency_error: standard deviation of the log of true over predicted latency.
        blocks: see `Domain`.
        upstream: see `Domain`; by default all blocks.
        prior_accuracy: accuracies from histories, of shape (C,). Surrogates learn the deviations
            from these.
        prior_log_time: logarithms of operator times (in seconds) from histories, of shape (C, N).
        pooled: the surrogate of accuracy, if all queries of the data set share a model. There is no
            ``prior_accuracy`` then.

    Attributes:
        reference: the cost from which savings are counted; only cheaper plans are proposed. At
            first, it is slightly above the highest cost of a plan.
    """

    def __init__(
        self,
        points: Floats | Domain,
        configuration: Ints,
        factors: Floats,
        transfer_s: Floats,
        cost: Floats,
        *,
        latency_s: float | None = None,
        accuracy: float | None = None,
        fixed_s: ArrayLike = 0.0,
        latency_quantile: float = 0.95,
        latency_margin: float = 1.0,
        latency_error: float = 0.0,
        blocks: Sequence[int] | None = None,
        upstream: Sequence[tuple[int, ...]] | None = None,
        prior_accuracy: Floats | None = None,
        prior_log_time: Floats | None = None,
        pooled: PooledAccuracy | None = None,
    ) -> None:
        if isinstance(points, Domain):
            domain = points
        else:
            widths = (points.shape[1],) if blocks is None else tuple(blocks)
            everything = [tuple(range(len(widths)))] * factors.shape[1]
            domain = Domain(points, widths, everything if upstream is None else upstream)
        count = len(domain)
        self._configuration = configuration
        self._factors = np.ascontiguousarray(factors)
        self._transfer_s = transfer_s
        self._fixed_s = np.broadcast_to(np.asarray(fixed_s, dtype=np.float64), cost.shape)
        self._cost = cost
        self._latency_error = latency_error
        self._bound_s = None if latency_s is None else latency_s * latency_margin
        self._accuracy_bound = accuracy
        self._quantile = _normal_quantile(latency_quantile)
        self._prior_accuracy = prior_accuracy
        self._prior_log_time = prior_log_time
        self._pooled = pooled
        self._accuracy = GaussianProcess(
            domain.accuracy,
            centre=ACCURACY_CENTRE if prior_accuracy is None else 0.0,
            scale=ACCURACY_SCALE,
        )
        self._times = [
            _LogTime(grid, point_of, 0.0 if prior_log_time is not None else None)
            for grid, point_of in domain.times
        ]
        self._sizes: Floats = np.zeros((count, 4))
        self._values: Floats = np.zeros(count)
        self._seen: Bools = np.zeros(count, dtype=bool)
        self._count = count
        self._log_time: tuple[Floats, Floats] | None = None
        self._accurate: Floats | None = None
        self._latency: PlanLatency | None = None
        self.reference = above(cost)

    @property
    def subjects(self) -> int:
        """Number of valid indices of `observe`: the number C of configurations."""
        return self._count

    def subject(self, plan: int) -> int:
        """Return the index used to observe a profiled plan, that of its configuration."""
        return int(self._configuration[plan])

    def observe(
        self,
        index: int,
        accuracy: float,
        accuracy_variance: float,
        operator_time_s: Floats,
        time_cv: float = 0.0,
        samples: int | None = None,
        normalised: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """Learn the profile of a configuration, in place of any earlier profile.

        Args:
            index: the configuration.
            accuracy: mean accuracy over the measured items.
            accuracy_variance: variance of the mean accuracy.
            operator_time_s: mean seconds of each operator on profiling hardware, of shape (N,).
            time_cv: coefficient of variation of the whole pipeline's time, over requests.
            samples: number of items whose times were averaged, or None if the times have no error.
            normalised: see ``Measurement.normalised``.
        """
        self.observe_all(
            [index],
            np.array([accuracy]),
            np.array([accuracy_variance]),
            np.array([operator_time_s]),
            np.array([time_cv]),
            np.array([inf if samples is None else samples]),
            np.array([normalised]),
        )

    def observe_all(
        self,
        indices: Sequence[int],
        accuracy: Floats,
        accuracy_variance: Floats,
        operator_time_s: Floats,
        time_cv: Floats,
        samples: Floats,
        normalised: Floats,
    ) -> None:
        """Learn the profiles of m configurations; the arguments of `observe` have m rows here.

        If the times have no error, ``samples`` is infinite.
        """
        self._log_time = self._accurate = self._latency = None
        log_time = np.log(np.maximum(operator_time_s, SHORTEST_S))
        if self._prior_accuracy is not None:
            accuracy = accuracy - self._prior_accuracy[indices]
        if self._prior_log_time is not None:
            log_time = log_time - self._prior_log_time[indices]
        if self._pooled is None:
            self._accuracy.observe_all(indices, accuracy[:, None], accuracy_variance[:, None])
        else:
            self._pooled.observe_all(indices, accuracy, accuracy_variance, samples)
        for surrogate, values in zip(self._times, log_time.T, strict=True):
            surrogate.observe_all(indices, values)
        _note(
            np.array(indices),
            *(accuracy, time_cv, samples, normalised),
            *(self._values, self._sizes, self._seen),
        )

    def reprice(self, cost: Floats, reference: float | None = None) -> None:
        """Set the reference and the costs of plans, of shape (P,), infinite for impossible plans.

        By default, ``reference`` is slightly above all costs.
        """
        self._cost = cost
        self.reference = above(cost[np.isfinite(cost)]) if reference is None else reference

    @property
    def item_variance(self) -> float:
        """Variance of accuracy between items that is assumed where it is not known."""
        return ITEM_VARIANCE if self._pooled is None else self._pooled.item_variance

    def propose(
        self, exclude: Bools | None = None, least: float = 0.0, worth: Floats | None = None
    ) -> int | None:
        """Return the index of the first plan with the largest utility, or None.

        A plan is ignored if ``exclude``, of shape (C,), marks its configuration, or if its
        probability of meeting the SLO is below ``least``. Returns None if no other plan costs less
        than the reference. ``worth``, of shape (C,), replaces the probabilities of being accurate
        enough.
        """
        accurate = self.likely_accurate() if worth is None else worth
        if exclude is not None:
            accurate = np.where(exclude, 0.0, accurate)
        chosen = best_saving(self.reference, self._cost, accurate, self._believed_latency(), least)
        return None if chosen < 0 else int(chosen)

    def utility(self) -> Floats:
        """Return the feasibility-weighted saving of each plan, of shape (P,)."""
        accurate = self.likely_accurate()[self._configuration]
        return feasible_saving(self.reference, self._cost, accurate, self._fast())

    def feasible(self) -> Floats:
        """Return each plan's probability of meeting the SLO, of shape (P,)."""
        accurate = self.likely_accurate()[self._configuration]
        return np.asarray(accurate * self._fast())

    def likely_accurate(self) -> Floats:
        """Return each configuration's probability of being accurate enough, of shape (C,)."""
        if self._accurate is None:
            self._accurate = probability_above(self._accuracy_bound, *self.accuracy())
        return self._accurate

    def believed(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return means and deviations of latency (s, without waits) and accuracy, of shape (P,)."""
        compute_s, log_sd = self._compute()
        _, _, moving, still = self._size_statistics()
        mean, sd = self.accuracy()
        return (
            moving * (compute_s + self._transfer_s) + still * self._fixed_s,
            moving * compute_s * log_sd,
            mean[self._configuration],
            sd[self._configuration],
        )

    def accuracy(self) -> tuple[Floats, Floats]:
        """Return means and standard deviations of configurations' accuracies, of shape (C,)."""
        if self._pooled is not None:
            return self._pooled.predict()
        mean, sd = (each[:, 0] for each in self._accuracy.predict())
        if self._prior_accuracy is not None:
            mean = mean + self._prior_accuracy
        return mean, sd

    def leave_one_out_error(self) -> float:
        """Return the mean absolute leave-one-out error of the observed accuracies."""
        mean, _ = self._accuracy.leave_one_out()
        observed = list(self._accuracy.observed)
        values = self._values[observed]
        return float(np.abs(mean[:, 0] - values).mean()) if observed else float("inf")

    def log_time(self) -> tuple[Floats, Floats]:
        """Return means and standard deviations of operators' log times in s, of shape (C, N)."""
        if self._log_time is not None:
            return self._log_time
        mean, sd = (np.empty((self._count, len(self._times))) for _ in range(2))
        for operator, surrogate in enumerate(self._times):
            _put(*surrogate.predict(), surrogate.point_of, mean[:, operator], sd[:, operator])
        if self._prior_log_time is not None:
            mean += self._prior_log_time
        self._log_time = mean, sd
        return self._log_time

    def time_s(self) -> Floats:
        """Return the median time of each operator in each configuration in s, of shape (C, N)."""
        return self._believed_latency().time_s

    def _compute(self) -> tuple[Floats, Floats]:
        """Return the median (s) of each plan's computing time, and the deviation of its log.

        Computing times are log-normal. The median is the sum of the operators' medians. The
        deviation is found by the delta method. The prototype assumes a normal distribution, under
        which times can be negative if little is known.
        """
        log_mean, log_sd = self.log_time()
        time_s = np.exp(log_mean)[self._configuration]
        compute_s = np.einsum("pn,pn->p", self._factors, time_s)
        errors = self._factors * (time_s * log_sd[self._configuration])
        variance = np.einsum("pn,pn->p", errors, errors) / np.maximum(compute_s, 1e-300) ** 2
        return compute_s, np.sqrt(variance + self._size_statistics()[1])

    def _fast(self) -> Floats:
        """Return each plan's probability of meeting the latency bound, of shape (P,)."""
        return all_keep_bound(self._believed_latency())

    def _believed_latency(self) -> "PlanLatency":
        """Return the beliefs about the latency of plans."""
        if self._latency is None:
            log_mean, log_sd = self.log_time()
            self._latency = PlanLatency(
                self._configuration,
                self._factors,
                np.exp(log_mean),
                log_sd,
                self._transfer_s,
                self._fixed_s,
                self._bound(),
            )
        return self._latency

    def _bound(self) -> tuple[float, float, float, float]:
        """Return the latency bound, and three effects of request sizes on the latency quantile.

        The latency quantile is that of the log-normal distribution in ``sim.planning.queueing``,
        without waits. The quantile of the part of latency that scales with size is its mean times
        the factor ``exp(z s - s^2 / 2)``, with ``s^2 = log(1 + cv^2)``. Returns the bound in
        seconds (infinite for none), this factor, the factor by which the normalisation of latencies
        scales fixed times, and the relative variance of measured means.
        """
        cv, error, moving, still = self._size_statistics()
        spread = log1p(cv**2)
        bound_s = inf if self._bound_s is None else self._bound_s
        error += self._latency_error**2
        return bound_s, moving * exp(self._quantile * sqrt(spread) - spread / 2), still, error

    def _size_statistics(self) -> tuple[float, float, float, float]:
        """Return average size statistics of the profiled configurations, which share request sizes.

        The statistics are ``time_cv``, the relative variance of sample means, and both
        ``normalised`` values.
        """
        seen = np.count_nonzero(self._seen)
        if not seen:
            return 0.0, 0.0, 1.0, 1.0
        cv, error, moving, still = (self._sizes.sum(axis=0) / seen).tolist()
        return cv, error, moving, still


class _LogTime:
    """Surrogate of one operator's log time over its upstream knobs; it is fitted lazily.

    Args:
        grid: the distinct values of the operator's own and upstream knobs.
        point_of: index of each configuration's point in the grid, of shape (C,).
        centre: prior mean; None stands for the mean of the observations.
    """

    def __init__(self, grid: Grid, point_of: Ints, centre: float | None) -> None:
        self.point_of = point_of
        self._process = GaussianProcess(grid, centre=centre, scale=LOG_TIME_SCALE)
        self._unlearned: list[tuple[Sequence[int], Floats]] = []

    def observe_all(self, configurations: Sequence[int], values: Floats) -> None:
        """Learn configurations' log times, in place of earlier ones of the same knob values."""
        self._unlearned.append((configurations, values))

    def predict(self) -> tuple[Floats, Floats]:
        """Return means and standard deviations at all points of the grid, of shape (points, 1)."""
        for configurations, values in self._unlearned:
            points = self.point_of[configurations].tolist()
            self._process.observe_all(points, values[:, None])
        self._unlearned = []
        return self._process.predict()


@compiled
def _note(
    indices: Ints,
    accuracy: Floats,
    time_cv: Floats,
    samples: Floats,
    normalised: Floats,
    values: Floats,
    sizes: Floats,
    seen: Bools,
) -> None:
    """Write profiles of m configurations to ``values`` (C,), ``sizes`` (C, 4) and ``seen`` (C,).

    ``Cmbo.observe_all`` and ``Cmbo._size_statistics`` describe the values; ``accuracy`` is the
    residual from the prior.
    """
    for row, index in enumerate(indices):
        values[index], seen[index] = accuracy[row], True
        sizes[index, 0] = time_cv[row]
        sizes[index, 1] = time_cv[row] * time_cv[row] / samples[row]
        sizes[index, 2], sizes[index, 3] = normalised[row, 0], normalised[row, 1]


@compiled
def _put(means: Floats, sds: Floats, point_of: Ints, mean: Floats, sd: Floats) -> None:
    """Copy the mean and deviation of each point to its configurations."""
    for configuration, point in enumerate(point_of):
        mean[configuration], sd[configuration] = means[point, 0], sds[point, 0]


_normal_quantile = cache(NormalDist().inv_cdf)


def above(cost: Floats) -> float:
    """Return a cost slightly above all finite costs, so that every plan has a saving."""
    if not len(cost):
        return 1.0
    most, least = float(cost.max()), float(cost.min())
    return most + (0.05 * (most - least) or 1.0)
