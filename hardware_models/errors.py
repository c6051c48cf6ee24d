"""Errors whose messages name the mistake, the allowed values and the most similar allowed value."""

import difflib
from collections.abc import Iterable

COMPARED = 200
"""Largest number of characters of a name that `nearest` compares."""


class UnknownNameError(ValueError):
    """A name does not occur in the tables."""


class TableError(ValueError):
    """A table violates its schema."""


def escaped(text: str) -> str:
    r"""Return a text whose unprintable characters are written as Python escapes them (``\x1b``)."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to ``name``, ignoring case, or None.

    Only the first `COMPARED` characters are compared, because the time grows with the square of
    their number.
    """
    given = str(name)[:COMPARED].lower()

    def likeness(other: str) -> float:
        return difflib.SequenceMatcher(None, given, other[:COMPARED].lower()).ratio()

    return max(known, key=likeness, default=None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` with the most similar known name, else ``""``."""
    best = nearest(name, known)
    return "" if best is None else f"; did you mean {best!r}?"


def pick(kind: str, name: str, known: Iterable[str]) -> None:
    """Check that a name is among the known ones.

    Args:
        kind: The kind of thing that has the name, such as ``"gpu"``, for the message.
        name: The name to check.
        known: The valid names, in the order in which the message lists them.

    Raises:
        UnknownNameError: The name is unknown; the message lists the known names.
    """
    names = list(known)
    if name in names:
        return

    if not names:
        raise UnknownNameError(f"unknown {kind} {name!r}: there is none")
    raise UnknownNameError(
        f"unknown {kind} {name!r}: choose one of {', '.join(map(repr, names))}"
        f"{did_you_mean(name, names)}"
    )
