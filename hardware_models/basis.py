"""How firmly a predicted figure stands, from a measurement of that very point to a guess."""

from dataclasses import dataclass
from typing import Literal, get_args

Basis = Literal["measured", "interpolated", "scaled", "assumed", "extrapolated"]
"""Where a figure comes from.

``measured``: a row of a table. ``interpolated``: a fit, between rows. ``scaled``: carried from one
board to another by a measured ratio. ``assumed``: by a declared assumption. ``extrapolated``: a
fit, beyond its rows.
"""

_FROM_FIRM_TO_WEAK: tuple[Basis, ...] = get_args(Basis)


def worst(first: Basis, *others: Basis) -> Basis:
    """Return the weakest of some bases: that of a figure worked out from all of them."""
    return max((first, *others), key=_FROM_FIRM_TO_WEAK.index)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something takes, in seconds, and how firmly that stands."""

    seconds: float
    basis: Basis


@dataclass(frozen=True, slots=True)
class Ratio:
    """A factor of a time, and how firmly it stands."""

    value: float
    basis: Basis
