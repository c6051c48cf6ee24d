"""One model of accuracy for all queries of a data set, from which each query's surrogate starts.

Queries of a data set differ in content, but the same knobs make them more or less accurate. The
model is a Gaussian process over pairs of configuration c and query q with mean content x (the mean
features of the query's items, which cost nothing, relative to those of the data set),

    f(c, q) = level - richness(c) + sum over knobs k of g_k(c) + g(c) + slope(c) x + own(c, q)

All terms are independent and normal; their standard deviations are those of an `AccuracyPrior`.
Accuracy is assumed to fall with the position of a knob's choice, because choices are listed from
the richest to the cheapest. The covariances of g_k and of the interaction g are exponential in the
distance of a knob's choices. How much the knobs matter is not known, so the results under several
deviations of g_k and g are averaged by their marginal likelihoods (Hoeting et al., "Bayesian model
averaging", 1999).

All measured means of a query share the errors of its items, because its configurations are measured
on the same items, and an item is easy or hard for all of them. The errors of two means, of n and of
m >= n items that include the n, have the covariance ``alike`` times the item variance / m. So n
items of ten configurations tell less about the level than 10 n items of one, but much about
differences.

This replaces the weighted means of histories of ``planners.compass.search.history``, which do not
say how certain they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg.lapack import dtrtrs

from planners.bayesopt.gaussian_process import Grid
from planners.common.weak_cache import KEPT
from planners.compass.search.accuracy_prior import AccuracyPrior
from planners.compass.state.records import History, Seen
from scenarios.compiled import compiled
from scenarios.numerics import Floats

MOST_MEANS = 128
"""Most measured means of other queries that are used, because time grows with their cube."""

REMEMBERED = 64
"""Number of priors that are remembered, each of C x C numbers."""

LEAST_WEIGHT = 1e-3
"""Models with less than this share of the probability are left out of an average."""

EXACT = 100_000
"""Number of items from which on a mean is exact, as that of planners that see the truth."""


class Normal(NamedTuple):
    """A joint normal distribution of the accuracy of C configurations."""

    mean: Floats  # of shape (C,)
    covariance: Floats  # of shape (C, C)


class Parts(NamedTuple):
    """The prior mean and parts of the prior covariance that depend only on the configurations."""

    mean: Floats  # of shape (C,)
    own: Floats  # what content does not explain, of shape (C, C)
    slopes: Floats  # covariance of the effects of content, of shape (C, C)
    knobs: Floats  # how alike configurations are, summed over knobs, of shape (C, C)
    together: Floats  # how alike they are in all knobs, of shape (C, C)

    @classmethod
    def of(cls, grid: Grid, beliefs: AccuracyPrior) -> "Parts":
        """Return the parts for the configurations of a grid."""
        alike = _alike(grid)
        together, many = np.prod(alike, axis=0), len(grid)
        return cls(
            beliefs.level - beliefs.knob_loss * (_positions(grid) - 0.5).sum(axis=1),
            beliefs.query_sd**2 + beliefs.own_sd**2 * np.eye(many),
            beliefs.slope_sd**2 * (1 + beliefs.slopes_differ**2 * together),
            np.sum(alike, axis=0),
            together,
        )

    def effects(self, beliefs: AccuracyPrior, of: Any = slice(None)) -> list[Floats]:
        """Return the possible covariances of the effects of knobs, of the pairs at an index."""
        knobs, together = self.knobs[of], self.together[of]
        return [knob**2 * (knobs + share**2 * together) for knob, share, _ in beliefs.effects]


@dataclass(eq=False)
class PooledAccuracy:
    """The beliefs about the accuracy of C configurations for one query.

    Args:
        grid: features of the configurations, in blocks, one for each knob.
        typical: mean and standard deviation of the features of the data set's items, shape (2, F).
        content: mean features of the query's items, of shape (F,).
        histories: what was seen of other queries of the data set, and ahead of them, the nearest
            in content first. Those beyond `MOST_MEANS` measured means are not used.
        beliefs: what is believed before anything is measured.

    Attributes:
        item_variance: variance between items, the mean over configurations weighted by items.
    """

    grid: Grid
    typical: Floats
    content: Floats
    histories: Sequence[History]
    beliefs: AccuracyPrior = field(default_factory=AccuracyPrior)

    def __post_init__(self) -> None:
        self._others = Others(
            [each for each in self.histories if each.seen is not None],
            *(self.typical, self.content, self.beliefs),
        )
        self._rows: dict[int, tuple[float, float, float]] = {}
        self._predicted: tuple[Floats, Floats] | None = None
        self.item_variance = self._others.item_variance

    def observe_all(
        self, indices: Sequence[int], accuracy: Floats, variance: Floats, count: Floats
    ) -> None:
        """Observe the means of m configurations, in place of earlier ones, by shape (m,) arrays."""
        for index, *row in zip(
            indices, accuracy.tolist(), variance.tolist(), count.tolist(), strict=True
        ):
            if row[2] > 0:
                self._rows[int(index)] = row[0], row[1], row[2]
        self._predicted = None

    def predict(self) -> tuple[Floats, Floats]:
        """Return the mean and standard deviation of each configuration's accuracy, shape (C,)."""
        if self._predicted is None:
            prior = mean, covariance = _given_others(self.grid, self._others, self.beliefs)
            if self._rows:
                rows = np.array(list(self._rows.values()))
                own = Seen(np.array(list(self._rows), dtype=np.int64), *rows.T)
                items, squares = _item_sums([own], self._others.item_sums)
                self.item_variance = squares / items
                at = own.configuration
                theirs = covariance[np.ix_(at, at)]
                theirs += errors(own, self.item_variance, self.beliefs)
                mean, covariance = _given(prior, theirs, covariance[:, at], own.accuracy - mean[at])
            sd = np.sqrt(np.maximum(np.einsum("cc->c", covariance), 0.0))
            self._predicted = mean, sd
        return self._predicted


