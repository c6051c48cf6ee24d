"""Text that a planner or another stranger's code wrote, made safe for results and terminals."""

from typing import Any

from hardware_models.errors import escaped

MOST = 500
"""Largest number of characters that are kept of a text; more would hide what follows it."""


def safe_text(foreign: object, most: int = MOST) -> str:
    """Return a foreign object's text in one line, without characters that control a terminal.

    Line breaks and other white space become single spaces. Other characters that do not print are
    escaped: control characters, terminal escapes, changes of direction, halves of surrogate pairs.
    A text longer than ``most`` characters is cut. An object whose ``__str__`` fails has no text.
    """
    try:
        text = str.__str__(str(foreign))  # a subclass of str can have any methods
    except BaseException:  # The object's own methods may raise anything.
        return ""
    text = " ".join(text[: 10 * most].split())
    if not text.isprintable():
        text = escaped(text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 3]}..."


def class_name(foreign: object) -> str:
    """Return the name of a foreign object's class, whatever its metaclass says."""
    return safe_text(_of_type("__name__", type(foreign)), 100)


def class_path(foreign: object) -> str:
    """Return the module and the qualified name of a foreign object's class."""
    return path_of(type(foreign))


def path_of(kind: type) -> str:
    """Return the module and the qualified name of a foreign class."""
    return ".".join(safe_text(_of_type(name, kind)) for name in ("__module__", "__qualname__"))


def _of_type(name: str, kind: type) -> object:
    descriptor: Any = type.__dict__[name]
    return descriptor.__get__(kind)
