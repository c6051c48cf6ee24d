"""Sharing a pool among queries by marginal utility.

A ladder is the options of one query: each rung costs more of the pool than the one below and is
worth more, at falling returns. Level 0 is nothing, at no cost. Nothing changes between two rungs,
so climbing rungs equals handing out small units of resource.
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
    """One way to serve a query; not being served has utility 0."""

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

    @property
    def rank(self) -> tuple[float, float]:
        """Order of preference: more utility, then a smaller share."""
        return self.utility, -self.dominant_share


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
    """Return a query's options on the upper concave hull over the dominant share.

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
    """Return whether the middle point lies on or below the line from the low to the high one."""
    return (middle[1] - low[1]) * (high[0] - low[0]) <= (high[1] - low[1]) * (middle[0] - low[0])


def allocate(ladders: Sequence[Sequence[Option]], objective: Objective) -> list[int]:
    """Share a pool: queries climb one rung at a time while the pool suffices.

    ``"max_sum"`` prefers the query with the most utility per dominant share, ``"max_min"`` the one
    of lowest utility. A rung that does not fit is skipped for a higher one, which may use slots
    that others opened; if none fits, the query stops. The result is optimal where all rungs take
    the same, and near it otherwise. Ties go to the earlier query.

    Args:
        ladders: concave ladders, one for each query.
        objective: ``"max_sum"`` or ``"max_min"``.

    Returns:
        How many rungs each query climbed.
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
