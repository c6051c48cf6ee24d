"""Drift events as texts of the page's address, such as ``rate_change,at_s:300,factor:3``."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from lab.app.controls import NODES
from lab.app.controls import written as written_value
from lab.common.errors import InputError, choices, one_line
from scenarios.drift import FIELDS_OF, KINDS, DriftEvent

KEY = "drift.events"
MOST = 8
"""Largest number of events."""
_DEFAULTS = {one.name: one.default for one in fields(DriftEvent)}


def read(text: str) -> DriftEvent:
    """Return the event that a text has; raise InputError, in one sentence, if it has none."""
    kind, *settings = text.split(",")
    if kind not in KINDS:
        raise InputError(f"event={text}: {choices(kind, KINDS)}")
    known = ("at_s", *FIELDS_OF[kind])
    found: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition(":")
        if name not in known:
            raise InputError(f"event={text}: {name}: {choices(name, known)}")
        if name in found:
            raise InputError(f"event={text}: has {name} twice")
        found[name] = _value(text, name, value)
    try:
        return DriftEvent(kind, **found)
    except ValueError as error:
        raise InputError(f"event={text}: {one_line(error)}") from None


def _value(text: str, name: str, value: str) -> Any:
    if name == "node":
        if value not in NODES:
            raise InputError(f"event={text}: node:{value}: {choices(value, NODES)}")
        return value
    try:
        return int(value) if name == "machine" else float(value)
    except ValueError:
        kind = "a whole number" if name == "machine" else "a number"
        raise InputError(f"event={text}: {name}:{value}: must be {kind}") from None


def written(event: DriftEvent) -> str:
    """Return the text of an event, which `read` reads."""
    return ",".join([event.kind, *_settings(event)])


def override(happens: Sequence[DriftEvent]) -> str:
    """Return the override that sets the events of a run."""
    each = (",".join([f"kind:{one.kind}", *_settings(one)]) for one in happens)
    return f"{KEY}=[{','.join(f'{{{one}}}' for one in each)}]"


def changed(
    happens: Sequence[DriftEvent], number: Any, at_s: Any, new: str
) -> tuple[DriftEvent, ...]:
    """Return events after a change; raise InputError, in one sentence, if it is not possible.

    Args:
        happens: the events.
        number: which of them changes, from 0; None adds one.
        at_s: its time in seconds; None removes it.
        new: the text of an event to add, without its time.
    """
    found = list(happens)
    if number is None:
        if len(found) == MOST:
            raise InputError(f"a scenario here has at most {MOST} events")
        return (*found, read(f"{new},at_s:{at_s}"))
    if not isinstance(number, int) or not 0 <= number < len(found):
        raise InputError(f"event={number!r}: there are {len(found)} events, counted from 0")
    if at_s is None:
        del found[number]
    else:
        kept = [one for one in _settings(found[number]) if not one.startswith("at_s:")]
        found[number] = read(",".join([found[number].kind, *kept, f"at_s:{at_s}"]))
    return tuple(found)


def _settings(event: DriftEvent) -> list[str]:
    """Return the fields that differ from the defaults as texts; the time is always there."""
    given = ((name, getattr(event, name)) for name in ("at_s", *FIELDS_OF[event.kind]))
    return [
        f"{name}:{written_value(value)}"
        for name, value in given
        if name == "at_s" or value != _DEFAULTS[name]
    ]
