"""Data sets: a population of content, and measurements on it for every configuration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import compiled
from scenarios.numerics import Floats
from scenarios.numerics.distributions import Constant, Variability


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a language model for a mean request.

    Args:
        prompt: tokens that it reads.
        output: tokens that each of its sequences generates.
        sequences: sequences that it generates at once from the prompt.
    """

    prompt: float
    output: float
    sequences: int = 1


@dataclass(frozen=True)
class Dataset:
    """A population of content, and measurements on it for every configuration.

    C configurations, N operators, E edges of the pipeline, S strata.

    Args:
        name: name of the data set.
        service_time_s: mean service time on the reference hardware, shape (C, N).
        message_bytes: mean size of the message on each edge, see ``Pipeline.edges``, shape (C, E).
        stratum_weights: share of each stratum in the population, shape (S,).
        accuracy: mean accuracy by stratum, shape (C, S).
        accuracy_quantiles: accuracy of one item by stratum at ``quantile_grid``, shape (C, S, Q);
            its mean over the piecewise-linear inverse CDF equals ``accuracy``.
        quantile_grid: increasing probabilities from 0 to 1, shape (C, S, Q).
        request_size: how requests differ in size; scales service times, messages and prompts alike.
        prompt_tokens: mean tokens that a language model reads, shape (C, N); 0 for other operators.
        output_tokens: mean tokens that each sequence of it generates, shape (C, N).
        sequences: sequences that it generates at once from one prompt, shape (C, N).
        output_length: how requests differ in the length of their output; scales output tokens.
    """

    name: str
    service_time_s: Floats
    message_bytes: Floats
    stratum_weights: Floats
    accuracy: Floats
    accuracy_quantiles: Floats
    quantile_grid: Floats
    request_size: Variability
    prompt_tokens: Floats | None = None
    output_tokens: Floats | None = None
    sequences: NDArray[np.int64] | None = None
    output_length: Variability = Constant()

    def tokens(self, configuration: int, operator: int) -> "Tokens":
        """Return the tokens that a language model reads and generates for a mean request.

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
            ranks: how easy each item is within its stratum, in [0, 1], shape (n,). An item keeps
                its rank in every configuration, so it stays the same item.

        Returns:
            Accuracies, shape (n,).
        """
        grid, quantiles = self.quantile_grid[configuration], self.accuracy_quantiles[configuration]
        return _interpolated(strata, ranks, grid, quantiles)


@compiled
def _interpolated(row: NDArray[np.int64], at: Floats, grid: Floats, values: Floats) -> Floats:
    """Interpolate linearly like ``numpy.interp``, each number in its own row; shape (n,).

    Binary search for the interval (Knuth, TAOCP 3, 6.2.1, algorithm B): O(n log Q).

    Args:
        row: row of each number, shape (n,).
        at: the numbers, shape (n,).
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
