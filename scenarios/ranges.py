"""Ranges of numbers, which fields of dataclasses declare in their type annotations."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from numbers import Integral
from operator import ge, gt, le, lt
from types import NoneType
from typing import Any, get_args, get_type_hints

COMPARISONS = {"ge": ge, "gt": gt, "le": le, "lt": lt}
IN_JSON = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
"""The names of bounds in JSON Schema."""
WORDS = {
    ("ge",): "be {ge:g}{unit} or more",
    ("gt",): "be above {gt:g}{unit}",
    ("ge", "le"): "lie between {ge:g} and {le:g}{unit}",
    ("ge", "lt"): "be {ge:g} or more, and below {lt:g}{unit}",
    ("gt", "le"): "be above {gt:g}, and {le:g}{unit} or less",
    ("gt", "lt"): "be above {gt:g}, and below {lt:g}{unit}",
}
"""The wording of bounds in error messages."""
WHOLE = "be a whole number of {ge:g}{unit} or more"


@dataclass(frozen=True, kw_only=True)
class Range:
    """The range of numbers allowed in a field: bounds, named as in pydantic, and a unit.

    If ``whole`` is set, only whole numbers are allowed, and the only bound is ``ge``.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    unit: str = ""
    whole: bool = False
    nullable: bool = False

    def check(self, key: str, value: Any) -> None:
        """Raise a ValueError that names the key if its value is out of range."""
        if value is None and self.nullable:
            return
        bounds = {name: each for name in COMPARISONS if (each := getattr(self, name)) is not None}
        whole = isinstance(value, Integral) or not self.whole
        if not (whole and all(COMPARISONS[name](value, each) for name, each in bounds.items())):
            unit, null = f" {self.unit}".rstrip(), ", or null" if self.nullable else ""
            words = WHOLE if self.whole else WORDS[tuple(bounds)]
            said = words.format(**bounds, unit=unit)
            raise ValueError(f"{key}={value}: must {said}{null}")

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """Return the JSON schema of a field, to which this adds the bounds, for pydantic."""
        bounds = {IN_JSON[name]: getattr(self, name) for name in COMPARISONS}
        return {
            **handler(schema),
            **{name: each for name, each in bounds.items() if each is not None},
        }


WEIGHT = Range(ge=0, le=1e9)
"""Allowed weights in random draws; sums of many such weights are finite."""


def check_ranges(section: Any, above: str = "") -> None:
    """Raise a ValueError for the first field of a dataclass that is outside its declared range.

    In the message, the name of the field follows the key `above`, which ends in a dot.
    """
    kind: Any = type(section)
    for name, each in _ranges(kind).items():
        each.check(f"{above}{name}", getattr(section, name))


@cache
def _ranges(kind: type) -> dict[str, Range]:
    try:
        hints: Mapping[str, Any] = get_type_hints(kind, include_extras=True)
    except Exception:  # Users' annotations can name types that only type checkers import.
        hints = {each.name: each.type for each in fields(kind)}
    found = {}
    for name, hint in hints.items():
        for part in (hint, *get_args(hint)):  # ``Share | None`` has the range in a part.
            for each in getattr(part, "__metadata__", ()):
                if isinstance(each, Range):
                    nullable = each.nullable or NoneType in get_args(hint)
                    found[name] = replace(each, nullable=nullable)
    return found


def check_weights(key: str, weights: Mapping[str, float], what: str) -> None:
    """Raise a ValueError unless every weight is in range and at least one is above 0."""
    for name, weight in weights.items():
        WEIGHT.check(f"{key}.{name}", weight)
    if not any(weights.values()):
        given = dict(weights)
        raise ValueError(f"{key}: name at least one {what} with a weight above 0, not {given}")
