"""The multi-query scheduler for where machines abound: serve all queries, at the least cost."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.common.ranges import at_least, within
from planners.compass.scheduling.scheduler import ByPrice
from planners.compass.state.pools import Pools, Standing

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LeastCost(ByPrice):
    """Prices pools in dollars, and what stands idle on rented machines lower; serves everybody.

    Machines are rented as a whole. So what is left of the rented ones costs ``idle`` of its price,
    and more the less is left: with a share u of it taken, idle + (1 - idle) u^steepness. Where
    nothing is rented yet, a plan pays ``opening`` times the price, for the rest of the machine that
    it opens.

    Confirmed by the paper is the mode, to minimise cost while all queries are served; how, is ours.

    Args:
        steepness: how late the price of rented machines rises. The higher, the fuller they get
            before others are rented.
        gain: part of its cost that a move must save, from 0 to 1.
        idle: price of what stands idle, over that of what has to be rented, from 0 to 1.
        opening: price where nothing is rented, likewise; 1 or more.

    Raises:
        ValueError: a parameter is out of range.
    """

    steepness: float = 4.0
    gain: float = 0.3
    idle: float = 0.1
    opening: float = 2.0

    def __post_init__(self) -> None:
        at_least(0, steepness=self.steepness)
        within(0, 1, gain=self.gain, idle=self.idle)
        at_least(1, opening=self.opening)

    def prices(self, pools: Pools, standing: Standing) -> Floats:
        """Return what a unit of each pool costs in dollars per hour, idle ones less."""
        rented = pools.rented(standing.taken)
        busy = np.minimum(1.0, standing.taken / np.maximum(rented, 1e-9))
        share = self.idle + (1 - self.idle) * busy**self.steepness
        return np.asarray(pools.usd_per_hour * np.where(rented > 0, share, self.opening))
