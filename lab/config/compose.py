"""From overrides to a configuration, and from a configuration to what a run needs."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hardware_models.tables import SHIPPED, TableSet, UserTable, using_tables
from lab.common import wall_limit
from lab.common.errors import (
    OF_COMPARED,
    InputError,
    choices,
    composition_sentence,
    key_of,
    one_line,
    shown,
    unknown_key,
)
from lab.config.schemas import OPEN_MAPPINGS, Settings, register
from lab.config.targets import build, find_class, parameters
from lab.runs.run_directory import INSIDE
from scenarios.applications.application import Application
from scenarios.arrivals import ArrivalProcess
from scenarios.random_streams import stream
from scenarios.scenario import Scenario
from sim.api.planner import Planner
from sim.dataplane.base.interface import DataPlane, Recorder

VERSION_BASE = "1.3"
# More than that is a slip of the pen: a run holds every machine, and its clock counts int64 ns.
MOST_HORIZON_S = 1e9
MOST_MACHINES = 100_000
LEAST_PERIOD_S = 1e-9
NAME = re.compile(r"\w[\w+.-]*")
"""What a compared planner may be named."""


@dataclass(frozen=True)
class Setup:
    """All that a run needs.

    Args:
        config: the whole configuration, resolved.
        seed: seed of all random streams.
        flush_every_s: simulated seconds between two writings of results.
        requests: whether the table of requests is wanted.
        tables: the hardware tables in use.
        planners: the planners, by name; several are run one after the other.
        data_plane: makes a data plane.
        resume: whether to go on with what broke off; the configuration, which is that of the run
            that broke off, does not say so.
        max_wall_s: seconds of wall-clock time after which a run is ended, None for no limit; nor
            does the configuration say that, for no result depends on it.
    """

    config: DictConfig
    seed: int
    flush_every_s: float
    requests: bool
    tables: TableSet
    planners: Mapping[str, Planner]
    data_plane: Callable[[Recorder], DataPlane]
    resume: bool = False
    max_wall_s: float | None = None

    def scenario(self) -> Scenario:
        """Return the scenario, made anew, so that no run can touch another's."""
        with using_tables(self.tables):
            return _scenario(self.config)

    @property
    def alone(self) -> bool:
        """Whether the configuration names one planner, not several to compare."""
        return self.config.planner.get("_target_") is not None

    def config_of(self, planner: str) -> DictConfig:
        """Return the configuration that runs one of the planners alone."""
        if self.alone:
            return self.config
        config = self.config.copy()
        config.planner = config.planner.compare[planner]
        return config


def compose(overrides: Sequence[str]) -> DictConfig:
    """Return the configuration that overrides lead to, as the command line would compose it.

    Raises:
        InputError: an override is wrong.
    """
    register()
    try:
        with initialize_config_module("conf", version_base=VERSION_BASE):
            config = hydra_compose("config", list(overrides))
    except Exception as error:
        raise InputError(composition_sentence(error, overrides)) from None
    if config.resume:
        raise InputError("resume=true: is for compass-sim, whose runs have a directory to go on in")
    return config


def set_up(config: DictConfig, overrides: Sequence[str], planner: Planner | None = None) -> Setup:
    """Turn a configuration into objects, each checked.

    Args:
        config: what Hydra composed.
        overrides: what was overridden on the way.
        planner: a planner to use in place of those that the configuration names.

    Raises:
        InputError: something in the configuration is wrong.
    """
    config = config.copy()
    OmegaConf.set_struct(config, False)
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    _check_one_planner(parsed)
    _replace_whole_mappings(config, parsed)
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise InputError(composition_sentence(error, overrides)) from None
    if config.planner.get("_target_") is not None:
        _check_alone(parsed)
    _check_keys(config)
    for name in ("cluster", "network", "workload", "drift"):
        _check_typed_keys(config[name], name, overrides)
    if planner is None and config.planner.get("_target_") is not None:
        config.planner.pop("compare", None)
    _check_numbers(config, "")
    for key in ("horizon_s", "flush_every_s"):
        if config[key] < 1:
            raise InputError(f"{key}={config[key]}: must be 1 s or more")
    if config.horizon_s > MOST_HORIZON_S:
        raise InputError(f"horizon_s={config.horizon_s:g}: must be {MOST_HORIZON_S:g} s or less")
    wall_limit.check_limit(config.get(wall_limit.KEY))
    if config.seed < 0:
        raise InputError(f"seed={config.seed}: must be 0 or more")
    tables = _tables(config.tables)
    with using_tables(tables):
        return _objects(config, tables, planner, overrides)


