"""Sums of numbers that come and go, kept without rounding (Shewchuk 1997)."""

Parts = tuple[float, ...]
"""Numbers of rising size, none of which has bits in common with another. What they add up to is the
sum, and ``math.fsum`` of them is what it would be of all numbers that the sum is of."""


def plus(parts: Parts, number: float) -> Parts:
    """Return a sum with a number added to it, or taken off it if it is added below zero.

    Args:
        parts: the sum; ``()`` for none.
        number: the number, finite.
    """
    kept = []
    for part in parts:
        larger, smaller = (part, number) if abs(number) < abs(part) else (number, part)
        number = larger + smaller
        lost = smaller - (number - larger)
        if lost:
            kept.append(lost)
    return (*kept, number) if number else tuple(kept)
