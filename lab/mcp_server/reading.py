"""The JSON schemas of what can be asked, and the check of what is asked, in one sentence."""

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lab.common.errors import InputError, choices, one_line, short
from lab.config.allowed import allowed, type_at
from lab.config.validation import BOUNDS, UNKNOWN
from lab.mcp_server import keys
from lab.mcp_server.tool_arguments import TOOLS

WORDS = {
    **BOUNDS,
    "greater_than": "must be above {gt:g}",
    "less_than": "must be below {lt:g}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must be of the form {pattern}",
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} or fewer items",
}
"""What is said of a wrong argument, by the type of pydantic's error."""


@cache
def _adapter(tool: str) -> TypeAdapter[Any]:
    return TypeAdapter(TOOLS[tool])


def schema(tool: str, budget_s: float) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments; `budget_s` is the largest budget."""
    found: dict[str, Any] = keys.without(_adapter(tool).json_schema(), "title")
    del found["description"]
    found["properties"]["budget_s"]["anyOf"][0]["maximum"] = budget_s
    if "$defs" in found:  # list_scenarios tells what the keys of the scenario mean.
        found["$defs"] = keys.without(found["$defs"], "description")
    referring = _referring(found)
    if referring != found:
        referring["$defs"] = {**referring.get("$defs", {}), **keys.schemas()}
    return dict(referring)


def _referring(node: Any) -> Any:
    """Return a schema in which settings refer to the definition of their schema."""
    if isinstance(node, list):
        return [_referring(one) for one in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == keys.SETTINGS:
        return {"$ref": f"#/$defs/{keys.SETTINGS}"}
    return {name: _referring(one) for name, one in node.items()}


def read(tool: str, arguments: Mapping[str, Any], budget_s: float) -> Any:
    """Return a tool's arguments; raise InputError, in one sentence, if one is wrong."""
    kind = TOOLS[tool]
    try:
        asked = _adapter(tool).validate_json(json.dumps(arguments), strict=True)
    except ValidationError as error:
        raise InputError(_sentence(kind, error)) from None
    if asked.budget_s is None:
        asked.budget_s = budget_s
    if asked.budget_s > budget_s:
        raise InputError(
            f"budget_s={asked.budget_s:g}: must be {budget_s:g} s or less, the server's limit"
        )
    asked.check()
    return asked


def _sentence(model: type, error: ValidationError) -> str:
    """Return a sentence on the first error; unknown names are reported before wrong values."""
    first = min(error.errors(), key=lambda one: one["type"] != UNKNOWN)
    path = [str(part) for part in first["loc"]]
    key, kind, context = ".".join(path), first["type"], first.get("ctx", {})
    if kind == UNKNOWN:
        known = [one.name for one in fields(type_at(model, path[:-1]))]
        return f"{key}: no such argument; {choices(path[-1], known)}"
    if kind == "missing":
        return f"{key}: is missing"
    said = f"{key}={short(first['input'])}"
    if kind in WORDS:
        return f"{said}: {WORDS[kind].format(**context, unit='')}"
    if kind == "value_error":
        return f"{key}: {one_line(context['error'])}"
    return f"{said}: must be {allowed(type_at(model, path), key)}"
