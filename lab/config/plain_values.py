"""A configuration's values as its declaration reads them, before pydantic checks their types.

The check is strict: it turns no text into a number, and no number into a truth value. What people
write in other words on purpose is read here, and nothing else: the truth values of YAML as texts,
numbers in plain decimal notation as texts (an environment variable is always a text), whole numbers
with a decimal point or an exponent, and names that look like numbers.
"""

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

from lab.common.errors import InputError, shown
from lab.config.allowed import type_at
from lab.config.settings import Settings

TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""Texts that YAML reads as truth values."""
DECIMAL = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{0,300})?([eE][+-]?[0-9]{1,5})?")
LONGEST_NAME = 100


def plain_tree(node: Any, path: tuple[str, ...] = ()) -> Any:
    """Return a tree whose values have plain types; `path` leads to it from the top.

    Raises InputError for a number that is not finite, for a text that has no encoding, and for a
    key that cannot be a name.
    """
    if isinstance(node, Mapping):
        return {
            (text := _name(name, path)): plain_tree(one, (*path, text))
            for name, one in node.items()
        }
    if isinstance(node, list):
        return [plain_tree(one, (*path, str(i))) for i, one in enumerate(node)]
    key = ".".join(path)
    if isinstance(node, str) and not node.isascii():
        _check_encoded(key, node)
    value = node if node is None else _as_declared(node, _types(path))
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{key}={node}: must be a finite number")
    return value


def _name(name: Any, path: tuple[str, ...]) -> str:
    text = shown(name)
    if not (text.isprintable() and text.strip() == text and 0 < len(text) <= LONGEST_NAME):
        raise InputError(
            f"{'.'.join(path)}: the name {text!r} must have 1 to {LONGEST_NAME} printable "
            "characters, and no space at either end"
        )
    return text


def _check_encoded(key: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{key}={text}: must be a text in UTF-8") from None


@cache
def _types(path: tuple[str, ...]) -> frozenset[Any]:
    """Return the declared types of a key, without None; those of a user's class are unknown."""
    hint = type_at(Settings, path)
    return frozenset(get_args(hint) or (hint,)) - {type(None)}


def _as_declared(value: Any, types: frozenset[Any]) -> Any:
    if types == {bool} and isinstance(value, str):
        return TRUTH.get(value.lower(), value)
    if types == {str}:
        return shown(value)
    if types <= {int, float} and types:
        if isinstance(value, str) and DECIMAL.fullmatch(value):
            value = float(value) if set(value) & set(".eE") else int(value)
        if types == {int} and isinstance(value, float) and value.is_integer():
            return int(value)
    return value
