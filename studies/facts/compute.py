"""Compute the facts of a source, and tell which facts have changed."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.common.errors import InputError
from studies.facts import record
from studies.facts.record import ROOT, Kept
from studies.facts.sources import SOURCES

FIGURES = ROOT / "docs" / "figures"


def guarded(action: Callable[..., object], *arguments: object) -> bool:
    """Do a part of the renewal; tell in one sentence why it failed, if it does."""
    try:
        action(*arguments)
    except (InputError, OSError) as error:
        print(f"renew: {error}", file=sys.stderr)
        return False
    return True


def compute(name: str) -> None:
    """Run a source, and keep its facts and figures.

    Raises:
        InputError: a command fails, or lacks a fact.
    """
    source = SOURCES[name]
    with TemporaryDirectory() as place:
        try:
            made = source.run(Path(place))
            facts = {key: round(fact.of(made), fact.digits) for key, fact in source.facts.items()}
            printed = {key: made.part(*part) for key, part in source.prints.items()}
        except (InputError, KeyError, TypeError) as error:
            raise InputError(f"facts of {name}: {error}") from None
        for figure, kept in source.figures.items():
            shutil.copy(Path(place, figure), FIGURES / kept)
    record.keep(name, Kept(source.key(), facts, printed))


def changes(before: dict[str, Kept]) -> Iterator[str]:
    """Yield a line for each fact that differs from ``before``."""
    for name, kept in record.read().items():
        old = before[name].facts if name in before else {}
        for fact, value in kept.facts.items():
            if fact in old and old[fact] != value:
                unit = SOURCES[name].facts[fact].unit
                yield f"{fact}: {old[fact]} -> {value} {unit}"
