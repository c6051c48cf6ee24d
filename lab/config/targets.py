"""Classes that a configuration names by ``_target_``: found, checked, and only then called."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hardware_models.errors import TableError
from lab.common.errors import InputError, choices, one_line, shown

LONGEST_SHOWN = 200
"""Characters of arguments that a complaint repeats; more would bury what is wrong with them."""

PLAIN = (int, float, str, bool, NoneType)


def find_class(target: object, key: str, base: type) -> type:
    """Return the class that a target names.

    Args:
        target: dotted name, ``package.module.Class``.
        key: where it stands in the configuration, for messages.
        base: class, or protocol of methods, that it has to fulfil.

    Raises:
        InputError: there is no such class, or it is of another kind.
    """
    article = "an" if base.__name__[0] in "AEIO" else "a"
    complaint = f"{key}._target_={shown(target)}: "
    if not isinstance(target, str) or "." not in target:
        raise InputError(
            f"{complaint}name {article} {base.__name__} class as package.module.Class, such as "
            "my_pkg.MyPlanner"
        )
    module_name, _, name = target.rpartition(".")
    try:
        module = import_module(module_name)
    except Exception as error:  # A stranger's module may raise anything.
        raise InputError(
            f"{complaint}module {module_name} cannot be imported "
            f"({type(error).__name__}: {one_line(error)})"
        ) from None
    known = [
        other
        for other, value in vars(module).items()
        if inspect.isclass(value) and _fulfils(value, base) and value is not base
    ]
    found = getattr(module, name, None)
    if found is None:
        allowed = choices(name, known) if known else f"it has no class of kind {base.__name__}"
        raise InputError(
            f"{complaint}module {module_name} has no {name}; {allowed}{_shadowed(module)}"
        )
    if not inspect.isclass(found) or not _fulfils(found, base):
        how = "has the methods of" if getattr(base, "_is_protocol", False) else "derives from"
        raise InputError(
            f"{complaint}is not {article} {base.__name__}; name a class that {how} "
            f"{base.__module__}.{base.__name__}"
        )
    return found


def _shadowed(module: ModuleType) -> str:
    """Return a clause on a file of the current directory that a module of that name hides."""
    file = Path(*module.__name__.split(".")).with_suffix(".py").absolute()
    found = module.__file__
    if found is None or not file.is_file() or file.samefile(found):
        return ""
    return f"; it is not {file.name} of this directory, but {found}, so rename yours"


def parameters(node: Mapping[str, Any], key: str, target: type) -> dict[str, Any]:
    """Return the keyword arguments for a class, checked against its signature.

    A parameter that is itself a mapping with ``_target_`` becomes an object of the class that the
    signature asks for.

    Raises:
        InputError: an argument is unknown, missing, or of another type than declared.
    """
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
    for name, value in given.items():
        hint = hints.get(name, Any)
        if isinstance(value, Mapping) and "_target_" in value:
            base = hint if inspect.isclass(hint) and hint not in (*PLAIN, dict) else None
            if base is None:
                raise InputError(
                    f"{key}.{name}._target_={value['_target_']}: {target.__name__} does not "
                    f"declare a class for its parameter {name}"
                )
            given[name] = build(value, f"{key}.{name}", base)
        elif _is_part(hint) and not isinstance(value, hint):
            raise InputError(
                f"{key}.{name}={shown(value)}: must be a {hint.__name__}; name its class by "
                f"{key}.{name}._target_, as package.module.Class"
            )
        elif not _fits(value, hint):
            raise InputError(f"{key}.{name}={shown(value)}: must be {_words(hint)}")
    return given


def build(node: Mapping[str, Any], key: str, base: type) -> Any:
    """Return the object that a node describes by ``_target_`` and keyword arguments.

    Raises:
        InputError: the class is none of the expected kind, or refuses its arguments.
    """
    target = find_class(node.get("_target_"), key, base)
    arguments = parameters(node, key, target)
    try:
        return target(**arguments)
    except TableError as error:
        raise InputError(f"{key}: {one_line(error)}") from None
    except Exception as error:  # Whatever a constructor complains of is the input's fault.
        message = one_line(error)
        if message.startswith(f"{key}."):
            raise InputError(message) from None
        if message.partition("=")[0] in arguments:
            raise InputError(f"{key}.{message}") from None
        shown = ", ".join(f"{name}={value}" for name, value in arguments.items())
        if len(shown) > LONGEST_SHOWN:
            shown = "..."
        raise InputError(f"{key}: {target.__name__}({shown}) is refused: {message}") from None


def _fulfils(found: type, base: type) -> bool:
    if getattr(base, "_is_protocol", False):
        methods = [name for name in vars(base) if not name.startswith("_")]
        return found is not base and all(callable(getattr(found, name, None)) for name in methods)
    return issubclass(found, base)


def _hints(target: type) -> dict[str, Any]:
    try:
        return get_type_hints(target.__init__)  # type: ignore[misc]
    except Exception:  # Annotations of strangers may name what does not exist; no check then.
        return {}


def _is_part(hint: Any) -> bool:
    """Tell whether a parameter takes an object, that a plain value cannot stand for."""
    return inspect.isclass(hint) and hint.__module__ not in ("builtins", "typing", "types")


def _fits(value: object, hint: Any) -> bool:
    """Tell whether a plain value fits a plain annotation; anything else is left to the class."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple)
    if hint not in PLAIN:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is not int or not isinstance(value, bool))


def _words(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join(_words(part) for part in get_args(hint))
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if origin in (list, tuple, Sequence):
        return "a list"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint, "null" if hint is NoneType else str(hint))
