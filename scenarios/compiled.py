"""Compilation of functions to machine code, the same for the whole simulator.

Arithmetic is that of IEEE 754, operation by operation (never fast-math), so that compiled functions
return what Python would. `scenarios.machine_code` keeps the machine code on disk, so that only the
first run after an installation or a change of the code compiles; a line on standard error says so.
"""

import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher
from numba.core.event import Event, Listener, register

from scenarios.machine_code import HOME, MachineCode

COMPILED = ("scenarios", "sim", "planners")
"""Packages whose functions are compiled."""

Function = TypeVar("Function", bound=Callable[..., Any])


def is_cold() -> bool:
    """Return whether no function of the simulator was ever compiled for this user."""
    return not any(HOME.glob("sim.*/*.nbi"))


class _Notice(Listener):
    """Announces the first compilation of one of the simulator's functions."""

    said = False

    def on_start(self, event: Event) -> None:
        """Say so, once in a process."""
        package = event.data["dispatcher"].py_func.__module__.partition(".")[0]
        if package not in COMPILED or self.said:
            return
        self.said = True
        print(
            "compiling the simulator (up to three minutes, once for each change of its code)",
            file=sys.stderr,
        )

    def on_end(self, event: Event) -> None:
        """Say nothing."""


register("numba:compile", _Notice())  # type: ignore[no-untyped-call]


def compiled(function: Function) -> Function:
    """Compile a function on its first call."""
    return _compiled(function)


def in_place(function: Function) -> Function:
    """Compile a function that changes arrays but makes none, without counting references.

    Each access to a part of an array counts a reference with an atomic operation. In a loop over
    requests, this would take most of the time.
    """
    return _compiled(function, _nrt=False)


def inlined(function: Function) -> Function:
    """Compile a function into each compiled function that calls it.

    For functions called for each request: passing a dozen arrays costs more than the work.
    """
    return _compiled(function, inline="always")


def _compiled(function: Function, **options: Any) -> Function:
    dispatcher = numba.njit(error_model="numpy", **options)(function)
    if isinstance(dispatcher, Dispatcher):  # not with NUMBA_DISABLE_JIT
        cast("Any", dispatcher)._cache = MachineCode(dispatcher)
    return cast("Function", dispatcher)
