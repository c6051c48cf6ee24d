"""Makes the planner of a submission, in the confined process of the submission."""

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from yaml import YAMLError

from lab.common.errors import InputError
from lab.common.yaml_files import parsed, read_text, why_not_yaml
from sim.api.planner import Planner
from sim.planning.call import wrong_kind

CONFIGURED, MODULE, PACKAGE = ".yaml", ".py", "__init__.py"
"""How submissions end: a shipped planner with parameters, a module, a package."""


def loaded(name: str) -> Planner:
    """Return the planner of the submission in the current directory; it can raise anything.

    Raises:
        InputError: the submission has no planner, or it cannot be made.
    """
    configured = Path(name).with_suffix(CONFIGURED)
    made = _configured(configured) if configured.is_file() else _class_of(_imported(name))()
    if not isinstance(made, Planner):
        raise InputError(f"{name}: makes no Planner")
    if (reason := wrong_kind(made)) is not None:
        raise InputError(reason)
    return made


def _configured(file: Path) -> Planner:
    from lab.config.targets import build

    try:
        node = parsed(read_text(file), file)
    except YAMLError as error:
        raise InputError(f"{file}: is not YAML: {why_not_yaml(error)}") from None
    made: Planner = build(node, "planner", Planner)
    return made


def _imported(name: str) -> Any:
    folder = Path(name)
    file = folder / PACKAGE if folder.is_dir() else folder.with_suffix(MODULE)
    within = [str(folder)] if folder.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=within)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _class_of(module: Any) -> type[Planner]:
    """Return the only planner of a module that is no base class of another one there."""
    found = [
        each
        for each in vars(module).values()
        if inspect.isclass(each)
        and issubclass(each, Planner)
        and not inspect.isabstract(each)
        and each.__module__.partition(".")[0] == module.__name__
    ]
    last = [
        each for each in dict.fromkeys(found) if not any(each in one.__bases__ for one in found)
    ]
    if len(last) == 1:
        return last[0]
    if not last:
        raise InputError(f"{module.__name__}: has no class that derives from sim.Planner")
    names = ", ".join(each.__name__ for each in last)
    raise InputError(f"{module.__name__}: has several planners ({names}); leave one of them")