class Others:
    """What other queries tell about a query; equal if all numbers are.

    Args:
        histories: the results of other queries, at least one mean each, the nearest first.
        typical, content, beliefs: as for `PooledAccuracy`.

    Attributes:
        seen: the first results, with at most `MOST_MEANS` means, or those of the first query.
        here: the query's content, relative to that of the data set, in deviations of items.
        moved: the same of the queries of ``seen``, of shape (n, F).
        item_sums: number of items and sum of item variances, as `_item_sums` returns them.
        item_variance: the ratio of both.
    """

    def __init__(
        self,
        histories: Sequence[History],
        typical: Floats,
        content: Floats,
        beliefs: AccuracyPrior,
    ) -> None:
        first = _first(histories)
        self.seen = [each.seen for each in first if each.seen is not None]
        centre, scale = typical
        contents = np.array([content, *(each.content for each in first)])
        contents = (contents - centre) / np.where(scale > 0, scale, 1.0)
        self.here, self.moved = contents[0], contents[1:]
        items = beliefs.item_variance_items
        self.item_sums = _item_sums(self.seen, (items, items * beliefs.item_variance))
        self.item_variance = self.item_sums[1] / self.item_sums[0]
        numbers = [(*map(np.ndarray.tobytes, each[:4]), each.apart) for each in self.seen]
        self._key = contents.tobytes(), tuple(numbers)

    def __eq__(self, other: object) -> bool:
        """Return whether all numbers are equal."""
        return isinstance(other, Others) and self._key == other._key

    def __hash__(self) -> int:
        """Return a hash of all numbers."""
        return hash(self._key)


@lru_cache(maxsize=REMEMBERED)
def _given_others(grid: Grid, others: Others, beliefs: AccuracyPrior) -> Normal:
    """Return the beliefs about a query, given the results of others.

    The search for a query is resumed several times, mostly without new results of others.
    """
    parts = KEPT.of(grid, beliefs, lambda: Parts.of(grid, beliefs))
    mean, own, slopes = parts.mean, parts.own, parts.slopes
    here, moved, seen = others.here, others.moved, others.seen
    level_variance = beliefs.level_sd**2
    fixed = level_variance + slopes * float(here @ here) + own
    weights = np.array([probability for _, _, probability in beliefs.effects])
    if not seen:
        return Normal(mean, fixed + np.average(parts.effects(beliefs), axis=0, weights=weights))
    at = np.concatenate([each.configuration for each in seen])
    sizes = [len(each.accuracy) for each in seen]
    of = np.repeat(np.arange(len(seen)), sizes)
    square, alignment = np.ix_(at, at), (moved @ here)[of]
    theirs = level_variance + slopes[square] * (moved @ moved.T)[np.ix_(of, of)]
    theirs += np.where(of[:, None] == of, own[square], 0.0)
    for each, size, end in zip(seen, sizes, accumulate(sizes), strict=True):
        theirs[end - size : end, end - size : end] += errors(each, others.item_variance, beliefs)
    across = level_variance + slopes[:, at] * alignment
    return _averaged(
        [
            (Normal(mean, fixed + effect), theirs + there, across + effect[:, at])
            for effect, there in zip(
                parts.effects(beliefs), parts.effects(beliefs, square), strict=True
            )
        ],
        np.concatenate([each.accuracy for each in seen]) - mean[at],
        np.log(weights),
    )


def _first(histories: Sequence[History]) -> list[History]:
    """Return the first histories, which have at most `MOST_MEANS` measured means together."""
    many, chosen = 0, list[History]()
    for each in histories:
        many += 0 if each.seen is None else len(each.seen.accuracy)
        if many > MOST_MEANS and chosen:
            break
        chosen.append(each)
    return chosen


