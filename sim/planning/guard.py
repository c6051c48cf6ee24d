"""Guards around a planner's code: its errors are contained, and what it changes is put back.

The guards stop accidents and unfair comparisons. They are not a sandbox: a planner is code that the
user chose to run.
"""

import builtins
import gc
import json
import math
import os
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import cache
from operator import is_
from pathlib import Path
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any, NoReturn

import numpy as np

from scenarios.compiled import working_s
from sim.api.errors import PlannerError
from sim.safe_text import safe_text

OUR_PACKAGES = ("conf", "hardware_models", "hydra_plugins", "lab", "planners", "scenarios", "sim")
PACKAGES_OF_THE_WORLD = {*OUR_PACKAGES} - {"planners"}
LIBRARIES = {Path(os.__file__).parent, Path(np.__file__).parents[1]}
"""Directories of the standard library and of the installed packages."""
CHECKED_AFTER_CALLS = (builtins, math, random, time, np.random)
"""Modules whose names are compared after each call of a planner."""
CHECKED_AT_FLUSHES = (gc, json, os, sys, threading, warnings, np)
"""Modules with many names, which are compared when results are written."""
DEFINING = ("json", "json.encoder", "pathlib", "threading")
"""Modules of the standard library whose functions, classes and methods are compared then, too."""
PRIVATE = ("_exit", "__import__", "__build_class__", "__name__", "__spec__")
"""Private names that matter as much as public ones."""
STREAMS = ("stdin", "stdout", "stderr", "__stdout__", "__stderr__", "excepthook")
"""Streams, and the hook without which no thread starts."""
ENDINGS = ("_exit", "abort", "execv", "execve")
"""Functions of the operating system that end a process at once, without an error."""
C_ENDINGS = (
    *("_exit", "_Exit", "exit", "quick_exit", "abort", "syscall", "err", "errx", "error"),
    *("pthread_exit", "thrd_exit", "PyThread_exit_thread"),
    *("Py_Exit", "Py_Finalize", "Py_FinalizeEx", "Py_Main", "Py_BytesMain", "Py_RunMain"),
    *("PyErr_Print", "PyErr_PrintEx", "PyRun_SimpleString", "PyRun_SimpleStringFlags"),
    *("execl", "execle", "execlp", "execv", "execve", "execvp", "execvpe", "fexecve"),
)
"""The same in the C library, where ``ctypes`` finds them by name, and those that end a thread."""

MOST_NAMED = 5
"""Largest number of changed names that a sentence has."""

_exit, _getpid, _getcwd, _chdir = os._exit, os.getpid, os.getcwd, os.chdir
_all, _any_error, _len, _map, _tuple, _type = all, BaseException, len, map, tuple, type
PLAIN = (int, float, str)
"""Types whose equality runs no code of a planner."""
_limit, _set_limit = sys.getrecursionlimit, sys.setrecursionlimit
_collects, _collect, _collect_not = gc.isenabled, gc.enable, gc.disable
# The guard itself uses these, whatever a planner does to the names of their modules.
_before_the_end: list[Callable[[int], None]] = []


def end_process(status: int) -> NoReturn:
    """End the process at once with an exit status, whatever threads do; write what was printed."""
    for report in reversed(_before_the_end):
        with suppress(Exception):
            report(status)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    _exit(status)


@contextmanager
def before_the_end(report: Callable[[int], None]) -> Iterator[None]:
    """Let `end_process` first call a function with the exit status, during the ``with`` body."""
    _before_the_end.append(report)
    try:
        yield
    finally:
        _before_the_end.remove(report)


class Names:
    """The names of a module, as they were when this object was made."""

    def __init__(self, module: ModuleType) -> None:
        self._name, self._namespace = module.__name__, vars(module)
        self._before, self._values = dict(self._namespace), tuple(self._namespace.values())
        if module is sys:  # Its hooks and values change in many ways.
            kept = {name: each for name, each in self._before.items() if not name.endswith("hook")}
            functions = BuiltinFunctionType
            self._before = {key: one for key, one in kept.items() if isinstance(one, functions)}

    def put_back(self) -> list[str]:
        """Restore the names that had other values; return them. New names stay."""
        values = _tuple(self._namespace.values())
        # Equality would ask the planner's own objects.
        if _len(values) == _len(self._values) and _all(_map(is_, values, self._values)):
            return []
        changed = [
            name
            for name, value in self._before.items()
            # Debuggers and interactive sessions set private names.
            if _differs(self._namespace.get(name), value) and (name[0] != "_" or name in PRIVATE)
        ]
        for name in changed:
            self._namespace[name] = self._before[name]
        self._values = _tuple(self._namespace.values())  # New names need no second look.
        return [f"{self._name}.{name}" for name in changed]


