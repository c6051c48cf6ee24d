"""CMBO: Compass's search for the next plan to profile, as arrays without a context.

Two surrogates (Compass paper, Fig. 8): accuracy depends on the configuration only, latency on the
whole plan. Profiling one configuration shows the time of each operator, from which the latency of
every plan of that configuration follows.

Reconstructed, and different from the authors' prototype: its latency surrogate is one process over
configurations and placements, with a row for each placement of a profiled configuration. Here each
operator's logarithmic time is a process over the knobs that reach it (its own and those upstream),
and a plan's latency is computed from these. That is the same information, exact for profiled
configurations; it errs less elsewhere, and its size is that of the configurations.
"""

from collections.abc import Sequence
from math import exp, inf, log1p, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from planners.bayesopt.acquisition import feasible_saving, probability_above
from planners.bayesopt.gaussian_process import GaussianProcess, Grid
from planners.compass.search.plan_latency import PlanLatency, all_keep_bound, best_saving
from scenarios.compiled import compiled
from scenarios.numerics import Bools, Floats, Ints

ACCURACY_CENTRE, ACCURACY_SCALE = 0.5, 0.25
"""Prior of accuracies, which lie from 0 to 1."""

LOG_TIME_SCALE = 1.0
"""Operator times typically differ e-fold between configurations; fits correct it."""

SHORTEST_S = 1e-9
"""Assumed time of operators that take no time."""


class Domain:
    """The configurations that surrogates work on, which all queries of an application share.

    Args:
        points: features of the configurations, as from ``planners.bayesopt.encodings``, (C, D).
        blocks: widths of the features' blocks, one per knob; see `GaussianProcess`.
        upstream: blocks that the time of each of N operators depends on, such as
            ``pipeline.upstream_knobs``.

    Attributes:
        accuracy: the points of accuracy.
        times: for each operator the points of its time, over the knobs that reach it, and the
            point of each configuration, shape (C,).
    """

    def __init__(
        self, points: Floats, blocks: Sequence[int], upstream: Sequence[tuple[int, ...]]
    ) -> None:
        self.accuracy = Grid(points, blocks)
        known = {reach: _reaching(points, blocks, reach) for reach in set(upstream)}
        self.times = [known[reach] for reach in upstream]

    def __len__(self) -> int:
        """Return how many configurations there are."""
        return len(self.accuracy)


def _reaching(points: Floats, blocks: Sequence[int], reach: tuple[int, ...]) -> tuple[Grid, Ints]:
    """Return the points over some blocks, and which of them each configuration is."""
    owner = np.repeat(np.arange(len(blocks)), blocks)
    reaching, widths = points[:, np.isin(owner, reach)], tuple(blocks[block] for block in reach)
    if not widths:
        return Grid(reaching[:1], widths), np.zeros(len(points), dtype=np.int64)
    reaching, point_of = np.unique(reaching, axis=0, return_inverse=True)
    return Grid(reaching, widths), point_of


