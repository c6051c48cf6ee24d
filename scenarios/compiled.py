"""How functions are compiled to machine code: in one way, for all of the simulator.

Arithmetic is that of IEEE 754, operation by operation (never fast-math), so that compiled functions
return what Python would. The machine code is kept on disk, so that only the first run after an
installation or a change of the code compiles; a line on standard error says so.
"""

import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar, cast

import numba
from numba.core.event import Event, Listener, register

COMPILED = ("scenarios", "sim", "planners")
"""Packages whose source decides where machine code is kept: their functions call one another's.
What is compiled elsewhere stands alone, so that the compiler sees by itself when it changes."""

Function = TypeVar("Function", bound=Callable[..., Any])


def _directory() -> Path:
    """Return where the machine code of this very source is kept.

    The compiler looks only at the module of a function for changes, not at what the function takes
    from others; so there is a place for each state of the whole source.
    """
    home = Path(__file__).parent
    digest = blake2b(digest_size=8)
    for package in COMPILED:
        for path in sorted((home.parent / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return home / "__pycache__" / f"compiled-{digest.hexdigest()}"


DIRECTORY = _directory()


def _prepare() -> None:
    """Make room for machine code, and drop that of earlier states of the source."""
    if DIRECTORY.exists():
        return
    try:
        for old in DIRECTORY.parent.glob("compiled-*"):
            rmtree(old, ignore_errors=True)
        DIRECTORY.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # The compiler finds a place of its own.


_prepare()


def is_cold() -> bool:
    """Tell whether nothing of the simulator is compiled yet."""
    return not any(DIRECTORY.glob("sim_*/*.nbi"))  # a directory for each that has modules


class _Notice(Listener):
    """Says so when the first of the simulator's functions is compiled."""

    said = False

    def on_start(self, event: Event) -> None:
        """Say so, if nothing is compiled yet."""
        package = event.data["dispatcher"].py_func.__module__.partition(".")[0]
        if package not in COMPILED or self.said:
            return
        self.said = True
        if is_cold():
            print(
                "compiling the simulator, once, which takes two or three minutes", file=sys.stderr
            )

    def on_end(self, event: Event) -> None:
        """Say nothing."""


register("numba:compile", _Notice())  # type: ignore[no-untyped-call]


def compiled(function: Function) -> Function:
    """Compile a function on its first call."""
    return _compiled(function)


def in_place(function: Function) -> Function:
    """Compile a function that changes arrays but makes none, without counting references.

    References to arrays are counted by atomic operations, at every access to a part of one; in a
    loop over requests, they would take most of the time.
    """
    return _compiled(function, _nrt=False)


def unlocked(function: Function) -> Function:
    """Compile a function as by ``in_place`` that lets other threads of Python run meanwhile."""
    return _compiled(function, _nrt=False, nogil=True)


def inlined(function: Function) -> Function:
    """Compile a function into each compiled function that calls it.

    For what is called for each request: handing over a dozen arrays costs more than the work.
    """
    return cast("Function", numba.njit(inline="always", error_model="numpy")(function))


def _compiled(function: Function, **options: Any) -> Function:
    config: Any = numba.config
    usual = config.CACHE_DIR
    if DIRECTORY.exists():
        config.CACHE_DIR = str(DIRECTORY)
    try:
        return cast("Function", numba.njit(cache=True, error_model="numpy", **options)(function))
    finally:
        config.CACHE_DIR = usual
