"""What overrides say: the values of a swept key, and keys that are given more than once."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hydra.core.override_parser.types import Override

from lab.errors import InputError


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
