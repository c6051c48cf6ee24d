"""The keys of a scenario that an assistant can set: their schema, and overrides made of values.

An assistant's input is a stranger's. Keys that name a file or a class are not among these, and a
value becomes a part of an override only if it is a number, a plain name, or a list or mapping of
such. So no value can choose another file, name a class or have a meaning in Hydra's grammar.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from inspect import cleandoc
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from hardware_models.errors import did_you_mean
from hardware_models.links.technologies import technologies
from lab.app.controls import NODES
from lab.app.controls import written as written_value
from lab.common.errors import InputError, choices, short
from lab.common.options import groups
from lab.config.settings import Settings
from scenarios.drift import DriftEvent
from scenarios.slo import Tier

SECTIONS = ("cluster", "network", "workload", "drift")
NUMBERS = {
    "horizon_s": "length of the run in simulated seconds",
    "warm_up_s": "simulated seconds that metrics of goodput leave out, or auto",
}
"""Keys outside of the sections, with their meanings."""
GROUPS = (
    *("application", "cluster", "network", "workload", "tiers", "drift", "profiling"),
    *("switching", "data_plane"),
)
"""Groups of the configuration of which a scenario chooses an option."""
NAMING_FILES = ("network.traces", "workload.arrivals")
"""Keys that name files or classes."""
NAME = re.compile(r"[A-Za-z0-9][\w+.-]*(?: [\w+.-]+)*", re.ASCII)
"""A text that can be a value: a name, perhaps of several words."""
LONGEST, ITEMS, LARGEST = 100, 100, 1e18
"""Most characters of a name, most items of a list or mapping, and the largest number."""


def hints() -> Mapping[str, Any]:
    """Return the declared type of each key that can be set, in the order of the configuration."""
    return {key: hint for key, (hint, _) in _keys().items()}


@cache
def _keys() -> Mapping[str, tuple[Any, str]]:
    """Return the declared type and the meaning of each key that can be set."""
    settings = get_type_hints(Settings, include_extras=True)
    found = {name: (settings[name], meaning) for name, meaning in NUMBERS.items()}
    for section in SECTIONS:
        found.update(_leaves(settings[section], section))
    return found


def _leaves(kind: Any, above: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield the keys below a dataclass, with their types and meanings."""
    kind = _plain(kind)
    told = dict(each for base in reversed(kind.__mro__) for each in _arguments(base.__doc__ or ""))
    for name, hint in get_type_hints(kind, include_extras=True).items():
        key = f"{above}.{name}"
        if key in NAMING_FILES or name.startswith("__"):
            continue
        if is_dataclass(_plain(hint)):
            yield from _leaves(hint, key)
        elif key == "cluster.nodes":
            for node in NODES:
                yield from _leaves(get_args(hint)[-1], f"{key}.{node}")
        else:
            yield key, (hint, told.get(name, ""))


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


SETTINGS = "Settings"
"""The name of the schema of a mapping from keys to values."""


@cache
def schemas() -> Mapping[str, Any]:
    """Return JSON schemas by name: that of a mapping from keys to values, and what it refers to."""
    options = groups()
    found: dict[str, Any] = {name: {"enum": options[name]} for name in GROUPS}
    adapters = [(key, "validation", TypeAdapter[Any](hint)) for key, hint in hints().items()]
    of_keys, more = TypeAdapter.json_schemas(adapters)  # type: ignore[arg-type]
    found.update({str(key): one for (key, _), one in of_keys.items()})
    made = {"type": "object", "additionalProperties": False, "properties": found}
    # An experiment can have other defaults.
    bare = without({**more.get("$defs", {}), SETTINGS: made}, "title", "default", "description")
    return dict(bare)


def without(node: Any, *names: str) -> Any:
    """Return a JSON schema without some annotations, such as titles."""
    if isinstance(node, list):
        return [without(one, *names) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: without(one, *names)
        for name, one in node.items()
        if name not in names or isinstance(one, dict)  # then it is a property of that name
    }


@cache
def meanings() -> Mapping[str, str]:
    """Return what each key means, from the docstrings of the configuration's classes."""
    found = {key: meaning for key, (_, meaning) in _keys().items()}
    found["network.technologies"] += f" Technologies are {', '.join(technologies())}."
    for key, kind in {"drift.events": DriftEvent, "workload.tiers": Tier}.items():
        found[key] += "".join(f" {name}: {text}" for name, text in _arguments(kind.__doc__ or ""))
    return found


def _arguments(doc: str) -> Iterator[tuple[str, str]]:
    """Yield the names and texts below ``Args:`` in a docstring."""
    _, _, below = cleandoc(doc).partition("Args:\n")
    block = re.split(r"^\S", below, maxsplit=1, flags=re.MULTILINE)[0]
    for one in re.split(r"^ {4}(?=\w+: )", block, flags=re.MULTILINE)[1:]:
        name, _, text = one.partition(": ")
        yield name, " ".join(text.split()).replace("``", "")


def overrides(settings: Mapping[str, Any]) -> list[str]:
    """Return the overrides that set keys to values; raise InputError, in a sentence, otherwise."""
    return [f"{check_key(key)}={written(key, value)}" for key, value in settings.items()]


def check_key(key: str) -> str:
    """Return a key if it is one of a scenario; raise InputError if not."""
    known = [*GROUPS, *hints()]
    if key not in known:
        raise InputError(
            f"{key}: no such key of a scenario; list_scenarios with an experiment shows all "
            f"{len(known)}{did_you_mean(key, known)}"
        )
    return key


def written(key: str, value: Any) -> str:
    """Return a value as an override has it; raise InputError if it is not plain."""
    if key in GROUPS:
        if not isinstance(value, str) or value not in groups()[key]:
            raise InputError(f"{key}={short(value)}: {choices(str(value), groups()[key])}")
        return value
    return _text(key, value)


def _text(key: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        if not abs(value) <= LARGEST:  # or it is no number
            raise InputError(f"{key}: must be a number of at most {LARGEST:g}")
        return written_value(value)
    if isinstance(value, str):
        return _name(key, value)
    if not isinstance(value, list | dict) or len(value) > ITEMS:
        raise InputError(f"{key}: must have at most {ITEMS} items")
    if isinstance(value, list):
        return f"[{','.join(_text(key, one) for one in value)}]"
    return f"{{{','.join(f'{_name(key, name)}:{_text(key, one)}' for name, one in value.items())}}}"


def _name(key: str, text: str) -> str:
    if len(text) > LONGEST or not NAME.fullmatch(text):
        raise InputError(
            f"{key}={short(text)}: must be a name of letters, digits, '_', '-', '+', '.' and "
            f"single spaces, at most {LONGEST} characters"
        )
    return f"'{text}'" if " " in text else text
