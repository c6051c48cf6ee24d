"""One model of accuracy for all queries of a data set, from which each query's surrogate starts.

Queries of a data set differ in content, but the same knobs make them more or less accurate. The
model is a Gaussian process over pairs of configuration c and query q with mean content x (the mean
features of the query's items, which cost nothing, relative to those of the data set),

    f(c, q) = level + sum over knobs of g_k(c) + g(c) + (slope + slope(c)) x + own(q) + own(c, q)

All terms are independent and normal, with the standard deviations stated below. They are
assumptions. The covariances of g_k and g are exponential in the distance of a knob's choices, and
g is the interaction of all knobs. All measured means of a query share the errors of its items: the
configurations of a query are measured on the same items, and an item is easy or hard for all of
them. So the errors of two means, of n and m > n items that include the n, have the covariance
`ALIKE` times the item variance / m. Thus n items of ten configurations tell less about the level
than 10 n items of one, but much about differences between configurations.

This replaces the weighted means of histories of ``planners.compass.search.history``, which do not
say how certain they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planners.bayesopt.gaussian_process import Grid
from planners.compass.state.records import History, Seen
from scenarios.numerics import Floats, Ints

CENTRE, LEVEL_SD = 0.5, 0.25
"""Prior mean and deviation of a data set's level: accuracies lie between 0 and 1."""

KNOB_SD, TOGETHER_SD = 0.08, 0.03
"""Prior deviations of the effect of each knob and of the interaction of all knobs."""

SLOPE_SD, SLOPES_DIFFER = 0.2, 0.3
"""Prior deviation of the effect of content that is one standard deviation (of items) away, and how
much this effect differs between configurations, relative to it.
"""

QUERY_SD, OWN_SD = 0.01, 0.005
"""Prior deviations of what content does not explain, of a query and of a query's configuration."""

ALIKE = 0.7
"""Correlation of the accuracy of an item in two configurations."""

SPREAD_ITEMS = 64.0
"""Number of items as which the item variance common to a data set counts for a configuration."""

TYPICAL_VARIANCE = 0.05
"""Item variance before anything was measured, which counts as much as `SPREAD_ITEMS` items."""


@dataclass(eq=False)
class PooledAccuracy:
    """The beliefs about the accuracy of C configurations for one query.

    Args:
        grid: features of the configurations, in blocks, one for each knob.
        typical: mean and standard deviation of the features of the data set's items, shape (2, F).
        content: mean features of the query's items, of shape (F,).
        histories: what was seen of other queries of the data set, and ahead of them.
    """

    grid: Grid
    typical: Floats
    content: Floats
    histories: Sequence[History]

    def __post_init__(self) -> None:
        self._others = [each for each in self.histories if each.seen is not None]
        self._rows: dict[int, tuple[float, float, float]] = {}
        self._prior: tuple[Floats, Floats] | None = None
        self._predicted: tuple[Floats, Floats] | None = None
        self._item_variance = _item_variance(
            [each.seen for each in self._others if each.seen is not None]
        )

    def __len__(self) -> int:
        """Return the number of observed configurations."""
        return len(self._rows)

    def observe_all(
        self, indices: Sequence[int], accuracy: Floats, variance: Floats, count: Floats
    ) -> None:
        """Observe the means of m configurations, in place of earlier ones, by shape (m,) arrays."""
        for row in zip(
            map(int, indices), accuracy.tolist(), variance.tolist(), count.tolist(), strict=True
        ):
            self._rows[row[0]] = row[1:]
        self._predicted = None

    @property
    def item_variance(self) -> float:
        """Variance of the accuracy between items, common to the data set."""
        return self._item_variance

    def predict(self) -> tuple[Floats, Floats]:
        """Return the mean and standard deviation of each configuration's accuracy, shape (C,)."""
        if self._predicted is None:
            mean, covariance = self._start()
            if self._rows:
                rows = np.array(list(self._rows.values()))
                own = Seen(
                    np.array(list(self._rows), dtype=np.int64), rows[:, 0], rows[:, 1], rows[:, 2]
                )
                mean, covariance = _conditioned(
                    mean, covariance, own, _noise(own, self._item_variance)
                )
            sd = np.sqrt(np.maximum(np.einsum("cc->c", covariance), 0.0))
            self._predicted = mean, sd
        return self._predicted

    def _start(self) -> tuple[Floats, Floats]:
        """Return the mean (C,) and covariance (C, C) given the other queries' results."""
        if self._prior is None:
            self._prior = self._given_others()
        return self._prior

    def _given_others(self) -> tuple[Floats, Floats]:
        level, slopes = kernels(self.grid)
        many = len(level)
        here = self._moved(self.content)
        own = QUERY_SD**2 + OWN_SD**2 * np.eye(many)
        mean = np.full(many, CENTRE)
        covariance = level + slopes * float(here @ here) + own
        seen = [each.seen for each in self._others if each.seen is not None]
        if not seen:
            return mean, covariance
        at = np.concatenate([each.configuration for each in seen])
        of = np.repeat(np.arange(len(seen)), [len(each.configuration) for each in seen])
        moved = np.array([self._moved(each.content) for each in self._others])
        together = moved @ moved.T
        same = of[:, None] == of[None, :]
        theirs = level[np.ix_(at, at)] + slopes[np.ix_(at, at)] * together[np.ix_(of, of)]
        theirs += same * own[np.ix_(at, at)]
        start = 0
        for each in seen:
            end = start + len(each.configuration)
            theirs[start:end, start:end] += _noise(each, self._item_variance)
            start = end
        across = level[:, at] + slopes[:, at] * (moved @ here)[of]
        measured = np.concatenate([each.accuracy for each in seen]) - CENTRE
        gain = np.linalg.solve(theirs, across.T).T
        return mean + gain @ measured, covariance - gain @ across.T

    def _moved(self, content: Floats) -> Floats:
        """Return mean content relative to the data set's, in deviations of items, shape (F,)."""
        centre, scale = self.typical
        return np.asarray((content - centre) / np.where(scale > 0, scale, 1.0))


