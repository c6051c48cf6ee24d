"""CMBO: Compass's search for the next plan to profile, as arrays that know no desk.

Two surrogates believe in plans (Compass paper, Fig. 8): accuracy depends on the configuration only,
latency on the whole plan. Profiling one configuration shows the time of each operator, from which
the latency of every plan of that configuration follows; a search that sees one plan's latency at a
time learns far less from it.

Reconstructed, and different from the authors' prototype: its latency surrogate is one process over
configurations and placements, which is given a row for each placement of a profiled configuration.
Here each operator's logarithmic time is a process over the knobs that reach it (its own and those
upstream), and a plan's latency is worked out from these. That is the same information, exact for
profiled configurations; it errs less elsewhere, and its size is that of the configurations, not of
the plans.
"""

from collections.abc import Sequence
from math import exp, log1p, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planners.acquisition import feasible_saving, probability_above, probability_below
from planners.surrogates import GaussianProcess, Grid

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

ACCURACY_CENTRE, ACCURACY_SCALE = 0.5, 0.25
"""What is believed of accuracies, which lie from 0 to 1, before any is seen."""

LOG_TIME_SCALE = 1.0
"""Operator times typically differ e-fold between configurations; fits correct it."""

SHORTEST_S = 1e-9
"""Operators that take no time are taken to take this long."""


LOOKED_AT = 128
"""Plans of the largest promise that are looked at first, to know which others need not be."""

EVERY = slice(None)


