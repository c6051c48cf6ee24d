"""The shape of ``summary.json``, which everything that reads one can rely on."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, create_model

from lab.common.errors import InputError, shown
from lab.common.metrics import (
    BOUND,
    BY_TIER,
    GAP,
    GOODPUT_PER_USD,
    METRICS,
    RESPONSE,
    SLO_MET,
)

NULLABLE = (
    SLO_MET.name,
    RESPONSE.name,
    "queries_met_share",
    GOODPUT_PER_USD.name,
    BOUND.name,
    GAP.name,
    "goodput_optimum",
)
"""Numbers that a run can lack."""

NEEDED: Mapping[str, Any] = {
    **dict.fromkeys(("planner", "planner_class", "status"), str),
    "planner_parameters": dict[str, Any],
    "planner_sees_truth": bool,
    "seed": Annotated[int, Field(ge=-(2**63), lt=2**63)],
    "horizon_s": float,
    "simulated_s": float,
}
"""Types of the values that every version has written."""
TEXTS = ("planner", "planner_class", "planner_error_first")
"""Texts that tools print."""


def checked(path: Path, summary: Any) -> dict[str, Any]:
    """Return the summary of a run or a comparison; raise InputError if it has another shape."""
    if not isinstance(summary, dict):
        raise InputError(f"{path}: must have a mapping, not {shown(summary)}")
    for one in [summary] if is_of_run(summary) else summary.values():
        try:
            _shape().model_validate(one, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            wrong = f": {key}={shown(first['input'])}" if key else ""
            why = f": it has no {key}" if first["type"] == "missing" else wrong
            raise InputError(f"{path}: is not a run's summary of this version{why}") from None
        for key in TEXTS:
            if not (text := one.get(key) or "").isprintable():
                raise InputError(f"{path}: {key}={text}: must be printable")
    return summary


def is_of_run(summary: Mapping[str, Any]) -> bool:
    """Return whether a summary is that of one run, and not of a comparison."""
    return not isinstance(summary.get("status", {}), dict)


@cache
def _shape() -> type[BaseModel]:
    """Return what checks a run's summary; keys of other versions are allowed."""
    numbers = {name: float | None if name in NULLABLE else float for name in METRICS}
    others = {
        **{name: (kind, None) for name, kind in numbers.items()},
        **dict.fromkeys(BY_TIER, (dict[str, float | None] | None, None)),
        "planner_error_first": (str | None, None),
        "behaviour": (dict[str, int | None], None),
        "versions": (dict[str, Any], None),
    }
    needed = {name: (kind, ...) for name, kind in NEEDED.items()}
    fields: dict[str, Any] = {**others, **needed}
    return create_model("Summary", **fields)
