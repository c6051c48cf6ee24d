"""Nodes of a declared application: keys and plain values, checked one by one.

Errors in a declaration raise a ValueError. Its sentence names key, value and what is allowed.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hardware_models.errors import did_you_mean

REFERENCE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")
"""The pattern of a column of a table: ``table.column``."""


def refusal(path: str, value: object, reason: str) -> ValueError:
    """Return the error that says in one sentence what is wrong with a value of the declaration."""
    return ValueError(f"{path}={shown(value)}: {reason}")


def shown(value: object) -> str:
    """Return a value as the declaration writes it."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def choose(name: str, known: Iterable[object]) -> str:
    """Return a clause with the allowed names and the most similar one."""
    names = [str(one) for one in known]
    if not names:
        return "there is none"
    return f"choose from {', '.join(names)}{did_you_mean(name, names)}"


def pick_key(path: str, name: object, known: Iterable[object], what: str) -> None:
    """Check that a text is one of the known ones."""
    names = list(known)
    if name not in names:
        raise refusal(path, name, f"no such {what}; {choose(str(name), names)}")


def mapping(value: object, path: str, what: str) -> dict[str, Any]:
    """Return a mapping with its keys as texts."""
    if not isinstance(value, Mapping) or not value:
        raise refusal(path, value, f"must map names to {what}, one at least")
    return {str(key): one for key, one in value.items()}


def keyed(
    value: object, path: str, required: Iterable[str] = (), optional: Iterable[str] = ()
) -> dict[str, Any]:
    """Return a mapping whose keys are fixed."""
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
    """Return a number within bounds."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        raise refusal(path, value, f"must be a number {bounds(low, high)}".rstrip())
    return float(value)  # type: ignore[arg-type]


def bounds(low: float, high: float) -> str:
    """Return the bounds of a number as a clause."""
    if math.isfinite(high):
        return f"from {low:g} to {high:g}"
    return f"of {low:g} or more" if math.isfinite(low) else ""
