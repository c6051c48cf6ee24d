"""How functions are compiled to machine code: in one way, for all of the simulator."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on its first call, and keep the machine code on disk beside its module.

    Arithmetic is that of IEEE 754, operation by operation (never fast-math), so that compiled
    functions return what Python would. The code on disk is made anew when the function's own module
    changes, but not when a constant or function that it takes from another module does: after such
    a change, delete the ``__pycache__`` folders.
    """
    return cast("Function", numba.njit(cache=True)(function))


def inlined(function: Function) -> Function:
    """Compile a function as ``compiled`` does, but put its body in place of each compiled call.

    For small functions in inner loops: a compiled call may count references to every array that it
    is given, some 5 ns each, which can take longer than all the rest.
    """
    return cast("Function", numba.njit(cache=True, inline="always")(function))
