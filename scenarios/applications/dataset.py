"""Data sets: populations of content, with measurements of every configuration on them."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import compiled
from scenarios.numerics import Floats
from scenarios.numerics.distributions import Constant, Variability
from scenarios.numerics.normal_quantiles import normal_quantile

CONCENTRATION = 20.0
"""Similarity of users' content where none was measured, an assumption."""
LEAST_RANK = 1e-9
"""Least distance of ranks from 0 and 1, whose normal scores would be infinite."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a language model for an average request.

    Args:
        prompt: number of tokens that it reads.
        output: number of tokens in each sequence that it generates.
        sequences: number of sequences that it generates at the same time from the prompt.
    """

    prompt: float
    output: float
    sequences: int = 1


@dataclass(frozen=True)
class Dataset:
    """A population of content, with measurements of every configuration on it.

    There are C configurations, N operators, E edges of the pipeline and S strata.

    Args:
        name: name of the data set.
        service_time_s: mean service time on the reference hardware, shape (C, N).
        message_bytes: mean size of the message on each of ``Pipeline.edges``, shape (C, E).
        stratum_weights: share of each stratum in the population, shape (S,).
        accuracy: mean accuracy by stratum, shape (C, S).
        accuracy_quantiles: quantiles of the accuracy of single items in each stratum, at the
            probabilities ``quantile_grid``, shape (C, S, Q). The mean of this piecewise-linear
            inverse CDF equals ``accuracy``.
        quantile_grid: increasing probabilities from 0 to 1, shape (C, S, Q).
        request_size: distribution of request sizes relative to the mean; service times, messages
            and prompts are proportional to size.
        rank_correlation: Spearman's correlation, from 0 to 1, of the ranks that the items of a
            stratum have in two configurations whose accuracy differs. With 1, all configurations
            share one rank.
        content_concentration: measure of how similar the content of users is. Each user's mixture
            of strata is drawn from a Dirichlet distribution around ``stratum_weights``; the measure
            is the sum of that distribution's parameters.
        prompt_tokens: mean number of tokens that a language model reads, shape (C, N); 0 for
            operators without a language model.
        output_tokens: mean number of tokens in each generated sequence, shape (C, N).
        sequences: number of sequences generated from one prompt, shape (C, N).
        output_length: distribution of output lengths relative to the mean; output tokens are
            proportional to it.
    """

    name: str
    service_time_s: Floats
    message_bytes: Floats
    stratum_weights: Floats
    accuracy: Floats
    accuracy_quantiles: Floats
    quantile_grid: Floats
    request_size: Variability
    rank_correlation: float = 1.0
    content_concentration: float = CONCENTRATION
    prompt_tokens: Floats | None = None
    output_tokens: Floats | None = None
    sequences: NDArray[np.int64] | None = None
    output_length: Variability = Constant()

    def tokens(self, configuration: int, operator: int) -> "Tokens":
        """Return the tokens that a language model reads and generates for an average request.

        Raises:
            ValueError: the data set was not declared with tokens.
        """
        if self.prompt_tokens is None or self.output_tokens is None or self.sequences is None:
            raise ValueError(f"data set {self.name!r} declares no tokens")
        at = configuration, operator
        return Tokens(
            float(self.prompt_tokens[at]), float(self.output_tokens[at]), int(self.sequences[at])
        )

    def expected_accuracy(self, weights: Floats) -> Floats:
        """Return the accuracy of every configuration on a mixture of strata, shape (C,)."""
        return self.accuracy @ weights

    def item_accuracy(self, configuration: int, strata: NDArray[np.int64], ranks: Floats) -> Floats:
        """Return the accuracy of single items.

        Args:
            configuration: index of the configuration.
            strata: stratum of each item, shape (n,).
            ranks: each item's rank by accuracy within its stratum and in this configuration, from
                0 to 1, shape (n,).

        Returns:
            Accuracies, shape (n,).
        """
        grid, quantiles = self.quantile_grid[configuration], self.accuracy_quantiles[configuration]
        return _interpolated(strata, ranks, grid, quantiles)

    @cached_property
    def same_accuracy(self) -> NDArray[np.int64]:
        """The first configuration with the same accuracy on everything, shape (C,).

        A knob that changes no stratum's distribution is taken to change no item, either: in the
        clips measured on VOiCES, the mask of frequencies changes no word error rate.
        """
        count = len(self.accuracy)
        curves = np.concatenate((self.quantile_grid, self.accuracy_quantiles), axis=-1)
        rows = curves.reshape(count, -1)
        _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        return np.asarray(first[group.reshape(count)])

    def ranks_in_configuration(self, easiness: Floats, own: Floats) -> Floats:
        """Return the ranks of n items in one configuration, uniform in (0, 1), shape (n,).

        The method is a Gaussian copula: an item's score is a mixture of its easiness, which all
        configurations share, and of a part that only this configuration has. The two shares are
        such that ranks in two configurations have Spearman's correlation ``rank_correlation``
        (Pearson 1907: for normal scores with correlation c, it is 6 / pi x arcsin(c / 2)).

        Args:
            easiness: rank of each item's easiness, uniform in (0, 1), shape (n,).
            own: standard normal values of this configuration, shape (n,).
        """
        shared = 2 * math.sin(math.pi * self.rank_correlation / 6)
        return _mixed_ranks(easiness, own, math.sqrt(shared), math.sqrt(max(0.0, 1 - shared)))


@compiled
def _mixed_ranks(easiness: Floats, own: Floats, shared: float, rest: float) -> Floats:
    """Return the ranks of normal scores that are mixed from two parts, shape (n,)."""
    ranks = np.empty(len(easiness))
    for item in range(len(easiness)):
        rank = min(max(easiness[item], LEAST_RANK), 1 - LEAST_RANK)
        score = shared * normal_quantile(rank) + rest * own[item]
        ranks[item] = math.erfc(-score / math.sqrt(2)) / 2
    return ranks


@compiled
def _interpolated(row: NDArray[np.int64], at: Floats, grid: Floats, values: Floats) -> Floats:
    """Interpolate linearly like ``numpy.interp``, but each number in its own row of the grid.

    Binary search finds the interval (Knuth, TAOCP 3, 6.2.1, algorithm B), which takes O(n log Q).
    The result has shape (n,).

    Args:
        row: row of each number, shape (n,).
        at: the numbers at which to interpolate, shape (n,).
        grid: increasing points of each row, shape (S, Q).
        values: values at the points, shape (S, Q).
    """
    found = np.empty(len(at))
    last = grid.shape[1] - 1
    for number in range(len(at)):
        points, known, point = grid[row[number]], values[row[number]], at[number]
        if point > points[last]:
            found[number] = known[last]
            continue
        if point < points[0]:
            found[number] = known[0]
            continue
        # The last point that is not above lies in [low, high).
        low, high = 0, last + 1
        while high - low > 1:
            middle = (low + high) // 2
            if points[middle] <= point:
                low = middle
            else:
                high = middle
        if low == last or points[low] == point:
            found[number] = known[low]
        else:
            slope = (known[low + 1] - known[low]) / (points[low + 1] - points[low])
            found[number] = slope * (point - points[low]) + known[low]
    return found
