"""Sentences for what pydantic finds wrong in a user's file."""

import re
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from hardware_models.errors import did_you_mean


def sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return a sentence with the wrong key, its value, the allowed values and a similar name.

    ``model`` is the model of the whole file.
    """
    key, kind = ".".join(map(str, error["loc"])), error["type"]
    if kind == "extra_forbidden":
        known = _keys(error["loc"], model)
        meant = did_you_mean(str(error["loc"][-1]), known)
        return f"{key}: no such key; choose one of {', '.join(known)}{meant}"
    if kind == "missing":
        return f"{key}: is missing"
    reason = re.sub(r"^Value error, | after validation, not \d+$", "", error["msg"])
    reason = re.sub(r"^\w+ should", "must", reason)
    reason = re.sub(r"a valid dictionary or instance of \w+$", "a mapping", reason)
    if kind == "value_error":
        return f"{key}: {reason}" if key else reason
    if kind == "literal_error":
        allowed = re.findall("'([^']*)'", error["ctx"]["expected"])
        reason += did_you_mean(str(error["input"]), allowed)
    return f"{key}={error['input']}: {reason}"


def _keys(location: tuple[int | str, ...], model: Any) -> list[str]:
    """Return the keys that are allowed in the section that contains a given key."""
    for part in location[:-1]:
        if isinstance(part, str):
            options: list[Any] = [model.model_fields[part].annotation]
            while not (isinstance(options[0], type) and issubclass(options[0], BaseModel)):
                options = [*get_args(options[0]), *options[1:]]
            model = options[0]
    return list(model.model_fields)
