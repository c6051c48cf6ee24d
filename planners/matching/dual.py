"""Prices of the pools, from the Lagrangian dual of matching.

    bound(prices) =   sum over queries of max(0, max over its plans of weight - demand . prices)
                    + sum over plain pools of capacity . price
                    + sum over nodes of cards * max over layouts of layout . prices

At any prices it bounds the optimum and its LP relaxation from above. At the best prices it equals
the relaxation. With all maxima smoothed (Nesterov 2005), its gradient gives shares of plans and
layouts that solve the relaxation approximately.
"""

import numpy as np

from planners.common.arrays import Floats
from planners.common.lbfgsb import minimum
from planners.matching.problem import Problem

CORRECTIONS = 20
"""Earlier steps from which the curvature is taken."""


class Dual:
    """The dual of a problem, in prices scaled by the capacity of the pools."""

    def __init__(self, problem: Problem) -> None:
        from scipy.sparse import diags_array  # noqa: PLC0415 -- takes long to import

        supply = problem.supply
        self._problem = problem
        self.unit = np.where(supply.most > 0, supply.most, 1.0)
        self._share = (problem.taken @ diags_array(1 / self.unit)).tocsr()
        self._shares_of_pool = self._share.T.tocsr()
        self._size = np.diff(np.append(problem.first, len(problem.query)))
        self._plain = (supply.plain & (supply.most > 0)).astype(np.float64)
        self._cards = [
            (cards.pools, cards.count * cards.layouts / self.unit[cards.pools])
            for cards in supply.cards
        ]

    def reduced(self, scaled: Floats) -> Floats:
        """Return the weights less what plans pay, shape (M,)."""
        return np.asarray(self._problem.weight - self._share @ scaled)

    def bound(self, scaled: Floats) -> float:
        """Return what no matching exceeds."""
        gains = np.maximum(self._problem.best(self.reduced(scaled)), 0.0)
        supplied = float(self._plain @ scaled)
        for pools, share in self._cards:
            supplied += float((share @ scaled[pools]).max())
        return float(gains.sum()) + supplied

    def minimise(self, scaled: Floats, smooth: float, rounds: int) -> Floats:
        """Return better prices, (R,), by L-BFGS-B; ``smooth`` is the soft maxima's temperature."""
        return minimum(
            lambda prices: self._smoothed(prices, smooth),
            scaled,
            np.zeros(len(scaled)),
            np.full(len(scaled), np.inf),
            rounds,
            CORRECTIONS,
        )

    def shares(self, scaled: Floats, smooth: float) -> Floats:
        """Return the share that the smoothed solution gives each plan, shape (M,)."""
        return self._shares(scaled, smooth)[1]

    def _shares(self, scaled: Floats, smooth: float) -> tuple[float, Floats]:
        """Return the sum of queries' soft maxima, and the shares of plans."""
        reduced = self.reduced(scaled) / smooth
        top = np.maximum(self._problem.best(reduced), 0.0)
        odds = np.exp(reduced - np.repeat(top, self._size))
        total = np.add.reduceat(odds, self._problem.first) + np.exp(-top)
        return smooth * float((top + np.log(total)).sum()), odds / np.repeat(total, self._size)

    def _smoothed(self, scaled: Floats, smooth: float) -> tuple[float, Floats]:
        """Return the smoothed dual and its gradient."""
        gains, shares = self._shares(scaled, smooth)
        value = gains + float(self._plain @ scaled)
        gradient = self._plain - self._shares_of_pool @ shares
        for pools, share in self._cards:
            worth = share @ scaled[pools] / smooth
            top = worth.max()
            odds = np.exp(worth - top)
            total = odds.sum()
            value += smooth * float(top + np.log(total))
            gradient[pools] += odds @ share / total
        return value, np.asarray(gradient)
