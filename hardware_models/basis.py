"""The basis of a predicted value: how well measurements support it, from measured to assumed."""

from dataclasses import dataclass
from typing import Literal, get_args

Basis = Literal["measured", "interpolated", "scaled", "assumed", "extrapolated"]
"""The origin of a figure.

``measured``: a row of a table. ``interpolated``: a fit, between rows. ``scaled``: transferred
between boards by a measured ratio. ``assumed``: from a declared assumption. ``extrapolated``: a
fit, beyond its rows.
"""

_FROM_FIRM_TO_WEAK: tuple[Basis, ...] = get_args(Basis)


def worst(first: Basis, *others: Basis) -> Basis:
    """Return the weakest of several bases: the basis of a value computed from such values."""
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
