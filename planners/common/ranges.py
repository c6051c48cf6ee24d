"""Range checks of planners' parameters."""

from numbers import Integral


def at_least(low: float, **values: float) -> None:
    """Raise a ValueError for the first value below a bound."""
    for name, value in values.items():
        if not value >= low:
            raise ValueError(f"{name}={value}: must be {low:g} or more")


def above(low: float, **values: float) -> None:
    """Raise a ValueError for the first value not above a bound."""
    for name, value in values.items():
        if not value > low:
            raise ValueError(f"{name}={value}: must be above {low:g}")


def within(low: float, high: float, **values: float) -> None:
    """Raise a ValueError for the first value outside two bounds; both bounds are allowed."""
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name}={value}: must lie between {low:g} and {high:g}")


def inside(low: float, high: float, **values: float) -> None:
    """Raise a ValueError for the first value that is not strictly between two bounds."""
    for name, value in values.items():
        if not low < value < high:
            raise ValueError(f"{name}={value}: must be above {low:g}, and below {high:g}")


def whole(low: int, **values: int) -> None:
    """Raise a ValueError for the first value that is no whole number, or below a bound."""
    for name, value in values.items():
        if not isinstance(value, Integral) or value < low:
            raise ValueError(f"{name}={value}: must be a whole number of {low} or more")
