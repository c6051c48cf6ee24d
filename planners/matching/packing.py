"""Putting GPU instances on the cards of a node, one after the other.

A card holds any set of instances that is part of one of its layouts; where on the card each one
starts is settled when they are created. What a set leaves room for is worth the most of what can be
added to it, at given prices of instances; a new instance goes on the card that loses least by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from planners.matching.problem import Cards, Floats, Integers

Move = tuple[int, int]
"""Numbers of the set that a card held before, and that it holds then."""


@dataclass(frozen=True)
class Sets:
    """What a card may hold: S sets of instances of K profiles, the empty one first.

    Args:
        after: number of the set once an instance of each profile is added, shape (S, K); -1 where
            there is no room.
        room: what can be added at the same time, in L ways, shape (S, L, K).
    """

    after: Integers
    room: Integers


@cache
def _sets(layouts: tuple[tuple[int, ...], ...]) -> Sets:
    """Return the sets that are part of a layout."""
    held = sorted({part for whole in layouts for part in np.ndindex(*(n + 1 for n in whole))})
    number = {each: at for at, each in enumerate(held)}
    after = np.full((len(held), len(layouts[0])), -1, dtype=np.int64)
    for at, each in enumerate(held):
        for profile in range(len(each)):
            more = tuple(count + (profile == k) for k, count in enumerate(each))
            after[at, profile] = number.get(more, -1)
    room = np.array(layouts)[None] - np.array(held)[:, None]
    return Sets(after, np.where((room >= 0).all(axis=2, keepdims=True), room, 0))


class Packing:
    """The cards of one node while instances are put on them.

    Args:
        cards: the cards, all empty.
        prices: price of an instance of each profile, shape (K,).
    """

    def __init__(self, cards: Cards, prices: Floats) -> None:
        sets = _sets(tuple(tuple(row) for row in cards.layouts.tolist()))
        self._holding = [0] * len(sets.after)
        self._holding[0] = cards.count
        # However cheap, room is worth something: full cards come first.
        worth = (sets.room @ np.maximum(prices, 1e-6)).max(axis=1)
        lost = np.where(sets.after >= 0, worth[:, None] - worth[sets.after], np.inf)
        by_loss = np.argsort(lost, axis=0, kind="stable")
        self._moves: list[list[Move]] = [
            [
                (at, to)
                for at, to in zip(order, sets.after[order, k].tolist(), strict=True)
                if to >= 0
            ]
            for k, order in enumerate(by_loss.T.tolist())
        ]

    def take(self, profile: int) -> Move | None:
        """Take an instance; return what undoes it, or None if there is no room.

        Args:
            profile: number of the profile.
        """
        holding = self._holding
        for before, after in self._moves[profile]:
            if holding[before]:
                holding[before] -= 1
                holding[after] += 1
                return before, after
        return None

    def give_back(self, move: Move) -> None:
        """Undo a ``take``; of several, the last one first."""
        self._holding[move[1]] -= 1
        self._holding[move[0]] += 1


def as_arrays(packings: Sequence[Packing]) -> tuple[Integers, Integers]:
    """Return the cards of C nodes, and the ways to take an instance, for compiled functions.

    Returns:
        How many cards hold each set of instances, shape (C, S); and the sets that a card holds
        before and after one of K profiles is taken, the best way first, -1 behind the last of L,
        shape (C, K, L, 2). Nodes that have fewer sets, profiles or ways are filled up.
    """
    sets = max((len(each._holding) for each in packings), default=1)
    profiles = max((len(each._moves) for each in packings), default=1)
    ways = max((len(moves) for each in packings for moves in each._moves), default=0)
    holding = np.zeros((len(packings), sets), dtype=np.int64)
    taking = np.full((len(packings), profiles, ways + 1, 2), -1, dtype=np.int64)
    for node, each in enumerate(packings):
        holding[node, : len(each._holding)] = each._holding
        for profile, moves in enumerate(each._moves):
            if moves:
                taking[node, profile, : len(moves)] = moves
    return holding, taking
