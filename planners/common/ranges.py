"""Ranges of parameters: types that state them, and the check when an object is made."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Integral
from typing import Annotated, Any, get_args


@dataclass(frozen=True)
class Range:
    """What a value must do, such as "be above 0", and whether it does."""

    words: str
    holds: Callable[[Any], bool] = field(repr=False)


def at_least(low: float) -> Range:
    """Return the range from a bound on."""
    return Range(f"be {low} or more", lambda value: value >= low)


def within(low: float, high: float) -> Range:
    """Return the range between two bounds; both are allowed."""
    return Range(f"lie between {low} and {high}", lambda value: low <= value <= high)


def whole(low: int) -> Range:
    """Return the range of whole numbers from a bound on."""
    return Range(
        f"be a whole number of {low} or more",
        lambda value: isinstance(value, Integral) and int(value) >= low,
    )


Count = Annotated[int, at_least(1)]
WholeCount = Annotated[int, whole(1)]
WholeNumber = Annotated[int, whole(0)]
NonNegative = Annotated[float, at_least(0)]
Positive = Annotated[float, Range("be above 0", lambda value: value > 0)]
Share = Annotated[float, within(0, 1)]
BelowOne = Annotated[float, Range("be 0 or more, and below 1", lambda value: 0 <= value < 1)]
Level = Annotated[float, Range("be above 0, and below 1", lambda value: 0 < value < 1)]


class InRange:
    """Base of dataclasses whose parameters must be in the ranges that their types state.

    Raises:
        ValueError: a parameter is out of range. None is in any range.
    """

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = getattr(self, one.name)
            for hint in (one.type, *get_args(one.type)):  # ``Positive | None``, for instance.
                for its in getattr(hint, "__metadata__", ()):
                    if isinstance(its, Range) and value is not None and not its.holds(value):
                        raise ValueError(f"{one.name}={value}: must {its.words}")
