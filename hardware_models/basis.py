"""The basis of a predicted value: how well measurements support it, from measured to assumed."""

from dataclasses import dataclass
from typing import Literal, get_args

Basis = Literal["measured", "interpolated", "scaled", "assumed", "extrapolated"]
"""The origin of a value.

A ``measured`` value is a row of a table. An ``interpolated`` one is from a fit between rows, and an
``extrapolated`` one from a fit beyond its rows. A ``scaled`` value is transferred between boards by
a measured ratio. An ``assumed`` value follows from a declared assumption.
"""

_FROM_FIRM_TO_WEAK: tuple[Basis, ...] = get_args(Basis)


def worst(first: Basis, *others: Basis) -> Basis:
    """Return the weakest basis, which is that of a value computed from values with these bases."""
    return max((first, *others), key=_FROM_FIRM_TO_WEAK.index)


@dataclass(frozen=True, slots=True)
class Latency:
    """A duration in seconds, and the basis of its value."""

    seconds: float
    basis: Basis


@dataclass(frozen=True, slots=True)
class Ratio:
    """A factor by which a time is multiplied, and the basis of the factor."""

    value: float
    basis: Basis
