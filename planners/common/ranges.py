"""Types that state the range of a parameter, and a base class that checks these ranges."""

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
    """Base of dataclasses; on creation, parameters are checked against the ranges in their types.

    Raises:
        ValueError: a parameter is out of range.
    """

    def __post_init__(self) -> None:
        check_ranges(self)
