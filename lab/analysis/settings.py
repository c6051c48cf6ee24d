"""The settings of a sweep's runs, the keys that were varied, and short names for both."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from yaml import YAMLError

from lab.common.errors import InputError, shown
from lab.common.yaml_files import parsed, read_text
from lab.config.targets import with_current_paths

# Keys that are not part of a setting: the seed, the planner, and keys without effect on results.
APART = ("about", "seed", "planner", "figures", "flush_every_s", "requests", "resume")
APPLICATION = "application.name"
# Last parts of keys that are ambiguous without the part before.
VAGUE = ("name", "count", "events", "kind")
LONGEST = 28
"""Largest number of characters of a short text."""
RunSettings = Mapping[str, Any]


def read_settings(paths: Iterable[Path]) -> list[RunSettings]:
    """Return each file's values by dotted key; raise InputError if a file is invalid."""
    known: dict[str, RunSettings] = {}  # Files of one setting differ only in their seed.
    found = []
    for path in paths:
        try:
            text = re.sub(r"^seed: .*\n", "", read_text(path), flags=re.M)
            if text not in known:
                config = parsed(text, path)
                rest = {key: part for key, part in config.items() if key not in APART}
                known[text] = dict(_leaves(with_current_paths(rest), ""))
        except (AttributeError, OSError, RecursionError, TypeError, ValueError, YAMLError):
            raise InputError(f"{path}: is missing or not the configuration of a run") from None
        found.append(known[text])
    return found


def _leaves(node: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each leaf; lists and empty mappings are leaves."""
    for name, child in node.items():
        path = f"{key}.{name}" if key else str(name)
        if isinstance(child, dict) and child:
            yield from _leaves(child, path)
        else:
            yield path, child


def swept_keys(settings: Sequence[RunSettings]) -> dict[str, list[str]]:
    """Return the varied keys, each with the keys that always change together with it.

    If several keys change together, one of them counts as the varied key. It is the application's
    name if that is among them, otherwise a key with numbers, and a key with texts only if no key
    has numbers.
    """
    differing = _differing(settings)
    codes = {key: [repr(one.get(key)) for one in settings] for key in differing}

    def rank(key: str) -> tuple[Any, ...]:
        values = [one.get(key) for one in settings]
        nested = any(isinstance(one, list | dict) for one in values)
        simple = 0 if is_numeric(values) else 1 + nested
        return -len(set(codes[key])), key != APPLICATION, simple, differing.index(key)

    kept: dict[str, list[str]] = {}
    for key in sorted(differing, key=rank):
        # A key depends on another if equal values of the other imply equal values of this key.
        for one, along in kept.items():
            if len(set(zip(codes[one], codes[key], strict=True))) == len(set(codes[one])):
                along.append(key)
                break
        else:
            kept[key] = []
    return {key: kept[key] for key in differing if key in kept}


def is_numeric(values: Sequence[Any]) -> bool:
    """Return whether all values are numbers."""
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)


def text_of(value: Any) -> str:
    """Return a value as written on the command line; nulls in mappings are left out."""
    if not isinstance(value, list | dict):
        return shown(value)
    parts = [
        {key: part for key, part in one.items() if part is not None}
        if isinstance(one, dict)
        else one
        for one in (value if isinstance(value, list) else [value])
    ]
    return json.dumps(parts if isinstance(value, list) else parts[0]).replace('"', "")


def short_texts(values: Sequence[Any]) -> list[str]:
    """Return a short, unique label for each value of a key.

    A long list is labelled by the ``kind`` of each entry. A label that would be too long or not
    unique is replaced by a number, such as ``#2``.
    """
    if is_numeric(values):
        brief = [f"{value:.6g}" for value in values]
        met = Counter(brief)
        return [
            text if met[text] == 1 else repr(value)
            for value, text in zip(values, brief, strict=True)
        ]
    texts = [text_of(value) for value in values]
    kinds = [", ".join(re.findall(r"\bkind: ([\w-]+)", text)) or text for text in texts]
    named = [kind if len(text) > LONGEST else text for kind, text in zip(kinds, texts, strict=True)]
    return [
        name if len(name) <= LONGEST and named.count(name) == 1 else f"#{number}"
        for number, name in enumerate(named, 1)
    ]


def short_keys(keys: Sequence[str]) -> list[str]:
    """Shorten dotted keys to their last parts, as many as are needed to keep the keys distinct."""
    for words in range(1, 1 + max((key.count(".") + 1 for key in keys), default=0)):
        short = [".".join(key.split(".")[-words - (key.split(".")[-1] in VAGUE) :]) for key in keys]
        if len(set(short)) == len(short):
            return short
    return list(keys)


def distinct_names(planners: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return a unique name for each planner: its class, and the parameters that differ."""
    named: list[str] = []
    for kind, parameters in planners:
        alike = [others for other, others in planners if other == kind]
        differing = {
            key: value
            for key, value in parameters.items()
            if any(key not in other or repr(other[key]) != repr(value) for other in alike)
        }
        # If a part's class differs, the parameters of the part are left out.
        differing = {
            key: value
            for key, value in differing.items()
            if not any(key.startswith(f"{above}.") for above in differing)
        }
        given = ", ".join(f"{key}={value!r}" for key, value in differing.items())
        name = unique = f"{kind}({given})" if given else kind
        count = 1
        while unique in named:
            count += 1
            unique = f"{name} #{count}"
        named.append(unique)
    return named


def planner_names(planners: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    """Return a unique name for each planner, from its name, class and parameters."""
    classes: dict[str, set[str]] = {}
    for name, kind, _ in planners:
        classes.setdefault(name, set()).add(kind)
    # Classes of the same name in different packages are named with their packages.
    return distinct_names(
        [
            (kind if len(classes[name]) > 1 else name, dict(_parameters(parameters)))
            for name, kind, parameters in planners
        ]
    )


class _Bare(str):
    """A text whose ``repr`` has no quotes."""

    def __repr__(self) -> str:
        return str(self)


def _parameters(parameters: Mapping[str, Any], key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield parameters by dotted key; a nested object yields its class, then its parameters."""
    for name, value in parameters.items():
        part = _call(value) if isinstance(value, str) else None
        if part is None:
            yield f"{key}{name}", value
        else:
            yield f"{key}{name}", _Bare(ast.unparse(part.func))
            below = {str(one.arg): _literal(one.value) for one in part.keywords}
            yield from _parameters(below, f"{key}{name}.")


def _call(text: str) -> ast.Call | None:
    """Parse a text such as ``Watch(alpha=0.01)`` as a call; return None if it is not one."""
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(node, ast.Call) or node.args or any(one.arg is None for one in node.keywords):
        return None
    return node


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _differing(settings: Sequence[RunSettings]) -> list[str]:
    """Return the keys whose values differ.

    A key ``application.*`` counts only if its values differ within one application.
    """
    keys = dict.fromkeys(key for one in settings for key in one)
    of_name: dict[Any, list[RunSettings]] = {}
    for one in settings:
        of_name.setdefault(one.get(APPLICATION), []).append(one)

    def differs(key: str) -> bool:
        alike = key.startswith("application.") and key != APPLICATION
        groups = of_name.values() if alike else [settings]
        return any(any(one.get(key) != group[0].get(key) for one in group) for group in groups)

    return [key for key in keys if differs(key)]
