"""Forms of answers, and complaints that several graders share."""

import math
from numbers import Integral, Real
from typing import Any, TypeGuard


def number(value: Any) -> TypeGuard[float]:
    """Return whether a value is a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def whole(value: Any) -> TypeGuard[int]:
    """Return whether a value is a whole number."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def wholes(value: Any) -> bool:
    """Return whether a value is a sequence of whole numbers; an array is one, too."""
    return _sequence(value) and all(map(whole, value))


def numbers(value: Any) -> bool:
    """Return whether a value is a sequence of finite numbers; an array is one, too."""
    return _sequence(value) and all(map(number, value))


def names(value: Any) -> bool:
    """Return whether a value is a sequence of strings."""
    return _sequence(value) and all(isinstance(each, str) for each in value)


def _sequence(value: Any) -> bool:
    indexed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    indexed = indexed and getattr(value, "ndim", 1) == 1  # an array of no dimension has no length
    return indexed and not isinstance(value, str | bytes | dict)


def beyond_one(value: float, what: str) -> str:
    """Say that a share is not between 0 and 1, or nothing if it is.

    Args:
        value: the share.
        what: what it is, such as ``"a share"``.
    """
    if 0 <= value <= 1:
        return ""
    percent = f": {value:g} % is {value / 100:g}" if 1 < value <= 100 else ""
    return f"{what} lies between 0 and 1{percent}"


def near(value: float, truth: float, tolerance: float = 1e-6) -> str:
    """Say whether a number is too large or too small, or nothing if it is near the truth.

    Args:
        value: the number.
        truth: what it should be.
        tolerance: how far it may be off, as a share of the truth.
    """
    if abs(value - truth) <= tolerance * max(abs(truth), 1e-12):
        return ""
    return f"too {'large' if value > truth else 'small'}"
