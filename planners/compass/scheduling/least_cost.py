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
    """Prices pools in dollars, idle parts of rented machines lower; serves all queries.

    Machines are rented whole. With a share u of the rented ones taken, the rest costs idle + (1 -
    idle) u^steepness of its price. Where nothing is rented, a plan pays ``opening`` times the
    price, for the rest of the machine. The paper confirms only the mode: least cost with all
    queries served.

    Args:
        steepness: higher fills rented machines further before others are rented.
        gain: part of its cost that a move must save, from 0 to 1.
        idle: relative price of idle parts, from 0 to 1.
        opening: relative price where nothing is rented; 1 or more.
    """

    steepness: NonNegative = 4.0
    gain: Share = 0.3
    idle: Share = 0.1
    opening: Annotated[float, Range(ge=1)] = 2.0

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return the price of a unit of each pool in dollars per hour, idle ones less, (R,)."""
        rented = pools.rented(standing.taken)
        busy = np.minimum(1.0, standing.taken / np.maximum(rented, 1e-9))
        share = self.idle + (1 - self.idle) * busy**self.steepness
        return np.asarray(pools.usd_per_hour * np.where(rented > 0, share, self.opening))