class Domain:
    """The configurations that surrogates work on, which all queries of an application share.

    Args:
        points: features of the configurations, shape (C, D), as from ``planners.encodings``.
        blocks: widths of the features' blocks, one per knob; see `GaussianProcess`.
        upstream: numbers of the blocks that each of N operators' time depends on, such as
            ``pipeline.upstream_knobs``.

    Attributes:
        accuracy: the points of accuracy.
        times: for each operator the points of its time, over the knobs that reach it, and the
            point of each configuration, shape (C,). Configurations that differ in other knobs only
            are one point, as profiling has it.
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


def _reaching(
    points: Floats, blocks: Sequence[int], reach: tuple[int, ...]
) -> tuple[Grid, Integers]:
    """Return the points over some blocks, and which of them each configuration is."""
    owner = np.repeat(np.arange(len(blocks)), blocks)
    reaching, widths = points[:, np.isin(owner, reach)], tuple(blocks[block] for block in reach)
    if not widths:
        return Grid(reaching[:1], widths), np.zeros(len(points), dtype=np.int64)
    reaching, point_of = np.unique(reaching, axis=0, return_inverse=True)
    return Grid(reaching, widths), point_of


class Cmbo:
    """Believes in all plans of one query after a few configurations were profiled.

    C configurations of D features, P plans, N operators. Surrogates work on configurations; plans
    take a few array operations each time, so 50,000 of them are well possible.

    Args:
        points: features of the configurations, shape (C, D), as from ``planners.encodings``; or a
            `Domain` of them, which says what the next two arguments would.
        configuration: configuration of each plan, shape (P,).
        factors: time of each operator under each plan over that on profiling hardware, (P, N); to
            search under load, with the waits that a station of that load adds.
        transfer_s: transmission time of a mean request's messages under each plan, seconds, (P,).
        cost: cost of each plan, in any unit, (P,).
        latency_s: bound on the quantile of latency in seconds; None for none.
        accuracy: bound on mean accuracy; None for none.
        fixed_s: what request sizes do not scale, such as propagation delays, seconds, (P,) or one
            number.
        latency_quantile: the quantile that is bounded.
        latency_margin: part of the latency bound that is planned for. Below 1 it leaves headroom
            for what profiling does not see: slow devices, weak links.
        blocks: widths of the features' blocks, one per knob; see `GaussianProcess`.
        upstream: numbers of the blocks that each operator's time depends on, such as
            ``pipeline.upstream_knobs``; by default all.
        prior_accuracy: accuracies that histories tell, shape (C,); surrogates then learn what is
            left.
        prior_log_time: logarithms of operator times in seconds, likewise, shape (C, N).

    Attributes:
        reference: cost that there is nothing to save at. At first a little above the most costly
            plan's; set it to the cost of the best plan found, and only cheaper ones are proposed.
    """

    def __init__(
        self,
        points: Floats | Domain,
        configuration: Integers,
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
        self._seen: Booleans = np.zeros(count, dtype=bool)
        self._count = count
        self._log_time: tuple[Floats, Floats] | None = None
        self.reference = above(cost)

    @property
    def subjects(self) -> int:
        """How many indices `observe` knows: the C configurations."""
        return self._count

    def subject(self, plan: int) -> int:
        """Return what `observe` is to be told of once a plan was profiled: its configuration."""
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
        """Learn what profiling a configuration has shown; again, in place of the earlier result.

        Args:
            index: the configuration.
            accuracy: mean over the items.
            accuracy_variance: variance of that mean.
            operator_time_s: mean time of each operator on profiling hardware, seconds, shape (N,).
            time_cv: coefficient of variation of the pipeline's time between requests.
            samples: items that the times rest on; None for so many that their error is nothing.
            normalised: what dividing by allowances does to means; see ``Measurement.normalised``.
        """
        self._log_time = None
        log_time = np.log(np.maximum(operator_time_s, SHORTEST_S))
        if self._prior_accuracy is not None:
            accuracy -= float(self._prior_accuracy[index])
        if self._prior_log_time is not None:
            log_time = log_time - self._prior_log_time[index]
        self._accuracy.observe(index, accuracy, accuracy_variance)
        self._values[index] = accuracy
        for surrogate, value in zip(self._times, log_time.tolist(), strict=True):
            surrogate.observe(index, value)
        error = 0.0 if samples is None else time_cv**2 / samples
        self._sizes[index], self._seen[index] = (time_cv, error, *normalised), True

    def reprice(self, cost: Floats, reference: float | None = None) -> None:
        """Set what plans cost, such as when more is believed of the load that they would be.

        Args:
            cost: cost of each plan, shape (P,); infinite for those that cannot be had.
            reference: cost that there is nothing to save at; None for a little above all.
        """
        self._cost = cost
        self.reference = above(cost[np.isfinite(cost)]) if reference is None else reference

    def propose(self, exclude: Booleans | None = None) -> int | None:
        """Return the plan with the largest utility, and of equals the first.

        Args:
            exclude: configurations that are not wanted, such as those profiled, shape (C,).

        Returns:
            Index of the plan; None if none is left that costs less than the reference and could be
            feasible.
        """
        allowed = None if exclude is None else ~exclude[self._configuration]
        mean, sd = self.accuracy()
        accurate = probability_above(self._accuracy_bound, mean, sd)[self._configuration]
        # If it were fast for sure. Nothing that promises less than another does can be the best.
        most = feasible_saving(self.reference, self._cost, accurate, 1.0)
        if allowed is not None:
            most = np.where(allowed, most, 0.0)
        some = np.flatnonzero(most > 0)
        if len(some) > 2 * LOOKED_AT:
            first = some[np.argpartition(-most[some], LOOKED_AT)[:LOOKED_AT]]
            some = some[most[some] >= (most[first] * self._fast(first)).max()]
        utility = most[some] * self._fast(some)
        chosen = best(utility)
        return None if chosen is None else int(some[chosen])

    def utility(self) -> Floats:
        """Return the feasibility-weighted saving of each plan, shape (P,)."""
        mean, sd = self.accuracy()
        accurate = probability_above(self._accuracy_bound, mean, sd)[self._configuration]
        return feasible_saving(self.reference, self._cost, accurate, self._fast())

    def feasible(self) -> Floats:
        """Return the probability that each plan keeps the SLO, shape (P,)."""
        mean, sd = self.accuracy()
        accurate = probability_above(self._accuracy_bound, mean, sd)[self._configuration]
        return np.asarray(accurate * self._fast())

    def believed(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return what is believed of each plan: mean and sd of latency, and of accuracy.

        Of the mean latency in seconds without waits, and of the mean accuracy; each of shape (P,).
        """
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
        """Return the mean absolute error of each observed accuracy as told by the others."""
        mean, _ = self._accuracy.leave_one_out()
        observed = list(self._accuracy.observed)
        values = self._values[observed]
        return float(np.abs(mean[:, 0] - values).mean()) if observed else float("inf")

    def log_time(self) -> tuple[Floats, Floats]:
        """Return mean and sd of the logarithm of operator times in seconds, each (C, N)."""
        if self._log_time is not None:
            return self._log_time
        moments = [surrogate.predict() for surrogate in self._times]
        mean = np.column_stack([mean for mean, _ in moments])
        if self._prior_log_time is not None:
            mean += self._prior_log_time
        self._log_time = mean, np.column_stack([sd for _, sd in moments])
        return self._log_time

    def _compute(self, plans: Integers | slice = EVERY) -> tuple[Floats, Floats]:
        """Return plans' computing time as a log-normal: median in s, sd of the logarithm.

        The median is taken as the sum of the operators' medians, and the deviation by the delta
        method. A normal value, as in the prototype, would be below 0 with some probability as long
        as little is known, for times spread over decades.
        """
        log_mean, log_sd = self.log_time()
        time_s = np.exp(log_mean)
        configuration, factors = self._configuration[plans], self._factors[plans]
        compute_s = np.einsum("pn,pn->p", factors, time_s[configuration])
        errors = factors * (time_s * log_sd)[configuration]
        variance = np.einsum("pn,pn->p", errors, errors) / np.maximum(compute_s, 1e-300) ** 2
        return compute_s, np.sqrt(variance + self._size_statistics()[1])

    def _fast(self, plans: Integers | slice = EVERY) -> Floats:
        """Return the probability that plans keep the bound on latency, of all by default.

        The quantile is that of the log-normal that ``sim.prediction`` takes, without waits: what
        request sizes scale is ``exp(z s - s^2 / 2)`` times its mean, with ``s^2 = log(1 + cv^2)``.
        """
        if self._bound_s is None:
            return np.ones(len(self._cost[plans]))
        cv, _, moving, still = self._size_statistics()
        spread = log1p(cv**2)
        moving *= exp(self._quantile * sqrt(spread) - spread / 2)
        fixed_s, transfer_s = self._fixed_s[plans], self._transfer_s[plans]
        left_s = (self._bound_s - still * fixed_s) / moving - transfer_s
        compute_s, log_sd = self._compute(plans)
        # A plan of no time left fails for sure, whatever its computing time.
        possible = left_s > 0
        log_left = np.log(np.where(possible, left_s, 1.0))
        log_compute = np.log(np.maximum(compute_s, 1e-300))
        return np.asarray(possible * probability_below(log_left, log_compute, log_sd))

    def _size_statistics(self) -> tuple[float, float, float, float]:
        """Return means over the profiled configurations, for all serve requests of the same sizes.

        Of the coefficient of variation, the relative variance of sample means, and both parts of
        ``normalised``.
        """
        seen = int(self._seen.sum())
        if not seen:
            return 0.0, 0.0, 1.0, 1.0
        cv, error, moving, still = (self._sizes.sum(axis=0) / seen).tolist()
        return cv, error, moving, still


