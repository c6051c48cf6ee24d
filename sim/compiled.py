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
    return cast("Function", numba.njit(cache=True, error_model="numpy")(function))


def moving(function: Function) -> Function:
    """Compile a function that moves requests: it makes no arrays, and counts no references.

    The count of references to arrays is kept by atomic operations at each access, which would take
    most of the time.
    """
    return cast("Function", numba.njit(cache=True, error_model="numpy", _nrt=False)(function))


def inlined(function: Function) -> Function:
    """Compile a function into each compiled function that calls it.

    For what is called for each request: handing over a dozen arrays costs more than the work.
    """
    return cast("Function", numba.njit(inline="always", error_model="numpy", _nrt=False)(function))