def _objects(
    config: DictConfig, tables: TableSet, planner: Planner | None, overrides: Sequence[str]
) -> Setup:
    """Make what a checked configuration describes; its parts check themselves."""
    _check_machines(config.cluster)
    resume, config.resume = config.resume, False
    max_wall_s = config.pop(wall_limit.KEY, None)
    planners = (
        {type(planner).__name__: planner} if planner else _planners(config.planner, overrides)
    )
    for one in planners.values():
        _check_times(one)
    scenario = _scenario(config)
    for one in planners.values():
        _check_parameters(one, scenario)
    _check_arrivals(scenario, config.seed)
    node: Any = OmegaConf.to_container(config.data_plane)
    plane = find_class(node.get("_target_"), "data_plane", DataPlane)
    arguments = parameters(node, "data_plane", plane)
    if planner is not None:
        config.planner = {
            "_target_": f"{type(planner).__module__}.{type(planner).__qualname__}",
            **{name: _plain(value) for name, value in planner.parameters().items()},
        }
    return Setup(
        config,
        config.seed,
        config.flush_every_s,
        config.requests,
        tables,
        planners,
        partial(plane, **arguments),
        resume,
        max_wall_s,
    )


def _tables(node: DictConfig) -> TableSet:
    """Return our tables with the user's, each of which is a path, or a path and how it is used."""
    user = {}
    for name, value in node.items():
        if value is None:
            continue
        given = {"path": value} if isinstance(value, str) else _mapping(value)
        key = f"tables.{name!s}"
        for word in given:
            if word not in ("path", "how"):
                raise InputError(f"{key}.{word}: no such key; {choices(word, ('path', 'how'))}")
        if not isinstance(given.get("path"), str):
            raise InputError(f"{key}={shown(value)}: give the path of a CSV or Parquet file")
        try:
            user[str(name)] = UserTable(**given)
        except ValueError as error:
            raise InputError(f"{key}.{error}") from None
    if not user:
        return SHIPPED
    try:
        tables = TableSet(user)
        with using_tables(tables):
            return tables
    except ValueError as error:
        raise InputError(f"tables: {one_line(error)}") from None


def _scenario(config: DictConfig) -> Scenario:
    application = build(_mapping(config.application), "application", Application)
    workload = _typed(config.workload, "workload")
    workload.arrivals = build(workload.arrivals, "workload.arrivals", ArrivalProcess)
    parts = {name: _typed(config[name], name) for name in ("cluster", "network", "drift")}
    try:
        return Scenario(
            application=application, workload=workload, horizon_s=config.horizon_s, **parts
        )
    except ValueError as error:
        raise InputError(one_line(error)) from None


def _check_arrivals(scenario: Scenario, seed: int) -> None:
    """Draw the arrivals once: a trace is read when the run starts, too late to refuse it."""
    workload = scenario.workload
    try:
        workload.arrivals.times_s(workload.rate, scenario.horizon_s, stream(seed, "check"))
    except Exception as error:  # An arrival process of a stranger may raise anything.
        message = one_line(error)
        path = getattr(workload.arrivals, "path", None)
        if isinstance(path, str) and Path(path).is_dir():
            message = f"workload.arrivals.path={path}: is a directory; give a CSV file"
        prefix = "" if message.startswith("workload.arrivals") else "workload.arrivals: "
        raise InputError(f"{prefix}{message}") from None


def _planners(node: DictConfig, overrides: Sequence[str]) -> dict[str, Planner]:
    if node.get("_target_") is not None:
        planner = _planner(node, "planner", overrides)
        return {type(planner).__name__: planner}
    compared = node.get("compare")
    if not isinstance(compared, DictConfig) or not compared:
        raise InputError(
            "planner._target_=null: name a planner class as package.module.Class, or planners to "
            "compare under planner.compare"
        )
    for name in node:
        if name not in ("_target_", "compare"):
            raise InputError(f"planner.{name!s}={shown(node[name])}: {OF_COMPARED}")
    for name in map(str, compared):
        if not NAME.fullmatch(name) or name in INSIDE:
            raise InputError(
                f"planner.compare.{name}: results go into a directory of that name; choose one of "
                "letters, digits, '_', '-', '+' and '.', which begins with none of the last three "
                f"and is none of {', '.join(sorted(INSIDE))}"
            )
    return {
        str(name): _planner(one, f"planner.compare.{name!s}", overrides)
        for name, one in compared.items()
    }


