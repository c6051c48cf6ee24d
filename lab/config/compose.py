"""Turns overrides into a configuration, and a configuration into the objects of a run."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from itertools import compress
from operator import not_
from os.path import isdir
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import conf
from hardware_models.tables import TableSet, using_tables
from lab.common.errors import InputError, key_of, one_line, shown
from lab.common.options import groups
from lab.common.resources import shortage
from lab.config.environment import Environment, environment, hidden
from lab.config.messages import OF_COMPARED, composition_sentence
from lab.config.overrides import check_alone, check_one_planner, readable, replace_whole_mappings
from lab.config.references import check_resolved
from lab.config.settings import INSIDE, OPEN, Settings, defaults, register
from lab.config.targets import (
    build,
    find_class,
    names_strangers,
    parameters,
    said,
    with_current_paths,
)
from lab.config.trust import checked_files
from lab.config.validation import check_complete, checked_settings, table_set, validated
from lab.limits import wall_limit
from lab.limits.guarded_call import from_elsewhere, guard_of, guarded_call
from scenarios.applications.application import Application
from scenarios.random_streams import stream
from scenarios.scenario import Scenario
from sim.api.errors import PlannerError
from sim.api.planner import Planner
from sim.api.planner import Settings as PlannerSettings
from sim.dataplane import blocks
from sim.dataplane.base.interface import DataPlane, Recorder
from sim.planning.call import wrong_kind
from sim.planning.guard import Guard
from sim.safe_text import class_name, path_of

VERSION_BASE = "1.3"
FILES = Path(conf.__file__).parent  # directory of all options' files
COMPARED = "planner.compare."
"""How the keys of compared planners begin."""
NAME = re.compile(r"\w[\w+.-]*")
"""Allowed names of compared planners."""


@dataclass(frozen=True)
class Setup:
    """Everything that a run needs."""

    config: DictConfig  # resolved, with a false `resume` and without limits; not for files
    seed: int
    flush_every_s: float  # simulated time between two writings of results
    requests: bool  # whether to write the table of requests
    tables: TableSet
    planners: Mapping[str, Planner]  # planners by name, which run one after the other
    data_plane: Callable[[Recorder], DataPlane]
    resume: bool = False  # whether to resume an unfinished run
    max_wall_s: float | None = None  # wall-clock limit of a run; None for no limit
    max_call_s: float | None = None  # wall-clock limit of one call of a planner
    bound_every_s: float | None = None  # period of the bound on goodput; None for the default
    bound_optimum: bool = False  # whether integer programs tighten the bound of a small run
    environment: Environment = field(default_factory=Environment)  # values that no file may have

    def scenario(self) -> Scenario:
        """Return a new scenario, so that no two runs share one."""
        with using_tables(self.tables):
            return _scenario(checked_settings(self.config, self.tables))

    @property
    def alone(self) -> bool:
        """Whether the configuration names one planner, not several to compare."""
        return self.config.planner.get("_target_") is not None

    @cached_property
    def saved(self) -> DictConfig:
        """The configuration for files, in which values of the environment are unresolved."""
        return self.environment.unresolved(self.config)

    def saved_of(self, planner: str) -> DictConfig:
        """Return the configuration for the files of a run with only the given planner."""
        if self.alone:
            return self.saved
        tree: Any = OmegaConf.to_container(self.saved)
        tree["planner"] = tree["planner"]["compare"][planner]
        made: DictConfig = OmegaConf.create(tree)
        return made

    def summary_of(self, planner: str, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the summary of a planner's run without values of the environment."""
        if not self.environment.texts:
            return summary
        node: Any = OmegaConf.to_container(self.saved_of(planner).planner)
        place = ("planner",) if self.alone else ("planner", "compare", planner)
        kept = {path[len(place)] for path in self.environment.texts if path[: len(place)] == place}
        return {
            **summary,
            "planner_parameters": {
                name: node[name] if name in kept else value
                for name, value in summary["planner_parameters"].items()
            },
            "planner_error_first": summary["planner_error_first"]
            and self.environment.hidden(summary["planner_error_first"]),
        }


