"""Errors that say what was wrong, what is allowed, and what was probably meant."""

import difflib
from collections.abc import Iterable


class UnknownNameError(ValueError):
    """A name that no table holds."""


class TableError(ValueError):
    """A table that does not keep to its schema."""


def pick(kind: str, name: str, known: Iterable[str]) -> None:
    """Check that a name is among the known ones.

    Args:
        kind: What the name names, for the message, such as ``"gpu"``.
        name: The name to check.
        known: The valid names, in the order in which the message lists them.

    Raises:
        UnknownNameError: The name is not known; the message lists the known ones and the nearest.
    """
    names = list(known)
    if name in names:
        return

    def likeness(other: str) -> float:
        return difflib.SequenceMatcher(None, str(name).lower(), other.lower()).ratio()

    nearest = max(names, key=likeness, default=None)
    hint = "" if nearest is None else f"; the nearest is {nearest!r}"
    raise UnknownNameError(
        f"unknown {kind} {name!r}: choose one of {', '.join(map(repr, names))}{hint}"
    )
