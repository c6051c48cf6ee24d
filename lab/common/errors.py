"""Errors in one sentence: the key, the value, what is allowed, and the most similar name."""

from collections.abc import Iterable
from difflib import get_close_matches
from errno import EDQUOT, ENOSPC
from pathlib import Path

from hardware_models.errors import did_you_mean, escaped, nearest

COMPOSING = ("hydra", "omegaconf", "antlr4", "yaml")
"""Packages whose exceptions mean that the configuration is wrong, and not this program."""

LONGEST = 1_800
"""Largest number of characters in a message; what is cut out is the middle of a long value."""

FULL = (ENOSPC, EDQUOT)
"""Codes of a full disk or quota."""

MOST_SHOWN = 100
"""Largest number of characters that `short` keeps."""


class InputError(ValueError):
    """Something in the input is wrong; the message is one printable sentence for the user."""

    def __init__(self, sentence: object) -> None:
        super().__init__(printable(sentence))


def printable(text: object) -> str:
    r"""Return a text on one line, cut to `LONGEST`, whose characters a terminal shows as they are.

    Control characters, unusual spaces, and characters that change the direction of writing or have
    no encoding are written as Python escapes them, such as ``\x1b``. A text returned by this
    function stays as it is.
    """
    said = _cut(str(text))
    return said if said.isprintable() else _cut(escaped(said), len(str(text)))


def _cut(text: str, length: int = 0) -> str:
    """Return a text without its middle if it is too long; its beginning and end have the reason."""
    if len(text) <= LONGEST:
        return text
    note = f" ... ({max(length, len(text)):,} characters) ... "
    kept = (LONGEST - len(note)) // 2
    return f"{text[:kept]}{note}{text[-kept:]}"


def choices(name: str, known: Iterable[str]) -> str:
    """Return a clause that lists the known names and suggests the most similar one."""
    names = list(known)
    return f"choose one of {', '.join(names)}{did_you_mean(name, names)}"


def check_png(option: str, path: Path) -> None:
    """Raise InputError if the path given for an option does not end in ``.png``."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{option}={path}: must end in .png, because a PNG is written")


def no_directory(path: Path) -> str:
    """Return the message for a missing directory; it suggests one with a similar name."""
    missing = path
    while missing.parent != missing and not missing.parent.exists():
        missing = missing.parent
    try:
        siblings = sorted(one.name for one in missing.parent.iterdir() if one.is_dir())
    except OSError:
        siblings = []
    near = nearest(missing.name, (name for name in siblings if not name.startswith(".")))
    if near is None or not get_close_matches(missing.name.lower(), [near.lower()]):
        return "no such directory"
    meant = missing.with_name(near)
    below = meant / path.relative_to(missing)
    return f"no such directory; did you mean {below if below.is_dir() else meant}?"


def one_line(error: object) -> str:
    """Return a message without line breaks and without a final full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def why_not(error: OSError) -> str:
    """Return the reason of an OSError, with the file's name if that is known, and a remedy."""
    reason = error.strerror or one_line(error)
    said = f"{reason}: {error.filename}" if error.filename else reason
    return (
        f"{said}; free space, and try again (a run: with resume=true)"
        if error.errno in FULL
        else said
    )


def shown(value: object) -> str:
    """Return a value as YAML writes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def short(value: object) -> str:
    """Return the beginning of a value as YAML writes it, on one line."""
    text = " ".join(shown(value).split())
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def raised_by(error: BaseException, packages: tuple[str, ...]) -> bool:
    """Return whether an exception was defined or raised by one of the given packages."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return any(name.split(".")[0] in packages for name in (type(error).__module__, where))


def key_of(override: str) -> str:
    """Return the key of an override."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]