def compose(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of command-line overrides, or raise InputError."""
    try:
        config = _composed(list(map(readable, overrides)))
        resume = config.resume
    except Exception as error:
        raise InputError(hidden(composition_sentence(error, overrides), overrides)) from None
    if resume:
        raise InputError("resume=true: works in compass-sim only, where a run has a directory")
    return config


def _composed(overrides: list[str]) -> DictConfig:
    """Compose a configuration, from a cache if overrides only choose options and set values."""
    parsed, known = OverridesParser.create().parse_overrides(overrides), groups()
    if all(_is_plain(one, known) for one in parsed):
        options = [one.key_or_group in known and type(one.value()) is not dict for one in parsed]
        chosen = [str(one.input_line) for one in compress(parsed, options)]
        values = compress(parsed, map(not_, options))
        changed_ns = tuple(path.stat().st_mtime_ns for path in FILES.rglob("*.yaml"))
        with suppress(OmegaConfBaseException):  # Hydra raises it again below, with an explanation.
            config = _of_options(tuple(chosen), changed_ns).copy()
            for one in values:
                new = one.is_force_add()
                OmegaConf.update(config, one.key_or_group, one.value(), merge=True, force_add=new)
            return config
    return _by_hydra(overrides)


def _is_plain(override: Override, known: Collection[str]) -> bool:
    """Return whether an override only chooses an option of `known` groups or sets a value.

    A sweep is not plain.
    """
    changes = override.type is OverrideType.CHANGE
    sets = override.is_force_add() and override.key_or_group not in known
    if override.is_sweep_override() or override.is_hydra_override():
        return False
    return (changes or sets) and override.package is None


@lru_cache(maxsize=64)
def _of_options(options: tuple[str, ...], _: tuple[int, ...]) -> DictConfig:
    """Compose the chosen options; the files' modification times invalidate the cache."""
    return _by_hydra(options)


def _by_hydra(overrides: Sequence[str]) -> DictConfig:
    """Compose a configuration by Hydra, which takes 0.1 s."""
    register()
    with checked_files(), initialize_config_module("conf", version_base=VERSION_BASE):
        return hydra_compose("config", list(overrides))


def set_up(
    config: DictConfig,
    overrides: Sequence[str],
    planner: Planner | None = None,
    stuck: Callable[[str], NoReturn] | None = None,
) -> Setup:
    """Check a configuration and build its objects; a given planner replaces the configured one.

    `stuck` is called with a sentence if code of a planner cannot be stopped; it ends the process.
    Raises InputError if the configuration is wrong.
    """
    try:
        return _set_up(config, overrides, planner, stuck)
    except InputError as error:
        raise type(error)(hidden(str(error), overrides)) from None


def _set_up(
    config: DictConfig,
    overrides: Sequence[str],
    planner: Planner | None,
    stuck: Callable[[str], NoReturn] | None,
) -> Setup:
    config = config.copy()
    OmegaConf.set_struct(config, False)
    parsed = OverridesParser.create().parse_overrides(list(map(readable, overrides)))
    check_one_planner(parsed)
    replace_whole_mappings(config, parsed)
    taken = environment(config, overrides)
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise InputError(composition_sentence(error, overrides)) from None
    check_resolved(config)
    for key in OPEN:
        if isinstance(node := OmegaConf.select(config, key), DictConfig):
            plain = with_current_paths(OmegaConf.to_container(node))
            OmegaConf.update(config, key, plain, merge=False)
    if OmegaConf.select(config, "planner._target_") is not None:
        check_alone(parsed)
        if planner is None:
            config.planner.pop("compare", None)
    check_complete(config, defaults(Settings))
    tree: Any = OmegaConf.to_container(config)
    tables = table_set(tree["tables"], overrides)
    config, settings = validated(config, tables, overrides)
    limits_s = {key: getattr(settings, key) for key in wall_limit.KEYS}
    wall_limit.check_limits(limits_s)
    nodes = _nodes(config.planner, overrides) if planner is None else {}
    strangers = names_strangers(tree["planner"]) if planner is None else from_elsewhere(planner)
    call = _Calls(guard_of(strangers), settings.max_call_s, stuck)
    with using_tables(tables):
        if planner is None:
            planners = _planners(nodes, overrides, call)
        else:
            planners = {class_name(planner): planner}
        for name, one in planners.items():
            call(f"reading the settings of planner {name}", _check_settings, one)
        scenario = _scenario(settings)
        for name, one in planners.items():
            call(f"check_parameters of planner {name}", _check_parameters, one, scenario)
        _check_arrivals(scenario, settings.seed)
        plane = find_class(settings.data_plane.get("_target_"), "data_plane", DataPlane)
        arguments = parameters(settings.data_plane, "data_plane", plane)
        _check_data_plane(plane, scenario)
    if planner is not None:
        what = f"parameters() of planner {class_name(planner)}"
        config.planner = {"_target_": path_of(type(planner)), **call(what, _shown, planner)}
    config.resume = False
    for key in wall_limit.KEYS:
        config.pop(key)
    return Setup(
        config,
        settings.seed,
        settings.flush_every_s,
        settings.requests,
        tables,
        planners,
        partial(plane, **arguments),
        settings.resume,
        environment=taken,
        bound_every_s=settings.bound_every_s,
        bound_optimum=settings.bound_optimum,
        **limits_s,
    )


def with_planner(setup: Setup, planner: Planner) -> Setup:
    """Return a setup with a planner instead of its own; raise InputError if that rejects it."""
    if not isinstance(planner, Planner):
        raise InputError(
            f"planner={planner!r}: must be an object of a class that derives from sim.Planner"
        )
    name, config = class_name(planner), setup.config.copy()
    call = _Calls(guard_of(from_elsewhere(planner)), setup.max_call_s, None)
    call(f"reading the settings of planner {name}", _check_settings, planner)
    with using_tables(setup.tables):
        scenario = setup.scenario()
        call(f"check_parameters of planner {name}", _check_parameters, planner, scenario)
    shown = call(f"parameters() of planner {name}", _shown, planner)
    config.planner = {"_target_": path_of(type(planner)), **shown}
    return replace(setup, config=config, planners={name: planner})


@dataclass(frozen=True)
class _Calls:
    """Calls code of planners before a run; raises InputError if that fails."""

    guard: Guard
    call_s: float | None  # limit of one call
    stuck: Callable[[str], NoReturn] | None

    def __call__(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        work = partial(function, *arguments)
        try:
            return guarded_call(self.guard, self.call_s, what, work, self.stuck)
        except (InputError, KeyboardInterrupt):
            raise
        except wall_limit.WallLimitError as error:
            raise InputError(error) from None
        except BaseException as error:
            if shortage(error):
                raise
            raise InputError(f"planner: {what}: {said(error)}") from None


def _shown(planner: Planner) -> dict[str, Any]:
    """Return a planner's parameters, those that a configuration cannot have as texts."""
    found = {}
    for name, value in planner.parameters().items():
        text = repr(value)  # Here, Python refuses a number of thousands of digits.
        found[name] = value if isinstance(value, int | float | str | bool | None) else text
    return found


def _scenario(settings: Settings) -> Scenario:
    application = build(settings.application, "application", Application)
    try:
        return Scenario(
            application=application,
            cluster=settings.cluster,
            network=settings.network,
            workload=settings.workload,
            drift=settings.drift,
            horizon_s=settings.horizon_s,
            warm_up_s=settings.warm_up_s,
        )
    except ValueError as error:
        raise InputError(one_line(error)) from None


def _check_data_plane(plane: type, scenario: Scenario) -> None:
    """Raise InputError if a node shares cores, which the block data plane cannot simulate."""
    shared = [
        f"cluster.nodes.{name}.replicas_per_core={node.replicas_per_core}"
        for name, node in scenario.cluster.nodes.items()
        if node.replicas_per_core > 1
    ]
    if shared and plane.__module__.startswith(blocks.__name__):
        raise InputError(
            f"{shared[0]}: data_plane=blocks simulates no shared cores; add data_plane=events"
        )


def _check_arrivals(scenario: Scenario, seed: int) -> None:
    """Draw the arrivals once, so that a bad trace is reported before the run starts."""
    workload = scenario.workload
    try:
        workload.arrivals.times_s(workload.rate, scenario.horizon_s, stream(seed, "check"))
    except Exception as error:  # A user's arrival process can raise any exception.
        message = one_line(error)
        path = getattr(workload.arrivals, "path", None)
        if isinstance(path, str) and isdir(path):
            message = f"workload.arrivals.path={path}: is a directory; give a CSV file"
        prefix = "" if message.startswith("workload.arrivals") else "workload.arrivals: "
        raise InputError(f"{prefix}{message}") from None


def _nodes(node: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the nodes of planners by their keys; raise InputError for wrong names or classes.

    Modules of planners are imported here, before there is a guard, because they may change things.
    """
    nodes = {"planner": node} if node.get("_target_") is not None else _compared(node)
    for key, one in nodes.items():
        with _chosen_by(key, overrides):
            if isinstance(one, DictConfig):
                find_class(one.get("_target_"), key, Planner)
    return nodes


def _compared(node: DictConfig) -> dict[str, Any]:
    """Return the nodes of compared planners by their keys; raise InputError for wrong names."""
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
                f"{COMPARED}{name}: results go into a directory of that name, so it may have "
                "letters, digits, '_', '-', '+' and '.', must not begin with any of the last three "
                f"and must not be one of {', '.join(sorted(INSIDE))}"
            )
    return {f"{COMPARED}{name!s}": one for name, one in compared.items()}


def _planners(
    nodes: Mapping[str, Any], overrides: Sequence[str], call: Callable[..., Any]
) -> dict[str, Planner]:
    """Build the planners of nodes; return them by name."""
    built = {
        key: call(f"the constructor of {key}", _planner, one, key, overrides)
        for key, one in nodes.items()
    }
    return {
        key.removeprefix(COMPARED) if key.startswith(COMPARED) else class_name(one): one
        for key, one in built.items()
    }


def _planner(node: Any, key: str, overrides: Sequence[str]) -> Planner:
    """Build the planner of a node; if several keys are wrong, report an overridden one first."""
    own = [name for name in map(key_of, overrides) if name.startswith(f"{key}.")]

    def last(item: tuple[Any, Any]) -> bool:
        return not any(f"{name}.".startswith(f"{key}.{item[0]}.") for name in own)

    plain: Any = OmegaConf.to_container(node) if isinstance(node, DictConfig) else node
    if isinstance(plain, dict):
        plain = dict(sorted(plain.items(), key=last))
    with _chosen_by(key, overrides):
        built: Planner = build(plain, key, Planner)
    return built


@contextmanager
def _chosen_by(key: str, overrides: Sequence[str]) -> Iterator[None]:
    """Add to an InputError the override that chose a node, unless one sets the wrong value."""
    own = [name for name in map(key_of, overrides) if name.startswith(f"{key}.")]
    try:
        yield
    except InputError as error:
        where, value, _ = str(error).partition("=")
        chosen = [one for one in overrides if one.startswith(f"{key}=")]
        overridden = any(f"{where}.".startswith(f"{name}.") for name in own)
        if chosen and value and where.startswith(f"{key}.") and not overridden:
            raise InputError(f"{error} (from {chosen[-1]})") from None
        raise


def _check_settings(planner: Planner) -> None:
    """Raise InputError if a planner's settings cannot be read or are out of range."""
    name = class_name(planner)
    if reason := wrong_kind(planner):
        raise InputError(f"planner: {reason} (planner {name})")
    try:
        PlannerSettings.of(planner)
    except PlannerError as error:
        raise InputError(f"planner.{said(error)} (planner {name})") from None
    except BaseException as error:  # A user's planner can raise any exception.
        raise InputError(
            f"planner: its settings cannot be read: {said(error)} (planner {name})"
        ) from None


def _check_parameters(planner: Planner, scenario: Scenario) -> None:
    """Let a planner check its parameters; raise InputError if it rejects them."""
    try:
        planner.check_parameters(scenario.application.pipeline, scenario.cluster)
    except BaseException as error:  # A user's planner can raise any exception.
        text = said(error)
        named = re.match(r"\w+", text)
        # Most messages begin with the name of a parameter.
        begins = isinstance(error, Exception) and named and hasattr(planner, named[0])
        where = "planner." if begins else "planner: check_parameters fails: "
        raise InputError(f"{where}{text} (planner {class_name(planner)})") from None
