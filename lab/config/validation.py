"""Checks a composed configuration against its declaration; reports errors in one sentence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from hardware_models.tables import SHIPPED, TableSet, using_tables
from lab.common.errors import InputError, one_line, shown
from lab.config.allowed import allowed, type_at, unit_of
from lab.config.environment import hidden
from lab.config.messages import unknown_key, written
from lab.config.plain_values import plain_tree
from lab.config.settings import CHECKS, OPEN, Settings

BOUNDS = {
    "greater_than_equal": "must be {ge:g}{unit} or more",
    "less_than_equal": "must be {le:g}{unit} or less",
}
"""Messages for numbers out of bounds, by the type of pydantic's error."""

UNKNOWN = "unexpected_keyword_argument"

_tables = TypeAdapter(get_type_hints(Settings, include_extras=True)["tables"], config=CHECKS)
_settings = TypeAdapter(Settings)


class WrongTypeError(InputError):
    """A key does not exist, or its value has another type than the declared one."""


def validated(
    config: DictConfig, tables: TableSet, overrides: Sequence[str] = ()
) -> tuple[DictConfig, Settings]:
    """Check a configuration; return it with values of the declared types, and its settings."""
    settings = checked_settings(config, tables, overrides)
    kept: Any = {**dict.fromkeys(OPEN, True), "workload": {"arrivals"}}
    typed = OmegaConf.merge(config, _settings.dump_python(settings, exclude=kept))
    assert isinstance(typed, DictConfig)
    return typed, settings


def checked_settings(
    config: DictConfig, tables: TableSet, overrides: Sequence[str] = ()
) -> Settings:
    """Check a configuration, and return its settings."""
    # For JSON, strict mode accepts a mapping as a dataclass, but no text as a number or vice versa.
    tree = json.dumps(plain_tree(OmegaConf.to_container(config)), default=str)
    try:
        with using_tables(tables):
            return _settings.validate_json(tree, strict=True)
    except ValidationError as error:
        in_type = {one["type"] for one in error.errors()} <= {*BOUNDS, "value_error"}
        kind = InputError if in_type else WrongTypeError
        raise kind(_sentence(error, overrides)) from None


def table_set(node: Any, overrides: Sequence[str]) -> TableSet:
    """Return the tables in use: the shipped ones, and the user's that `node` names."""
    try:
        given = _tables.validate_python(node)
        user = {name: one for name, one in given.items() if one is not None}
        if not user:
            return SHIPPED
        tables = TableSet(user)
        with using_tables(tables):
            return tables
    except ValidationError as error:
        raise InputError(_sentence(error, overrides, "tables")) from None
    except ValueError as error:
        key = getattr(error, "__notes__", ["tables"])[0]
        reason = one_line(error).removeprefix(f"{key.partition('.')[2]}: ")
        raise InputError(f"{key}: {reason}") from None


def check_complete(tree: Any, known: Mapping[str, Any], above: str = "") -> None:
    """Raise InputError if a tree lacks a known key; `above` is the prefix of its keys."""
    for name, below in known.items():
        if name not in tree:
            raise InputError(f"{above}{name}: is missing; it must not be deleted or set to null")
        if isinstance(below, Mapping) and isinstance(tree[name], Mapping | DictConfig):
            check_complete(tree[name], below, f"{above}{name}.")


def check_types(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise WrongTypeError if a job of a sweep has an unknown key or a value of a wrong type."""
    keys = [str(key) for key in config if key != "hydra"]
    try:
        plain = OmegaConf.masked_copy(config, keys)
        OmegaConf.resolve(plain)
        checked_settings(plain, SHIPPED, overrides)
    except WrongTypeError as error:
        raise WrongTypeError(hidden(str(error), overrides)) from None
    except (InputError, OmegaConfBaseException):
        return


def _sentence(error: ValidationError, overrides: Sequence[str], *above: str) -> str:
    """Return a sentence on the first error; unknown keys are reported before wrong values."""
    complaint = min(error.errors(), key=lambda one: one["type"] != UNKNOWN)
    path, value = [*above, *map(str, complaint["loc"])], complaint["input"]
    key, kind, context = ".".join(path), complaint["type"], complaint.get("ctx", {})
    said = f"{key}={_shown(value)}"
    if value is None or isinstance(value, Mapping | list):
        said = written(key, overrides)
    if kind == UNKNOWN:
        known = [one.name for one in fields(type_at(Settings, path[:-1]))]
        return unknown_key(key, path[-1], known, overrides)
    if kind == "value_error":
        message, group = one_line(context["error"]), key.partition(".")[0]
        if not key or message.startswith(f"{group}."):
            return message
        name, given, _ = message.partition("=")
        if given and " " not in name:
            return f"{key}.{message}"
        return f"{key if isinstance(value, Mapping) else said}: {message}"
    wanted = f"must be {allowed(type_at(Settings, path), key)}"
    if kind in BOUNDS:
        unit = unit_of(key)
        wanted = BOUNDS[kind].format(**context, unit=f" {unit}" if unit else "")
    elif value is None:
        wanted = "must not be null"
    return f"{said}: {wanted}"


def _shown(value: Any) -> str:
    """Return a value as text; a float is written in its shortest exact form."""
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else shown(value)
