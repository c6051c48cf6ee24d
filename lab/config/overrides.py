"""What overrides say: the values of a swept key, and keys that are given more than once."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from lab.common.errors import InputError


def swept_values(override: Override, written: str) -> list[str]:
    """Return the values that an override sweeps over, as they are written in overrides.

    Args:
        override: a sweep over values, not over an interval.
        written: the override as the user wrote it, for complaints.

    Raises:
        InputError: there is none, or one occurs twice.
    """
    values = [f"{value!s}" for value in override.sweep_string_iterator()]
    if not values:
        raise InputError(f"{written}: names no value")
    if twice := repeated(values):
        raise InputError(f"{written}: names {twice[0]} twice")
    return values


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def repeated_keys(overrides: Sequence[str]) -> list[str]:
    """Return one sentence for each key that is set again later: only the last of its values holds.

    A plus before a key adds, and mappings are merged; so neither makes those before it vain.

    Args:
        overrides: the overrides of a command line.

    Raises:
        InputError: it is swept before, so that runs would be missing.
    """
    sentences = []
    setting = [one for one in overrides if not one.startswith(("+", "~")) and "={" not in one]
    for key in repeated(one.partition("=")[0] for one in setting):
        written = [one for one in setting if one.partition("=")[0] == key]
        parsed = OverridesParser.create().parse_overrides(written)
        if any(one.is_sweep_override() for one in parsed[:-1]):
            raise InputError(f"{' '.join(written)}: {key} is swept; name all its values in one")
        if len(set(written)) > 1:
            sentences.append(f"{' '.join(written)}: {key} is set more than once; the last holds")
    return sentences


def check_swept(overrides: Sequence[Override]) -> None:
    """Refuse sweeps that make no run, or one of them twice.

    Args:
        overrides: those of a sweep.

    Raises:
        InputError: a key has no value, or one twice.
    """
    for override in overrides:
        if override.is_discrete_sweep():
            swept_values(override, str(override.input_line))
