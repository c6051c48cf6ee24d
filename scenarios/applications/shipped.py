"""The applications that are part of this package; Hydra is not needed to build them."""

from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from hardware_models.errors import pick
from scenarios.declaration import DeclaredApplication

_FOLDER = files("conf") / "application"


def shipped_applications() -> tuple[str, ...]:
    """Return the names of the applications that are part of this package."""
    names = (file.name for file in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def shipped_application(name: str, **changes: Any) -> DeclaredApplication:
    """Build one of these applications.

    Args:
        name: the name of its file in the configuration group ``application``.
        changes: values that replace those of keys in its declaration, such as ``window_s=40.0``.

    Raises:
        UnknownNameError: there is no such application.
        ValueError: a key in ``changes`` or its value is not allowed.
    """
    pick("application", name, shipped_applications())
    return DeclaredApplication(**{**deepcopy(_declaration(name)), **changes})


@cache
def _declaration(name: str) -> dict[str, Any]:
    """Return what a file declares; it is parsed once, as this takes as long as all the rest."""
    text = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    node: Any = OmegaConf.to_container(OmegaConf.create(text))
    del node["_target_"]
    return node  # type: ignore[no-any-return]