class Cmbo:
    """Beliefs about all plans of one query after a few configurations were profiled.

    C configurations of D features, P plans, N operators.

    Args:
        points: a `Domain`; or features of the configurations, (C, D), with ``blocks`` and
            ``upstream``; see there.
        configuration: configuration of each plan, shape (P,).
        factors: time of each operator under each plan over that on profiling hardware, waits
            included, (P, N).
        transfer_s: transmission time of a mean request's messages under each plan, seconds, (P,).
        cost: cost of each plan, in any unit, (P,).
        latency_s: bound on the quantile of latency in seconds; None for none.
        accuracy: bound on mean accuracy; None for none.
        fixed_s: what request sizes do not scale, such as propagation, seconds, (P,) or a number.
        latency_quantile: the quantile that is bounded.
        latency_margin: part of the latency bound that is planned for.
        blocks: see `Domain`.
        upstream: see `Domain`; by default all blocks.
        prior_accuracy: accuracies by histories, shape (C,); surrogates learn the residuals.
        prior_log_time: likewise logarithms of operator times in seconds, shape (C, N).

    Attributes:
        reference: cost at which nothing is saved; only cheaper plans are proposed. At first a
            little above the most costly plan's.
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
        blocks: Sequence[int] | None = None,
        upstream: Sequence[tuple[int, ...]] | None = None,
        prior_accuracy: Floats | None = None,
        prior_log_time: Floats | None = None,
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
        self._bound_s = None if latency_s is None else latency_s * latency_margin
        self._accuracy_bound = accuracy
        self._quantile = NormalDist().inv_cdf(latency_quantile)
        self._prior_accuracy = prior_accuracy
        self._prior_log_time = prior_log_time
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
        """Number of indices that `observe` knows: the C configurations."""
        return self._count

    def subject(self, plan: int) -> int:
        """Return the index that `observe` takes once a plan was profiled: its configuration."""
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
        """Learn the profile of a configuration, in place of any earlier one.

        Args:
            index: the configuration.
            accuracy: mean over the items.
            accuracy_variance: variance of that mean.
            operator_time_s: mean time of each operator on profiling hardware, seconds, shape (N,).
            time_cv: coefficient of variation of the pipeline's time between requests.
            samples: items that the times rest on; None for no error.
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
        """Learn the profiles of m configurations; arguments of `observe` with a first axis of m.

        ``samples`` is infinite for no error.
        """
        self._log_time = self._accurate = self._latency = None
        log_time = np.log(np.maximum(operator_time_s, SHORTEST_S))
        if self._prior_accuracy is not None:
            accuracy = accuracy - self._prior_accuracy[indices]
        if self._prior_log_time is not None:
            log_time = log_time - self._prior_log_time[indices]
        self._accuracy.observe_all(indices, accuracy[:, None], accuracy_variance[:, None])
        for surrogate, values in zip(self._times, log_time.T, strict=True):
            surrogate.observe_all(indices, values)
        _note(
            np.array(indices),
            *(accuracy, time_cv, samples, normalised),
            *(self._values, self._sizes, self._seen),
        )

    def reprice(self, cost: Floats, reference: float | None = None) -> None:
        """Set the cost of each plan, (P,), infinite if impossible, and the reference.

        ``reference`` is by default a little above all costs.
        """
        self._cost = cost
        self.reference = above(cost[np.isfinite(cost)]) if reference is None else reference

    def propose(self, exclude: Bools | None = None, least: float = 0.0) -> int | None:
        """Return the first plan of the largest utility, or None.

        ``exclude`` marks unwanted configurations, (C,); plans count from ``least`` probability of
        keeping the SLO. None if no plan that counts is cheaper than the reference.
        """
        accurate = self._likely_accurate()
        if exclude is not None:
            accurate = np.where(exclude, 0.0, accurate)
        chosen = best_saving(self.reference, self._cost, accurate, self._believed_latency(), least)
        return None if chosen < 0 else int(chosen)

    def utility(self) -> Floats:
        """Return the feasibility-weighted saving of each plan, shape (P,)."""
        accurate = self._likely_accurate()[self._configuration]
        return feasible_saving(self.reference, self._cost, accurate, self._fast())

    def feasible(self) -> Floats:
        """Return the probability that each plan keeps the SLO, shape (P,)."""
        accurate = self._likely_accurate()[self._configuration]
        return np.asarray(accurate * self._fast())

    def believed(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return mean and sd of latency in seconds without waits, then of accuracy, each (P,)."""
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
        """Return mean and sd of each configuration's accuracy, each of shape (C,)."""
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
        """Return mean and sd of the logarithm of operator times in seconds, each (C, N)."""
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
        """Return the median of operator times in seconds, shape (C, N)."""
        return self._believed_latency().time_s

    def _likely_accurate(self) -> Floats:
        """Return the probability that each configuration is accurate enough, shape (C,)."""
        if self._accurate is None:
            self._accurate = probability_above(self._accuracy_bound, *self.accuracy())
        return self._accurate

    def _compute(self) -> tuple[Floats, Floats]:
        """Return plans' computing time as a log-normal: median in s, sd of the logarithm.

        The median is the sum of the operators' medians, and the deviation is by the delta method. A
        normal value, as in the prototype, could be negative while little is known.
        """
        log_mean, log_sd = self.log_time()
        time_s = np.exp(log_mean)[self._configuration]
        compute_s = np.einsum("pn,pn->p", self._factors, time_s)
        errors = self._factors * (time_s * log_sd[self._configuration])
        variance = np.einsum("pn,pn->p", errors, errors) / np.maximum(compute_s, 1e-300) ** 2
        return compute_s, np.sqrt(variance + self._size_statistics()[1])

    def _fast(self) -> Floats:
        """Return the probability that plans keep the bound on latency, shape (P,)."""
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
        """Return the bound on latency, and the effects of request sizes.

        The quantile is that of the log-normal in ``sim.planning.queueing``, without waits: ``exp(z
        s - s^2 / 2)`` times the mean of the scaled part, with ``s^2 = log(1 + cv^2)``.
        Returns the bound in seconds, infinite for none; that factor; the mean of a fixed time over
        a fixed time; and the relative variance of measured means.
        """
        cv, error, moving, still = self._size_statistics()
        spread = log1p(cv**2)
        bound_s = inf if self._bound_s is None else self._bound_s
        return bound_s, moving * exp(self._quantile * sqrt(spread) - spread / 2), still, error

    def _size_statistics(self) -> tuple[float, float, float, float]:
        """Return means over the profiled configurations; request sizes are the same for all.

        They are of ``time_cv``, the relative variance of sample means, and both ``normalised``.
        """
        seen = np.count_nonzero(self._seen)
        if not seen:
            return 0.0, 0.0, 1.0, 1.0
        cv, error, moving, still = (self._sizes.sum(axis=0) / seen).tolist()
        return cv, error, moving, still


class _LogTime:
    """The logarithm of one operator's time, over the knobs that reach it; learned lazily.

    Args:
        grid: the points.
        point_of: the point of each configuration, shape (C,).
        centre: prior mean; None for the mean of the observations.
    """

    def __init__(self, grid: Grid, point_of: Ints, centre: float | None) -> None:
        self.point_of = point_of
        self._process = GaussianProcess(grid, centre=centre, scale=LOG_TIME_SCALE)
        self._unlearned: list[tuple[Sequence[int], Floats]] = []

    def observe_all(self, configurations: Sequence[int], values: Floats) -> None:
        """Take configurations' values, in place of earlier ones with the same knobs."""
        self._unlearned.append((configurations, values))

    def predict(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation at each point of the grid, each (points, 1)."""
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
    """Fill ``values`` (C,), ``sizes`` (C, 4) and ``seen`` (C,) by profiles of m configurations.

    See ``Cmbo.observe_all`` and ``Cmbo._size_statistics``; ``accuracy`` is that beyond the prior.
    """
    for row, index in enumerate(indices):
        values[index], seen[index] = accuracy[row], True
        sizes[index, 0] = time_cv[row]
        sizes[index, 1] = time_cv[row] * time_cv[row] / samples[row]
        sizes[index, 2], sizes[index, 3] = normalised[row, 0], normalised[row, 1]


@compiled
def _put(means: Floats, sds: Floats, point_of: Ints, mean: Floats, sd: Floats) -> None:
    """Put means and sds of points, (points, 1), where their configurations are, (C,)."""
    for configuration, point in enumerate(point_of):
        mean[configuration], sd[configuration] = means[point, 0], sds[point, 0]


def above(cost: Floats) -> float:
    """Return a cost slightly above all, so that even the most costly plan has a saving."""
    if not len(cost):
        return 1.0
    most, least = float(cost.max()), float(cost.min())
    return most + (0.05 * (most - least) or 1.0)
