"""Packing of GPU instances, one by one, on the cards of a node.

A card can contain any subset of the instances of one of its layouts. Their positions on the card
are chosen later. The room that is left on a card is worth the highest total price of the instances
that still fit. A new instance is put on the card that loses least of this value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from planners.matching.problem import Cards
from scenarios.numerics import Floats, Ints

Move = tuple[int, int]
"""Indices of a card's contents in `Sets`, before and after an instance is added."""


@dataclass(frozen=True)
class Sets:
    """The S possible contents of a card: sets of instances of K profiles, the empty set first."""

    # Number of the set after adding an instance of each profile, -1 without room, of shape (S, K).
    after: Ints
    room: Ints  # instances that can be added together, in L ways, of shape (S, L, K)


@cache
def _sets(layouts: tuple[tuple[int, ...], ...]) -> Sets:
    """Return all sets of instances that are a subset of some layout."""
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
    """The cards of one node, to which instances of K profiles with prices (K,) are added."""

    def __init__(self, cards: Cards, prices: Floats) -> None:
        sets = _sets(tuple(tuple(row) for row in cards.layouts.tolist()))
        self._holding = [0] * len(sets.after)
        self._holding[0] = cards.count
        # room is always worth something, so full cards come first
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
        """Add an instance of a profile; return the move made, or None if no card has room."""
        holding = self._holding
        for before, after in self._moves[profile]:
            if holding[before]:
                holding[before] -= 1
                holding[after] += 1
                return before, after
        return None

    def give_back(self, move: Move) -> None:
        """Undo a move of `take`; several moves are undone in reverse order."""
        self._holding[move[1]] -= 1
        self._holding[move[0]] += 1


def as_arrays(packings: Sequence[Packing]) -> tuple[Ints, Ints]:
    """Return the cards of C nodes and the possible moves, as arrays for compiled functions.

    Returns:
        The number of cards with each set of instances, of shape (C, S), and the moves, with shape
        (C, K, L, 2). Each of K profiles has at most L moves, the best first. A move consists of the
        sets before and after it. Rows after the last move contain -1.
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
