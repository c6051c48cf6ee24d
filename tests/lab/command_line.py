"""Command lines of tests: overrides that a module shares, unless a test sets its own."""

from collections.abc import Sequence


def changed(overrides: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return overrides, without those of keys that the words after them set, and these words."""
    keys = {word.partition("=")[0] for word in words}
    return [*(one for one in overrides if one.partition("=")[0] not in keys), *words]
