"""Finds, checks and calls the classes that a configuration names by ``_target_``."""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hardware_models.errors import TableError, did_you_mean, nearest
from lab.common.errors import InputError, choices, one_line, shown
from lab.common.named_modules import import_named
from lab.config.allowed import in_words
from sim.safe_text import class_name, safe_text

LONGEST_SHOWN = 200
"""Largest number of characters of arguments in a message; more would hide the reason."""

LONGEST_SAID = 200_000
"""Largest number of characters of an exception's message."""

PACKAGES = ("hardware_models", "scenarios", "sim", "planners", "lab", "studies")
PACKAGES_EVER = (*PACKAGES, "evaluation")
"""This project's packages that a ``_target_`` can name, by their current and earlier names."""

ROOT = Path(__file__).resolve().parents[2]
"""The directory of this project's packages."""

FORMER_PLANNERS = (
    *("chameleon", "cheapest_feasible", "cherrypick", "compass", "greedy", "ilp", "infaas"),
    *("jellybean", "random_feasible", "static_plan", "videostorm", "vulcan"),
)
FORMER_PARTS = (
    *("bounds", "history", "least_cost", "model", "profiler", "regroup", "runtime", "scheduler"),
    "search",
)
FORMER_MODULES = {
    *("evaluation.paper.belief_probe", "evaluation.paper.user_probe"),
    *(f"planners.{name}" for name in FORMER_PLANNERS),
    *(f"planners.compass.{name}" for name in FORMER_PARTS),
    *("sim.blocks.plane", "sim.events_plane"),
}
"""Modules of version 0.1 that have moved; their classes are found by name in their new places."""
RENAMED = {"evaluation.surrogates.Probe": "studies.probes.latency_probe.LatencyProbe"}
"""Classes of version 0.1 that have been renamed, with their new names."""


def is_ours(target: str) -> bool:
    """Return whether a target names a module of this project; nothing is imported.

    The target can be a path in an older version. Another package that has the name of one of this
    project's packages is not ours.
    """
    top = current_path(target).partition(".")[0]
    return top in PACKAGES and _is_here(top)


def names_strangers(node: Any) -> bool:
    """Return whether a part of a configuration names a class that is not of this project."""
    if isinstance(node, list):
        return any(map(names_strangers, node))
    if not isinstance(node, dict):
        return False
    target = node.get("_target_")
    return (isinstance(target, str) and not is_ours(target)) or any(
        map(names_strangers, node.values())
    )


@cache
def _is_here(package: str) -> bool:
    """Return whether Python finds a package of this project's directory under its name."""
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return [Path(folder).resolve() for folder in folders] == [ROOT / package]


def find_class(target: object, key: str, base: type) -> type:
    """Return the class that a target names; raise InputError unless it implements `base`.

    This imports the class's module. `lab.config.trust` has refused all modules that only a file
    names, so the module is this project's, or the user named or allowed it.
    """
    try:
        return _found(target, key, base)
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # A class of the user can have a metaclass that raises anything.
        raise InputError(
            f"{key}._target_={shown(target)}: cannot be used ({class_name(error)}: {said(error)})"
        ) from None


def _found(target: object, key: str, base: type) -> type:
    article = "an" if base.__name__[0] in "AEIO" else "a"
    complaint = f"{key}._target_={shown(target)}: "
    if not isinstance(target, str) or "." not in target:
        raise InputError(
            f"{complaint}name {article} {base.__name__} class as package.module.Class, such as "
            "my_pkg.MyPlanner"
        )
    module_name, _, name = current_path(target).rpartition(".")
    try:
        module = import_named(module_name) if not is_ours(target) else import_module(module_name)
    except BaseException as error:  # A user's module can raise any exception.
        raise InputError(
            f"{complaint}module {module_name} cannot be imported "
            f"({class_name(error)}: {said(error)})"
            f"{did_you_mean(target, _project_classes(target))}"
        ) from None
    found = getattr(module, name, None)
    if found is None:
        known = [
            other
            for other, value in vars(module).items()
            if inspect.isclass(value) and _fulfils(value, base) and value is not base
        ]
        meant = did_you_mean(target, _project_classes(target))
        none = f"it has no class of kind {base.__name__}{meant}"
        raise InputError(
            f"{complaint}module {module_name} has no {name}{_shadowed(module)}; "
            f"{choices(name, known) if known else none}"
        )
    if not inspect.isclass(found) or not _fulfils(found, base):
        how = "has the methods of" if getattr(base, "_is_protocol", False) else "derives from"
        raise InputError(
            f"{complaint}is not {article} {base.__name__}; name a class that {how} "
            f"{base.__module__}.{base.__name__}"
        )
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise InputError(f"{complaint}is abstract; a {base.__name__} must define {missing}")
    return found


