"""The allowed values of a key in words, from its declared type and the unit in its name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

# Endings of keys; special endings come first.
UNITS = (
    (r"usd_per_hour", "USD/h"),
    (r"([a-z]+)_per_s", r"\1/s"),
    (r"bps", "bit/s"),
    (r"bytes", "bytes"),
    (r"km", "km"),
    (r"s", "s"),
)
UNIT_OF = {"workload.rate": "queries/s"}
WORDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
}
UNIONS = (Union, UnionType)
COLLECTIONS: Mapping[Any, str] = {
    **dict.fromkeys((list, tuple, Sequence), "a list, such as [...]"),
    **dict.fromkeys((dict, Mapping), "a mapping, such as {NAME: ...}"),
}


def unit_of(key: str) -> str:
    """Return the unit of a key's values, from the ending of its name; empty if unknown."""
    for ending, unit in UNITS:
        if found := re.search(rf"(?:_|\.|^){ending}$", key):
            return found.expand(unit)
    return UNIT_OF.get(key, "")


def type_at(model: type, path: Sequence[str]) -> Any:
    """Return the declared type at a path of names and indices in a dataclass, or Any."""
    hint: Any = model
    for name in path:
        if is_dataclass(hint):
            hint = get_type_hints(hint).get(name, Any)
        else:
            hint = get_args(hint)[-1] if get_origin(hint) in COLLECTIONS else Any
        if get_origin(hint) in UNIONS:
            hint = next((one for one in get_args(hint) if is_dataclass(one)), hint)
    return hint


def allowed(hint: Any, key: str) -> str:
    """Return the allowed values of a key in words, with the unit; `hint` is the key's type."""
    words, unit = in_words(hint), unit_of(key)
    return f"{words}, in {unit}" if unit and "number" in words else words


def in_words(hint: Any) -> str:
    """Return the values of a type in words."""
    origin, args = get_origin(hint) or hint, get_args(hint)
    if origin in UNIONS:
        return " or ".join(map(in_words, args))
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in COLLECTIONS:
        each = "" if not args or args[-1] is Any else f", each {in_words(args[-1])}"
        return f"{COLLECTIONS[origin]}{each}"
    if is_dataclass(origin):
        return f"a mapping that has {', '.join(one.name for one in fields(origin))}"
    return WORDS.get(origin, getattr(hint, "__name__", str(hint)))