def _differs(now: Any, before: Any) -> bool:
    """Return whether two values differ; only the equality of plain values is no planner's code."""
    if now is before:
        return False
    if _type(now) is not _type(before):
        return True
    if _type(now) is _tuple:  # ``time.tzset``, which libraries call, makes equal values anew.
        return _len(now) != _len(before) or not _all(not one for one in _map(_differs, now, before))
    return not (_type(now) in PLAIN and now == before)


class Guard:
    """Runs a planner's code so that the state of the process is the same before and after.

    The state is read when the guard is made: names of modules that all planners share, standard
    streams, working directory, limit of recursion, garbage collection. Context variables,
    such as NumPy's error state, are those of a copy.
    """

    def __init__(self) -> None:
        self.called_s: float | None = None  # when the call that is under way began
        self._pid = _getpid()
        self._often = tuple(map(Names, CHECKED_AFTER_CALLS))
        self._seldom = tuple(map(Names, CHECKED_AT_FLUSHES))
        self._streams = [(name, getattr(sys, name, None)) for name in STREAMS]
        self._state = _state()
        self._definitions: tuple[Definition | NewNames, ...] = ()

    def run(self, function: Callable[[], object]) -> tuple[object, BaseException | None]:
        """Call a function; return its value and the exception that it raised.

        The exception is a `PlannerError` if the function changed the state of the process, which is
        put back. A process that the function forked ends here.
        """
        value: object = None
        error: BaseException | None = None
        self.called_s = working_s()
        try:
            value = copy_context().run(function)
        except _any_error as raised:
            error = raised
        self.called_s = None
        if _getpid() != self._pid:
            _exit(0)
        if (changed := self._put_back()) and isinstance(error, Exception | None):
            error = PlannerError(_sentence(changed))
        return value, error

    def _put_back(self) -> list[str]:
        changed = [name for names in self._often for name in names.put_back()]
        for name, value in self._streams:
            if getattr(sys, name, None) is not value:
                setattr(sys, name, value)
                changed.append(f"sys.{name}")
        state = _state()
        if state != self._state:
            for (name, restore), now, before in zip(RESTORE, state, self._state, strict=True):
                if now != before:
                    restore(before)
                    changed.append(name)
        return changed

    def note_definitions(self) -> None:
        """Read all functions, classes and constants of the simulator, for `check`."""
        self._definitions = tuple(_definitions())

    def check(self) -> str | None:
        """Restore what `run` does not look at; return a sentence that names what had changed."""
        changed = self._put_back()
        changed += [name for names in self._seldom for name in names.put_back()]
        changed += [each.name for each in self._definitions if each.put_back()]
        return _sentence(changed) if changed else None


def _sentence(changed: list[str]) -> str:
    names = ", ".join(changed[:MOST_NAMED]) + ", ..." * (len(changed) > MOST_NAMED)
    return f"changed {names}, which all planners share; it was put back"


class Definition:
    """A function, class or constant of the simulator, as it was when this object was made."""

    def __init__(self, owner: Any, name: str, value: Any) -> None:
        self._owner, self._name, self._value = owner, name, value
        function = value if isinstance(value, FunctionType) else None
        self._code = function and _code(function)
        self._items = dict(value) if type(value) is dict else None

    @property
    def name(self) -> str:
        """The name, with that of the module or class that it belongs to."""
        return f"{self._owner.__name__}.{self._name}"

    def put_back(self) -> bool:
        """Restore the definition; return whether it had changed."""
        value = self._value
        changed = vars(self._owner).get(self._name) is not value
        if changed:
            setattr(self._owner, self._name, value)
        if self._code and not all(map(is_, _code(value), self._code)):
            value.__code__, value.__defaults__, value.__kwdefaults__ = self._code
            changed = True
        if self._items is not None and (
            len(value) != len(self._items)
            or any(value.get(key) is not item for key, item in self._items.items())
        ):
            value.clear()
            value.update(self._items)
            changed = True
        return changed


def _code(function: FunctionType) -> tuple[Any, ...]:
    return function.__code__, function.__defaults__, function.__kwdefaults__


