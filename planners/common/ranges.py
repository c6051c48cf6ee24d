"""Types that state the range of a parameter, and the check when an object is made."""

from typing import Annotated

from scenarios.ranges import Range, check_ranges

Count = Annotated[int, Range(ge=1, whole=True)]
WholeNumber = Annotated[int, Range(ge=0, whole=True)]
NonNegative = Annotated[float, Range(ge=0)]
Positive = Annotated[float, Range(gt=0)]
Share = Annotated[float, Range(ge=0, le=1)]
BelowOne = Annotated[float, Range(ge=0, lt=1)]
Level = Annotated[float, Range(gt=0, lt=1)]


class InRange:
    """Base of dataclasses whose parameters must be in the ranges that their types state.

    Raises:
        ValueError: a parameter is out of range.
    """

    def __post_init__(self) -> None:
        check_ranges(self)
