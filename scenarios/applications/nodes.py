"""Checks of single keys and values in the declaration of an application.

Errors in a declaration raise a ValueError, whose message names key, value and allowed values.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hardware_models.errors import did_you_mean

REFERENCE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")
"""The pattern of a reference to a column: ``table.column``."""


def refusal(path: str, value: object, reason: str) -> ValueError:
    """Return the error for a wrong value; its message is one sentence that begins with the key."""
    return ValueError(f"{path}={shown(value)}: {reason}")


def shown(value: object) -> str:
    """Return the text of a value as it is written in a declaration."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def choose(name: str, known: Iterable[object]) -> str:
    """Return the clause of an error message that lists allowed names and suggests the nearest."""
    names = [str(one) for one in known]
    if not names:
        return "there is none"
    return f"choose from {', '.join(names)}{did_you_mean(name, names)}"


def pick_key(path: str, name: object, known: Iterable[object], what: str) -> None:
    """Check that a name is one of the known names."""
    names = list(known)
    if name not in names:
        raise refusal(path, name, f"no such {what}; {choose(str(name), names)}")


def mapping(value: object, path: str, what: str) -> dict[str, Any]:
    """Check that a value is a mapping; return it with its keys as texts."""
    if not isinstance(value, Mapping) or not value:
        raise refusal(path, value, f"must map names to {what}, one at least")
    return {str(key): one for key, one in value.items()}


def keyed(
    value: object, path: str, required: Iterable[str] = (), optional: Iterable[str] = ()
) -> dict[str, Any]:
    """Check that a value is a mapping with all required and no unknown keys, and return it."""
    required, known = list(required), [*required, *optional]
    if not isinstance(value, Mapping):
        raise refusal(path, value, f"must be a mapping with the keys {', '.join(known)}")
    for key in value:
        if key not in known:
            raise refusal(f"{path}.{key}", value[key], f"no such key; {choose(str(key), known)}")
    for key in required:
        if value.get(key) is None:
            raise ValueError(f"{path}.{key}: is missing; {path} needs {', '.join(required)}")
    return dict(value)


def number(value: object, path: str, low: float = 0.0, high: float = math.inf) -> float:
    """Check that a value is a number within bounds, and return it."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        raise refusal(path, value, f"must be a number {bounds(low, high)}".rstrip())
    return float(value)  # type: ignore[arg-type]


def bounds(low: float, high: float) -> str:
    """Return the clause of an error message that states the bounds of a number."""
    if math.isfinite(high):
        return f"from {low:g} to {high:g}"
    return f"of {low:g} or more" if math.isfinite(low) else ""