class NewNames:
    """Names that are missing in a module or a class, and would hide others if they were added."""

    def __init__(self, owner: Any) -> None:
        self._owner, self._before = owner, set(vars(owner))
        self.name = ""

    def put_back(self) -> bool:
        """Delete new names, in a module those of builtins only; return whether there were any."""
        new = vars(self._owner).keys() - self._before
        if isinstance(self._owner, ModuleType):
            new &= vars(builtins).keys()
        else:
            new = {name for name in new if _is_definition(name, vars(self._owner)[name])}
        for name in new:
            delattr(self._owner, name)
            self.name = f"{self._owner.__name__}.{name}"
        return bool(new)


def _is_definition(name: str, value: object) -> bool:
    return name.isupper() or callable(value) or hasattr(type(value), "__get__")


def _definitions() -> Iterator[Definition | NewNames]:
    """Yield the functions, classes, methods and constants of imported modules that are compared."""
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        if name not in DEFINING and name.partition(".")[0] not in OUR_PACKAGES:
            continue
        for name, value in list(vars(module).items()):
            shared = callable(value) or isinstance(value, ModuleType)
            if name.isupper() or (shared and not name.startswith("__")):
                yield Definition(module, name, value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                yield NewNames(value)
                for own, part in list(vars(value).items()):
                    if _is_definition(own, part):
                        yield Definition(value, own, part)
        yield NewNames(module)


def _state() -> tuple[Any, ...]:
    """Return the state of the process that belongs to no module, in the order of `RESTORE`."""
    try:
        directory: str | None = _getcwd()
    except OSError:  # It was deleted.
        directory = None
    limit, collects = _limit(), (_collects(), tuple(map(id, gc.callbacks)))
    return directory, limit, collects


def _change_back(directory: str | None) -> None:
    with suppress(OSError):  # It cannot be entered any more.
        if directory is not None:
            _chdir(directory)


def _collect_again(before: tuple[bool, tuple[int, ...]]) -> None:
    enabled, callbacks = before
    gc.callbacks[:] = [each for each in gc.callbacks if id(each) in callbacks]
    if enabled:
        _collect()
    else:
        _collect_not()


RESTORE: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("the working directory", _change_back),
    ("the limit of recursion", _set_limit),
    ("garbage collection", _collect_again),
)
"""What `_state` returns: a name, and a function that restores it."""


@contextmanager
def exits_refused() -> Iterator[None]:
    """Let functions that end the process at once raise `PlannerError` in this process.

    A planner that ended the process by ``os._exit(0)`` would look like a run that succeeded.
    """
    pid, system = os.getpid(), sys.modules[os.name]
    places = [(place, name) for place in (os, system) for name in ENDINGS if hasattr(place, name)]
    before = [getattr(place, name) for place, name in places]
    for (place, name), function in zip(places, before, strict=True):
        setattr(place, name, _refusing(name, function, pid))
    try:
        yield
    finally:
        for (place, name), function in zip(places, before, strict=True):
            setattr(place, name, function)


@cache
def refuse_c_endings() -> None:
    """Let ``ctypes`` refuse functions that end the process, from now on in this process."""
    pid = os.getpid()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        found = event in ("ctypes.dlsym", "ctypes.dlsym/handle") and arguments[1] in C_ENDINGS
        if found and os.getpid() == pid:
            raise PlannerError(f"{arguments[1]} of the C library can end the simulator")

    sys.addaudithook(watch)


def strangers_ran() -> bool:
    """Return whether planners from outside this project may have run in this process."""
    return refuse_c_endings.cache_info().currsize > 0


def _refusing(name: str, function: Callable[..., NoReturn], pid: int) -> Callable[..., NoReturn]:
    def refuse(*arguments: Any) -> NoReturn:
        if os.getpid() != pid:  # a process of its own, such as one of multiprocessing
            function(*arguments)
        raise PlannerError(f"os.{name} would end the simulator: raise an exception instead")

    return refuse


def place_of(frames: Iterable[tuple[FrameType, int]]) -> str | None:
    """Return the file and line of the planner author's code that is innermost in a stack.

    Args:
        frames: the stack's frames and their lines, the outermost first.
    """
    foreign = [
        (Path(frame.f_code.co_filename), line)
        for frame, line in frames
        if safe_text(frame.f_globals.get("__name__")).partition(".")[0] not in PACKAGES_OF_THE_WORLD
    ]
    # The methods that dataclasses generate have the file name "<string>".
    written = [
        (file, line)
        for file, line in foreign
        if file.name != "<string>" and LIBRARIES.isdisjoint(file.parents)
    ]
    if not foreign:
        return None
    file, line = (written or foreign)[-1]
    return f"{safe_text(file.name)}:{line}"