def kernels(grid: Grid) -> tuple[Floats, Floats]:
    """Return the covariances of levels and of slopes between configurations, of shape (C, C)."""
    together = np.ones((len(grid), len(grid)))
    level = np.full_like(together, LEVEL_SD**2)
    for block in range(len(grid.widths)):
        points = grid.points[:, grid.block_of == block]
        # 0 for equal choices, 1 for the ends of an ordered knob or two names
        far = np.abs(points[:, None, :] - points[None, :, :]).max(axis=2)
        alike = np.exp(-far)
        level += KNOB_SD**2 * alike
        together *= alike
    level += TOGETHER_SD**2 * together
    return level, SLOPE_SD**2 * (1 + SLOPES_DIFFER**2 * together)


def _conditioned(
    mean: Floats, covariance: Floats, seen: Seen, noise: Floats
) -> tuple[Floats, Floats]:
    """Return the mean and covariance given what was seen."""
    at = seen.configuration
    across = covariance[:, at]
    gain = np.linalg.solve(covariance[np.ix_(at, at)] + noise, across.T).T
    return mean + gain @ (seen.accuracy - mean[at]), covariance - gain @ across.T


def _item_variance(every: Sequence[Seen]) -> float:
    """Return the variance between items, the mean over configurations weighted by items."""
    count, total = SPREAD_ITEMS, SPREAD_ITEMS * TYPICAL_VARIANCE
    for seen in every:
        sampled = seen.count < EXACT
        count += float(seen.count[sampled].sum())
        total += float((seen.count**2 * seen.variance)[sampled].sum())
    return total / count


EXACT = 100_000
"""Number of items from which on a mean is exact, as that of planners that see the truth."""


def _noise(seen: Seen, item_variance: float) -> Floats:
    """Return the covariance of the errors of m means of one query's items, of shape (m, m)."""
    count = seen.count
    exact = count >= EXACT
    of_items = count * count * seen.variance + SPREAD_ITEMS * item_variance
    variance = of_items / (count + SPREAD_ITEMS) / count
    sd = np.sqrt(np.where(exact, seen.variance, variance))
    most = np.maximum(count[:, None], count[None, :])
    least = np.minimum(count[:, None], count[None, :])
    shared = ALIKE * np.sqrt(least / most) * ~(exact[:, None] | exact[None, :])
    np.einsum("mm->m", shared)[:] = 1.0
    return np.asarray(shared * sd[:, None] * sd[None, :])
