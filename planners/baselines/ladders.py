"""Sharing a pool among queries by marginal utility: ladders of options, and who climbs them.

Pure functions. A ladder is what one query can buy: each rung costs more of the pool than the one
below and is worth more, at falling returns; below the first lies nothing, for nothing. To climb
rung by rung is what giving a small unit of resource at a time comes to, as nothing changes for a
query between two rungs.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Literal

from planners.common.one_node import Use
from sim import Plan

Objective = Literal["max_sum", "max_min"]
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve a query.

    Args:
        plan: the plan.
        uses: what it takes of the pool.
        utility: what it is worth; not being served is worth 0.
    """

    plan: Plan
    uses: tuple[Use, ...]
    utility: float

    @property
    def dominant_share(self) -> float:
        """Share of the resource of which it takes most."""
        shares: dict[int, float] = {}
        for use in self.uses:
            shares[use.resource] = shares.get(use.resource, 0.0) + use.slots * use.share
        return max(shares.values(), default=0.0)


class Pool:
    """What options take together, in whole slots.

    Attributes:
        taken: share of each resource that is taken.
    """

    def __init__(self) -> None:
        self.taken: defaultdict[int, float] = defaultdict(float)
        self._slots: defaultdict[Hashable, float] = defaultdict(float)

    def add(self, option: Option, sign: int = 1) -> None:
        """Add an option, or take it away again with a sign of -1."""
        for use in option.uses:
            before = self._slots[use.kind]
            after = self._slots[use.kind] = before + sign * use.slots
            whole = ceil(after - SLACK) - ceil(before - SLACK)
            if whole:
                self.taken[use.resource] += whole * use.share

    @property
    def full(self) -> bool:
        """Whether more is taken than there is."""
        return any(share > 1 + SLACK for share in self.taken.values())


def concave_ladder(options: Sequence[Option]) -> tuple[Option, ...]:
    """Return the options worth climbing: the upper concave hull over the dominant share.

    Options that are worth nothing, or no more than a smaller one, are not on it.

    Args:
        options: any options of one query.

    Returns:
        Rungs of rising share and utility, and of falling utility per share.
    """
    hull: list[tuple[float, float, Option | None]] = [(0.0, 0.0, None)]
    for option in sorted(options, key=lambda each: (each.dominant_share, -each.utility)):
        share, utility = option.dominant_share, option.utility
        if utility <= hull[-1][1]:
            continue
        while len(hull) > 1 and _convex(hull[-2], hull[-1], (share, utility)):
            hull.pop()
        hull.append((share, utility, option))
    return tuple(option for _, _, option in hull if option is not None)


def _convex(
    low: tuple[float, float, Option | None],
    middle: tuple[float, float, Option | None],
    high: tuple[float, float],
) -> bool:
    """Tell whether the middle point lies on or below the line from the low to the high one."""
    return (middle[1] - low[1]) * (high[0] - low[0]) <= (high[1] - low[1]) * (middle[0] - low[0])


def allocate(ladders: Sequence[Sequence[Option]], objective: Objective) -> list[int]:
    """Share a pool: let one query after the other climb a rung while the pool suffices.

    Max-sum lets the query with the most utility per dominant share go first, max-min the one of
    lowest utility that can still improve. A rung that does not fit is skipped: a higher one may, on
    slots that others opened; if none does, the query climbs no further.
    Where all rungs take the same, the first finds the largest sum of utilities and the second the
    largest minimum; otherwise they come near. Ties go to the query that comes first.

    Args:
        ladders: concave ladders, one for each query.
        objective: ``"max_sum"`` or ``"max_min"``.

    Returns:
        How many rungs each query climbed; 0 is nothing.
    """
    levels = [0] * len(ladders)
    pool = Pool()

    def priority(query: int) -> float:
        """Return the rank of a query's next rung, the lowest first."""
        ladder, level = ladders[query], levels[query]
        utility = ladder[level - 1].utility if level else 0.0
        if objective == "max_min":
            return utility
        share = ladder[level].dominant_share
        if level:
            share -= ladder[level - 1].dominant_share
        return (utility - ladder[level].utility) / max(share, SLACK)

    heap = [(priority(query), query) for query, ladder in enumerate(ladders) if ladder]
    heapify(heap)
    while heap:
        _, query = heappop(heap)
        ladder, level = ladders[query], levels[query]
        if level:
            pool.add(ladder[level - 1], -1)
        for reached in range(level + 1, len(ladder) + 1):
            pool.add(ladder[reached - 1])
            if not pool.full:
                break
            pool.add(ladder[reached - 1], -1)
        else:
            if level:
                pool.add(ladder[level - 1])
            continue
        levels[query] = reached
        if reached < len(ladder):
            heappush(heap, (priority(query), query))
    return levels