class _LogTime:
    """The logarithm of one operator's time, over the knobs that reach it.

    Args:
        grid: the points.
        point_of: the point of each configuration, shape (C,).
        centre: what is believed before anything is observed; None for the mean of what is.
    """

    def __init__(self, grid: Grid, point_of: Integers, centre: float | None) -> None:
        self._point_of = point_of
        self._process = GaussianProcess(grid, centre=centre, scale=LOG_TIME_SCALE)

    def observe(self, configuration: int, value: float) -> None:
        """Take a configuration's value, in place of an earlier one with the same knobs."""
        self._process.observe(int(self._point_of[configuration]), value)

    def predict(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation for each configuration, each of shape (C,)."""
        mean, sd = self._process.predict()
        return mean[self._point_of, 0], sd[self._point_of, 0]


def best(utility: Floats, allowed: Booleans | None = None) -> int | None:
    """Return the first index of the largest utility above 0 among the allowed, or None.

    Args:
        utility: of each plan, shape (P,).
        allowed: which may be chosen, shape (P,); by default all.
    """
    if allowed is not None:
        utility = np.where(allowed, utility, 0.0)
    chosen = int(np.argmax(utility)) if len(utility) else 0
    return chosen if len(utility) and utility[chosen] > 0 else None


def above(cost: Floats) -> float:
    """Return a cost a little above all, so that even the most costly plan saves something."""
    if not len(cost):
        return 1.0
    most, least = float(cost.max()), float(cost.min())
    return most + (0.05 * (most - least) or 1.0)
