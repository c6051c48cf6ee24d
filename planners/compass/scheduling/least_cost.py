"""The multi-query scheduler for ample machines: serve all queries at the least cost."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from planners.common.ranges import InRange, NonNegative, Share
from planners.compass.scheduling.scheduler import ByPrice
from planners.compass.state.pools import Pools, Standing
from scenarios.numerics import Floats
from scenarios.ranges import Range


@dataclass(frozen=True)
class LeastCost(InRange, ByPrice):
    """Serves all queries, at prices in dollars that are lower on rented machines.

    Machines are rented whole. If a share u of the rented machines is in use, the price of the rest
    is idle + (1 - idle) u^steepness times its list price. If no machine is rented yet, a plan pays
    ``opening`` times the list price, which accounts for the unused part of its machine. The paper
    confirms only that Compass can serve all queries at the least cost; prices are reconstructed.

    Args:
        steepness: the higher it is, the fuller machines are before others are rented.
        gain: the share of its cost that a running query must save to be moved, from 0 to 1.
        idle: price of unused parts at u = 0, relative to the list price, from 0 to 1.
        opening: price if no machine is rented, relative to the list price; 1 or more.
    """

    steepness: NonNegative = 4.0
    gain: Share = 0.3
    idle: Share = 0.1
    opening: Annotated[float, Range(ge=1)] = 2.0

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return the price of a unit of each pool in dollars per hour, of shape (R,)."""
        rented = pools.rented(standing.taken)
        busy = np.minimum(1.0, standing.taken / np.maximum(rented, 1e-9))
        share = self.idle + (1 - self.idle) * busy**self.steepness
        return np.asarray(pools.usd_per_hour * np.where(rented > 0, share, self.opening))
