"""Checks that parameters of planners are in range; each complains of the first that is not."""

from numbers import Integral


def at_least(low: float, **values: float) -> None:
    """Check that values are not below a bound.

    Raises:
        ValueError: one is.
    """
    for name, value in values.items():
        if not value >= low:
            raise ValueError(f"{name}={value}: must be {low:g} or more")


def above(low: float, **values: float) -> None:
    """Check that values are above a bound.

    Raises:
        ValueError: one is not.
    """
    for name, value in values.items():
        if not value > low:
            raise ValueError(f"{name}={value}: must be above {low:g}")


def within(low: float, high: float, **values: float) -> None:
    """Check that values lie between two bounds, or on one.

    Raises:
        ValueError: one does not.
    """
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name}={value}: must lie between {low:g} and {high:g}")


def inside(low: float, high: float, **values: float) -> None:
    """Check that values lie between two bounds, and on none.

    Raises:
        ValueError: one does not.
    """
    for name, value in values.items():
        if not low < value < high:
            raise ValueError(f"{name}={value}: must be above {low:g}, and below {high:g}")


def whole(low: int, **values: int) -> None:
    """Check that values are whole numbers and not below a bound.

    Raises:
        ValueError: one is not.
    """
    for name, value in values.items():
        if not isinstance(value, Integral) or value < low:
            raise ValueError(f"{name}={value}: must be a whole number of {low} or more")