def _planner(node: Any, key: str, overrides: Sequence[str]) -> Planner:
    """Make a planner; of several keys that are wrong, complain first of one that was overridden.

    A complaint of a key that was not says which file it comes from, if an override chose that.
    """
    own = [name for name in map(key_of, overrides) if name.startswith(f"{key}.")]

    def overridden(one: str) -> bool:
        return any(f"{one}.".startswith(f"{name}.") for name in own)

    def last(item: tuple[str, Any]) -> bool:
        return not any(f"{name}.".startswith(f"{key}.{item[0]}.") for name in own)

    try:
        built: Planner = build(dict(sorted(_mapping(node).items(), key=last)), key, Planner)
    except InputError as error:
        where, value, _ = str(error).partition("=")
        chosen = [one for one in overrides if one.startswith(f"{key}=")]
        if chosen and value and where.startswith(f"{key}.") and not overridden(where):
            raise InputError(f"{error} (from {chosen[-1]})") from None
        raise
    return built


def _check_times(planner: Planner) -> None:
    """Refuse what the world cannot work with, whatever class the planner is of."""
    name, budget_s, period_s = type(planner).__name__, planner.budget_s, planner.replan_every_s
    if not (isinstance(budget_s, Real) and 0 <= budget_s <= MOST_HORIZON_S):
        raise InputError(
            f"planner.budget_s={budget_s}: must be 0 s or more, and {MOST_HORIZON_S:g} s or less "
            f"(of {name})"
        )
    if period_s is not None and not (
        isinstance(period_s, Real) and LEAST_PERIOD_S <= period_s <= MOST_HORIZON_S
    ):
        raise InputError(
            f"planner.replan_every_s={period_s}: must be from {LEAST_PERIOD_S:g} to "
            f"{MOST_HORIZON_S:g} s, or null for no such calls (of {name})"
        )


def _check_parameters(planner: Planner, scenario: Scenario) -> None:
    """Let a planner refuse what it could only raise on at every call."""
    try:
        planner.check_parameters(scenario.application.pipeline, scenario.cluster)
    except Exception as error:  # A planner of a stranger may raise anything.
        raise InputError(f"planner.{one_line(error)} (of {type(planner).__name__})") from None


def _mapping(node: Any) -> dict[str, Any]:
    container = OmegaConf.to_container(node) if isinstance(node, DictConfig) else None
    return container if isinstance(container, dict) else {}  # type: ignore[return-value]


def _typed(node: Any, key: str) -> Any:
    """Return the dataclass object of a typed node; complaints name the whole key."""
    for name, child in _children(node):
        _typed(child, f"{key}.{name}")  # From the inside out, to know where a complaint belongs.
    if not is_dataclass(OmegaConf.get_type(node)):
        return None
    try:
        return OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        raise InputError(composition_sentence(error)) from None
    except (ValueError, TypeError) as error:
        message, group = one_line(error), key.partition(".")[0]
        if not message.startswith(f"{group}."):
            field, given, _ = message.partition("=")
            message = f"{key}.{message}" if given and " " not in field else f"{key}: {message}"
        raise InputError(message) from None


def _children(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, DictConfig) and not node._is_none():
        yield from ((name, node[name]) for name in node)
    elif isinstance(node, ListConfig) and not node._is_none():
        yield from enumerate(node)


def _check_one_planner(overrides: Sequence[Override]) -> None:
    """Refuse a list of planners, which Hydra merges into one."""
    for override in overrides:
        value = override.value()
        if override.key_or_group == "planner" and isinstance(value, list):
            raise InputError(
                f"planner={shown(value)}: must be one name; write -m planner=a,b for a sweep, or "
                "planner=comparison for several on the same world"
            )


