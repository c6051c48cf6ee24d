"""Packages of the optional extra ``[serve]``."""

from importlib import import_module
from types import ModuleType

from lab.common.errors import InputError

EXTRA = {"ray.serve": "ray", "grpc": "grpcio", "PIL": "pillow"}
"""Names of packages on the index, where they differ from the module's."""


def needed(module: str) -> ModuleType:
    """Import a module of the extra; raise InputError if it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        package = EXTRA.get(module, module)
        what = "is not installed" if isinstance(error, ModuleNotFoundError) else "does not work"
        raise InputError(
            f"{package}: {what}; serving needs the extra [serve]: pip install 'compass-sim[serve]'"
        ) from None
