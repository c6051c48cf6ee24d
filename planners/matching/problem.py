"""The matching problem: queries, their plans, demands and supply."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from scenarios.numerics import Bools, Floats, Ints


@dataclass(frozen=True)
class Demand:
    """The demand of M plans for resources of the pools, as a sparse matrix in compressed rows."""

    start: Ints  # where each plan's entries begin, and the number of entries, of shape (M + 1,)
    pool: Ints  # pool of each entry, of shape (nnz,)
    amount: Floats  # amount taken, above 0, of shape (nnz,); that of instances is a whole number

    @classmethod
    def of(cls, dense: Floats) -> "Demand":
        """Return the sparse form of a dense array of shape (M, R)."""
        row, pool = np.nonzero(dense > 0)
        start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(dense)))])
        return cls(start.astype(np.int64), pool.astype(np.int64), dense[row, pool])


@dataclass(frozen=True)
class Cards:
    """The identical cards of one node, with K instance profiles and L layouts."""

    count: int  # number of cards
    pools: Ints  # pool of the instances of each profile, of shape (K,)
    # Instances of each profile in each maximal layout, of shape (L, K); see `sim.api.gpu_layouts`.
    layouts: Ints


@dataclass(frozen=True)
class Supply:
    """The capacity of R resource pools.

    Raises:
        ValueError: a capacity is negative.
    """

    capacity: Floats  # capacity of each pool, of shape (R,); that of instances is ignored
    # The cards that have instances; each pool belongs to at most one of them.
    cards: Sequence[Cards] = ()

    def __post_init__(self) -> None:
        if (self.capacity < 0).any():
            raise ValueError(f"capacity={self.capacity}: must be 0 or more")

    @cached_property
    def plain(self) -> Bools:
        """Whether each of the R pools has a capacity of its own; if not, it has GPU instances."""
        plain = np.ones(len(self.capacity), dtype=bool)
        for cards in self.cards:
            plain[cards.pools] = False
        return plain

    @cached_property
    def most(self) -> Floats:
        """The largest amount of each of the R pools that plans could take if they took no other."""
        most = self.capacity.astype(np.float64)
        for cards in self.cards:
            most[cards.pools] = cards.count * cards.layouts.max(axis=0, initial=0)
        return most


@dataclass(frozen=True)
class Problem:
    """A matching problem with Q queries, M plans and R pools.

    Raises:
        ValueError: the numbers of plans in the fields differ.
    """

    query: Ints  # query of each plan, ascending from 0 without gaps, of shape (M,)
    weight: Floats  # worth of each plan, of shape (M,); plans of 0 or less are never chosen
    demand: Demand  # demand of the plans
    supply: Supply  # capacity of the pools

    def __post_init__(self) -> None:
        plans = len(self.query)
        if len(self.weight) != plans or len(self.demand.start) != plans + 1:
            raise ValueError(
                f"{plans} plans, but {len(self.weight)} weights and "
                f"{len(self.demand.start) - 1} demands"
            )

    @cached_property
    def first(self) -> Ints:
        """The row of each query's first plan, of shape (Q,)."""
        return np.flatnonzero(np.diff(self.query, prepend=-1))

    @cached_property
    def largest(self) -> float:
        """The largest weight, at least 1e-12."""
        return max(float(self.weight.max(initial=0.0)), 1e-12)

    @cached_property
    def taken(self) -> Any:
        """The demand of plans, as a sparse array of shape (M, R)."""
        from scipy.sparse import csr_array  # noqa: PLC0415 -- takes long to import

        demand = self.demand
        shape = len(self.query), len(self.supply.capacity)
        return csr_array((demand.amount, demand.pool, demand.start), shape=shape)

    def best(self, values: Floats) -> Floats:
        """Return the largest value among each query's plans, of shape (Q,)."""
        return np.asarray(np.maximum.reduceat(values, self.first))

    def ranked(self, values: Floats) -> Ints:
        """Return the rows of plans, sorted by query and then by falling value, of shape (M,)."""
        return np.lexsort((-values, self.query))
