"""Imports the modules that the user names; only they can come from the current directory."""

import os
import sys
from importlib import import_module
from types import ModuleType


def import_named(module: str) -> ModuleType:
    """Import a module that the user named; can raise any exception.

    From then on, Python also finds modules in the current directory, after all others: the user's
    module can import its neighbours later. Before, a file there must not be able to pose as an
    optional dependency, such as ``psutil.py``, or as a plugin.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    return import_module(module)
