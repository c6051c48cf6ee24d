"""Compilation of functions to machine code, with the same options in the whole simulator.

Every operation follows IEEE 754 (never fast-math), so that compiled functions return the same
results as in Python. `scenarios.machine_code` stores machine code on disk, so that only the first
run after an installation or a change of the code compiles. Its progress is printed to standard
error.
"""

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher
from numba.core.event import Event, Listener, register

from scenarios.machine_code import MachineCode, home

NOTICE_S = 5.0
"""Seconds between two progress messages."""

Function = TypeVar("Function", bound=Callable[..., Any])


def is_cold(package: str) -> bool:
    """Return whether this user has no stored machine code for a package."""
    place = home()
    return place is None or not any(place.glob(f"{package}.*/*.nbi"))


class _Compilation(Listener):
    """Prints the progress of compilation, and measures the time it takes.

    `hear`, if it is set, gets the number of functions compiled so far.
    """

    def __init__(self) -> None:
        self.spent_s = 0.0
        self.hear: Callable[[int], Any] | None = None
        self._done: set[Any] = set()
        self._depth, self._started, self._said = 0, 0.0, 0.0  # a function compiles what it calls

    def on_start(self, event: Event) -> None:
        """Print a message when compilation begins."""
        now_s = perf_counter()
        if self._depth == 0:
            self._started = now_s
        self._depth += 1
        if not self._said and _is_ours(event):
            self._say("compiling code at its first use; later runs use it again", now_s)
        self._tell(event)

    def on_end(self, event: Event) -> None:
        """Print the number of compiled functions every few seconds."""
        now_s = perf_counter()
        self._depth -= 1
        if self._depth == 0:
            self.spent_s += now_s - self._started
        if _is_ours(event):
            function = event.data["dispatcher"].py_func
            self._done.add(function)
            if now_s - self._said > NOTICE_S:
                share = f"{len(self._done)} of at most {len(_functions)} functions"
                self._say(f"compiled {share}, last in {function.__module__}", now_s)
            self._tell(event)

    def _tell(self, event: Event) -> None:
        if self.hear is not None and _is_ours(event):
            self.hear(len(self._done))

    def _say(self, sentence: str, now_s: float) -> None:
        print(sentence, file=sys.stderr, flush=True)
        self._said = now_s


def _is_ours(event: Event) -> bool:
    return isinstance(event.data["dispatcher"]._cache, MachineCode)


_compilation = _Compilation()
_functions: set[Any] = set()
register("numba:compile", _compilation)  # type: ignore[no-untyped-call]


def working_s() -> float:
    """Return the time of a clock in seconds that does not advance during compilation."""
    return perf_counter() - _compilation.spent_s


def on_compilation(hear: Callable[[int], Any]) -> None:
    """Let `hear` get the number of functions that this process has compiled, before each and after.

    It is not called for functions whose machine code is loaded.
    """
    _compilation.hear = hear


def compiled(function: Function) -> Function:
    """Return a function that compiles ``function`` on its first call."""
    return _compiled(function)


def in_place(function: Function) -> Function:
    """Compile, without reference counts, a function that changes arrays but creates none.

    With reference counting, each access to a part of an array would need an atomic operation. This
    would take most of the time of a loop over requests.
    """
    return _compiled(function, _nrt=False)


def inlined(function: Function) -> Function:
    """Compile a function into each compiled function that calls it.

    This is for functions that are called for each request: passing a dozen arrays would take longer
    than the function's own work.
    """
    return _compiled(function, inline="always")


def _compiled(function: Function, **options: Any) -> Function:
    dispatcher = numba.njit(error_model="numpy", **options)(function)
    if isinstance(dispatcher, Dispatcher):  # not with NUMBA_DISABLE_JIT
        if "inline" not in options:
            _functions.add(function)
        cast("Any", dispatcher)._cache = MachineCode(dispatcher)
    return cast("Function", dispatcher)