def _alike(grid: Grid) -> Floats:
    """Return how alike configurations are in each of K knobs, from 0 to 1, of shape (K, C, C)."""
    alike = np.ones((len(grid.widths), len(grid), len(grid)))
    for block in range(len(grid.widths)):
        points = grid.points[:, grid.block_of == block]
        # 0 for equal choices, and 1 for the ends of an ordered knob or for two names
        alike[block] = np.exp(-np.abs(points[:, None, :] - points[None, :, :]).max(axis=2))
    return alike


def _positions(grid: Grid) -> Floats:
    """Return the place of each knob's choice from 0, the richest, to 1, of shape (C, K)."""
    places = np.empty((len(grid), len(grid.widths)))
    for block, width in enumerate(grid.widths):
        points = grid.points[:, grid.block_of == block]
        places[:, block] = points[:, 0] if width == 1 else points.argmax(axis=1) / (width - 1)
    return places


def _given(prior: Normal, theirs: Floats, across: Floats, found: Floats) -> Normal:
    """Return the beliefs given n measurements.

    ``theirs`` is the covariance of the measurements, of shape (n, n), ``across`` that of
    configurations and measurements, of shape (C, n), and ``found`` their distance from the prior.
    """
    lower = _factor(theirs)
    return _moved(prior, lower, across, _whitened(lower, found))


def _averaged(
    models: Sequence[tuple[Normal, Floats, Floats]], found: Floats, log_weights: Floats
) -> Normal:
    """Return the mean and covariance of the beliefs under several models, given n measurements.

    A model has a prior and the covariances that `_given` describes. ``log_weights`` are the
    logarithms of the models' prior probabilities, of shape (models,).
    """
    lowers = [_factor(theirs) for _, theirs, _ in models]
    whites = [_whitened(lower, found) for lower in lowers]
    evidence = log_weights + [
        -0.5 * float(white @ white) - float(np.log(np.einsum("nn->n", lower)).sum())
        for lower, white in zip(lowers, whites, strict=True)
    ]
    weights = np.exp(evidence - evidence.max())
    weights = np.where(weights > LEAST_WEIGHT * weights.sum(), weights, 0.0)
    weights /= weights.sum()
    likely = np.flatnonzero(weights).tolist()
    beliefs = [_moved(models[at][0], lowers[at], models[at][2], whites[at]) for at in likely]
    mean = np.einsum("m,mc->c", weights[likely], np.array([each.mean for each in beliefs]))
    covariance = np.zeros((len(mean), len(mean)))
    for weight, each in zip(weights[likely].tolist(), beliefs, strict=True):
        off = each.mean - mean
        covariance += weight * (each.covariance + off[:, None] * off)
    return Normal(mean, covariance)


def _factor(covariance: Floats) -> Floats:
    """Return the lower triangular Cholesky factor L, so that L L^T is the covariance."""
    return np.asarray(np.linalg.cholesky(covariance), dtype=float)


def _whitened(lower: Floats, found: Floats) -> Floats:
    """Return the solution of L x = ``found`` for a lower triangular L; as columns if 2-D."""
    return np.asarray(dtrtrs(lower, found, lower=1)[0])


def _moved(prior: Normal, lower: Floats, across: Floats, white: Floats) -> Normal:
    """Return the beliefs after measurements with the Cholesky factor ``lower``."""
    gain = _whitened(lower, across.T)
    return Normal(prior.mean + gain.T @ white, prior.covariance - gain.T @ gain)


def _item_sums(every: Sequence[Seen], before: tuple[float, float]) -> tuple[float, float]:
    """Return the number of items, and the sum of item variances weighted by it, with ``before``.

    Single items tell nothing about their variance, and exact means have no sample.
    """
    count, whole = before
    for seen in every:
        sampled = (seen.items > 1) & (seen.items < EXACT)
        count += float(seen.items[sampled].sum())
        whole += float((seen.items**2 * seen.variance)[sampled].sum())
    return count, whole


def errors(seen: Seen, item_variance: float, beliefs: AccuracyPrior) -> Floats:
    """Return the covariance of the errors of m means of one query's items, of shape (m, m)."""
    alike = 0.0 if seen.apart else beliefs.alike
    return _errors(seen.items, seen.variance, item_variance, beliefs.common_items, alike)


@compiled
def _errors(
    count: Floats, variance: Floats, item_variance: float, common_items: float, alike: float
) -> Floats:
    many = len(count)
    sd, found = np.empty(many), np.empty((many, many))
    for row in range(many):
        its = variance[row]
        if count[row] < EXACT:
            of_items = count[row] ** 2 * its + common_items * item_variance
            its = of_items / (count[row] + common_items) / count[row]
        sd[row] = np.sqrt(its)
        for other in range(row + 1):
            least, most = min(count[row], count[other]), max(count[row], count[other])
            shared = 0.0 if most >= EXACT else alike * np.sqrt(least / most)
            shared = 1.0 if row == other else shared
            found[row, other] = shared * sd[row] * sd[other]
            found[other, row] = shared * sd[other] * sd[row]
    return found