def said(error: BaseException) -> str:
    """Return what a stranger's exception says in one line; raise a KeyboardInterrupt again."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    text, kind = safe_text(error, LONGEST_SAID), class_name(error)
    if text and not any(map(str.isalpha, text)):  # SystemExit has only a number.
        text = f"{kind}: {text}"
    return one_line(text or kind)


def current_path(target: str) -> str:
    """Return the current path of a class; the target can be its path in an older version.

    Only modules of this project are imported.
    """
    module, _, name = target.rpartition(".")
    if module not in FORMER_MODULES:
        return RENAMED.get(target, target)
    try:
        if _is_here(module.partition(".")[0]) and hasattr(import_module(module), name):
            return target
    except ImportError:
        pass  # The module has moved.
    moved = [one for one in _project_classes(target) if one.endswith(f".{name}")]
    return nearest(target, moved) or target


def with_current_paths(node: Any) -> Any:
    """Return nested values with each ``_target_`` replaced by its current path."""
    if isinstance(node, Mapping):
        return {
            name: current_path(one)
            if name == "_target_" and isinstance(one, str)
            else with_current_paths(one)
            for name, one in node.items()
        }
    return node


def _project_classes(target: str) -> Sequence[str]:
    """Return the paths of this project's classes; empty for another project's target."""
    return _classes() if target.partition(".")[0] in PACKAGES_EVER else ()


@cache
def _classes() -> list[str]:
    """Return the paths of all classes of this project, read from its sources."""
    found = []
    for spec in filter(None, map(find_spec, PACKAGES)):
        for place in map(Path, spec.submodule_search_locations or ()):
            for file in sorted(place.rglob("*.py")):
                module = ".".join(file.relative_to(place.parent).with_suffix("").parts)
                names = re.findall(r"^class (\w+)", file.read_text("utf-8"), re.MULTILINE)
                found += [f"{module.removesuffix('.__init__')}.{name}" for name in names]
    return found


def _shadowed(module: ModuleType) -> str:
    """Return a clause if an installed module hides a file of the same name in this directory."""
    file = Path(*module.__name__.split(".")).with_suffix(".py").absolute()
    found = module.__file__
    if found is None or not file.is_file() or file.samefile(found):
        return ""
    return f" (it is {found}, not {file.name} of this directory; rename yours)"


def parameters(node: Mapping[str, Any], key: str, target: type) -> dict[str, Any]:
    """Check a class's arguments and build nested objects; raise InputError if one is wrong."""
    given = {name: value for name, value in node.items() if name != "_target_"}
    wanted = dict(inspect.signature(target).parameters)
    hints = _hints(target)
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in wanted.values()):
        for name, value in given.items():
            if name not in wanted:
                allowed = choices(name, wanted) if wanted else "it has no parameters"
                raise InputError(
                    f"{key}.{name}={value}: {target.__name__} has no such parameter; {allowed}"
                )
    return {
        name: _argument(value, hints.get(name, Any), f"{key}.{name}", target)
        for name, value in given.items()
    }


def _argument(value: Any, hint: Any, key: str, target: type) -> Any:
    is_part = inspect.isclass(hint) and hint.__module__ not in ("builtins", "typing", "types")
    if isinstance(value, Mapping) and "_target_" in value:
        if not is_part:
            raise InputError(
                f"{key}._target_={value['_target_']}: {target.__name__} does not declare a class "
                f"for its parameter {key.rpartition('.')[2]}"
            )
        return build(value, key, hint)
    if is_part:
        raise InputError(
            f"{key}={shown(value)}: must be a {hint.__name__}; name its class by {key}._target_, "
            "as package.module.Class"
        )
    if (get_origin(hint) or hint) in (dict, Mapping):  # The class checks the contents itself.
        return value
    try:
        # For JSON, strict mode accepts a list as a tuple, but no text as a number or vice versa.
        _adapter(hint).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        raise InputError(f"{key}={shown(value)}: must be {in_words(hint)}") from None
    return value


def _adapter(hint: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter for a type; for an unsupported type, one that accepts anything."""
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # Annotations in users' classes can be any objects.
        return TypeAdapter(Any)


def build(node: Any, key: str, base: type) -> Any:
    """Build the object of a node with ``_target_`` and arguments; raise InputError if it fails."""
    if not isinstance(node, Mapping):
        raise InputError(f"{key}={shown(node)}: must be a mapping, such as {{_target_: ...}}")
    target = find_class(node.get("_target_"), key, base)
    arguments = parameters(node, key, target)
    try:
        built = target(**arguments)
    except TableError as error:
        raise InputError(f"{key}: {one_line(error)}") from None
    except BaseException as error:  # A constructor raises if its arguments are wrong.
        message = said(error)
        if message.startswith(f"{key}."):
            raise InputError(message) from None
        if message.partition("=")[0] in arguments:
            raise InputError(f"{key}.{message}") from None
        shown_arguments = ", ".join(f"{name}={value}" for name, value in arguments.items())
        if len(shown_arguments) > LONGEST_SHOWN:
            shown_arguments = "..."
        raise InputError(
            f"{key}: {target.__name__}({shown_arguments}) was rejected: {message}"
        ) from None
    if not _fulfils(type(built), base):
        made = class_name(built)
        raise InputError(
            f"{key}: {target.__name__} makes an object of class {made}, which is no {base.__name__}"
        )
    return built


def _fulfils(found: type, base: type) -> bool:
    if getattr(base, "_is_protocol", False):
        methods = [name for name in vars(base) if not name.startswith("_")]
        return found is not base and all(callable(getattr(found, name, None)) for name in methods)
    return issubclass(found, base)


def _hints(target: type) -> dict[str, Any]:
    try:
        return get_type_hints(target.__init__)  # type: ignore[misc]
    except Exception:  # A user's annotations can name missing types; nothing is checked then.
        return {}
