"""The instructor's file: regimes, seeds, limits, and how planners are ranked."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yaml import CSafeLoader, MappingNode, YAMLError, compose_all

from hardware_models.model_errors import sentence
from lab.common.errors import InputError, choices, key_of
from lab.common.options import planner_names
from lab.common.yaml_files import check_yaml, parsed, read_text, why_not_yaml
from lab.config.compose import NAME, set_up
from lab.config.overrides import repeated
from lab.leaderboard.ranking import COLUMNS
from lab.runs.api import composed
from sim.api.planner import Settings

FILE = "leaderboard.yaml"
MOST_S = 1e6
"""Longest limit in seconds."""
LEAST_RANDOM = 10**12
"""Smaller seeds can be found by trying: a core tries 10^5 in a second."""
OURS = ("seed", "planner", "hydra", "max_wall_s", "max_call_s", "resume")
"""Keys that regimes must not set, because the leaderboard does."""

Seconds = Annotated[float, Field(gt=0, le=MOST_S)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Limits(_Keys):
    """What a submission may use in one run."""

    start_s: Seconds = 60.0  # wall-clock seconds until its planner is loaded
    call_s: Seconds = 30.0  # wall-clock seconds for one call of its planner
    run_s: Seconds = 600.0  # wall-clock seconds for the run
    memory_gb: Annotated[float, Field(ge=0.1, le=1000)] = 2.0  # beyond what libraries take


class Instructions(_Keys):
    """What the instructor's file says."""

    # Overrides by name of regime; students see the names only.
    regimes: Annotated[dict[str, Annotated[list[str], Field(min_length=1)]], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=2)]
    metric: Literal["service_goodput_mean", "slo_met_fraction", "goodput_per_usd"] = (
        "service_goodput_mean"
    )
    baselines: list[str] = ["cheapest_feasible"]  # shipped planners on the board
    limits: Limits = Limits()

    @property
    def guessable(self) -> bool:
        """Whether a planner could find a seed by trying."""
        return min(self.seeds) < LEAST_RANDOM


def read_instructions(path: Path) -> Instructions:
    """Read the instructor's file, and check that its regimes can be simulated.

    Raises:
        InputError: the file is missing or wrong; the message is one sentence.
    """
    try:
        text = read_text(path)
        check_yaml(text, path)
        _check_keys(text, path)
        found = Instructions.model_validate(parsed(text, path))
    except InputError:
        raise
    except ValidationError as error:
        first = min(
            error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden"
        )
        if not first["loc"]:
            raise InputError(
                f"{path}: must be a mapping with {', '.join(Instructions.model_fields)}"
            ) from None
        raise InputError(f"{path}: {sentence(first, Instructions)}") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; it names regimes and seeds") from None
    except (OSError, ValueError, RecursionError, YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {why_not_yaml(error)}") from None
    try:
        _check(found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return found


def _check_keys(text: str, path: Path) -> None:
    """Raise InputError if a mapping has a key twice, of which YAML would take the last."""
    for root in compose_all(text, CSafeLoader):
        left: list[Any] = [root]
        while left:
            node = left.pop()
            if isinstance(node, MappingNode):
                if twice := repeated(str(key.value) for key, _ in node.value):
                    raise InputError(f"{path}: has the key {twice[0]} twice")
                left += [value for _, value in node.value]


def _check(found: Instructions) -> None:
    if twice := repeated(map(str, found.seeds)):
        raise InputError(f"seeds: name {twice[0]} once only")
    if twice := repeated(found.baselines):
        raise InputError(f"baselines: name {twice[0]} once only")
    known = planner_names()
    for name in found.baselines:
        if name not in known:
            raise InputError(f"baselines: there is no planner {name}; {choices(name, known)}")
    for regime, overrides in found.regimes.items():
        if not NAME.fullmatch(regime):
            raise InputError(f"regimes.{regime}: must be a name of letters, digits and _+.-")
        if regime in COLUMNS:
            raise InputError(f"regimes.{regime}: has the name of a column of the board; rename it")
        for override in overrides:
            if key_of(override).partition(".")[0] in OURS:
                raise InputError(
                    f"regimes.{regime}: {override}: the leaderboard sets this key itself"
                )
        try:
            for baseline in (*found.baselines, *([] if found.baselines else [None])):
                _check_run(overrides, baseline)
        except InputError as error:
            raise InputError(f"regimes.{regime}: {error}") from None


def _check_run(overrides: list[str], baseline: str | None) -> None:
    given, config = composed([*overrides, *([f"planner={baseline}"] if baseline else [])])
    for planner in set_up(config, given).planners.values():
        if Settings.of(planner).sees_truth:
            raise InputError(f"baselines: {baseline} sees the truth, so that it is no baseline")