def _check_alone(overrides: Sequence[Override]) -> None:
    """Refuse to name planners to compare beside one that runs alone: they would go unseen."""
    for override in overrides:
        place = override.package or override.key_or_group
        if (
            f"{place}.".startswith("planner.compare.")
            and not override.is_delete()
            and override.value() not in (None, {})
        ):
            raise InputError(
                f"{override.input_line}: one planner is chosen, by planner= or planner._target_=, "
                "so nothing is compared; choose planner=comparison, without planner._target_"
            )


def _replace_whole_mappings(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Apply overrides that set a whole mapping, which Hydra merges into the one that is there.

    Those that empty any, such as ``cluster.nodes={}``, and those of open mappings, such as
    ``network.technologies={WiFi: 1}``; a ``+`` before it leaves the merge. What later overrides
    put into a mapping stays in it.

    Raises:
        InputError: what they put into one that was emptied cannot be in it.
    """
    for number, override in enumerate(overrides):
        key, value = override.key_or_group, override.value()
        node = OmegaConf.select(config, key) if isinstance(value, dict) else None
        if node is None:
            continue
        assert isinstance(value, dict)
        if value == {}:
            _empty(config, key, overrides[number + 1 :])
        elif key in OPEN_MAPPINGS and not override.is_add():
            later = [one.key_or_group for one in overrides[number + 1 :]]
            named = {str(name) for name in value} | {
                one.removeprefix(f"{key}.").partition(".")[0] for one in later
            }
            for name in [name for name in node if str(name) not in named]:
                del node[name]


def _empty(config: DictConfig, key: str, later: Sequence[Override]) -> None:
    """Empty a mapping of all but what later overrides put into it, anew and in their order."""
    chosen = [one.package for one in later if one.package and one.package.startswith(f"{key}.")]
    kept = {place: OmegaConf.select(config, place) for place in chosen}
    OmegaConf.update(config, key, {}, merge=False)
    for place, node in kept.items():  # Hydra chooses from groups before it sets values.
        OmegaConf.update(config, place, node, merge=False)
    for one in later:
        place, value = one.key_or_group, one.value()
        within = f"{place}.".startswith(f"{key}.")
        around = isinstance(value, dict) and key.startswith(f"{place}.")
        if one.package or not (within or around):
            continue
        try:
            if not one.is_delete():
                OmegaConf.update(config, place, value, merge=True)
            elif OmegaConf.select(config, place) is not None:
                above, _, name = place.rpartition(".")
                del OmegaConf.select(config, above)[name]
        except OmegaConfBaseException as error:
            raise InputError(composition_sentence(error, [str(one.input_line)])) from None


def _check_keys(config: DictConfig) -> None:
    """Refuse keys that nobody reads, and the lack of one that is needed."""
    known = [one.name for one in fields(Settings)]
    for key in map(str, config):
        if key not in known:
            raise InputError(f"{key}: there is no such key; {choices(key, known)}")
    for key in known:
        if config.get(key) is None and key != wall_limit.KEY:
            raise InputError(f"{key}: is missing; it must not be deleted or null")


def _check_typed_keys(node: Any, key: str, overrides: Sequence[str]) -> None:
    """Refuse keys that a plus added to a node whose keys are fixed."""
    kind = OmegaConf.get_type(node)
    known = [one.name for one in fields(kind)] if is_dataclass(kind) else None
    for name, child in _children(node):
        path = f"{key}.{name}"
        if known is not None and name not in known:
            raise InputError(unknown_key(path, str(name), known, overrides))
        _check_typed_keys(child, path, overrides)


def _check_machines(cluster: DictConfig) -> None:
    """Refuse more machines than a run can hold, before it tries to make them."""
    counts = {name: node.count for name, node in cluster.nodes.items()}
    if sum(counts.values()) > MOST_MACHINES:
        name = max(counts, key=lambda name: counts[name])
        raise InputError(
            f"cluster.nodes.{name}.count={counts[name]}: a cluster may have {MOST_MACHINES:,} "
            f"machines or fewer, and this makes {sum(counts.values()):,}"
        )


def _check_numbers(node: Any, key: str) -> None:
    for name, child in _children(node):
        path = f"{key}.{name}" if key else str(name)
        if isinstance(child, float) and not math.isfinite(child):
            raise InputError(f"{path}={child}: must be a finite number")
        _check_numbers(child, path)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else repr(value)
