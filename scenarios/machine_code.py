# mypy: disable-error-code="no-untyped-call, override"
"""Store the machine code of compiled functions on disk, keyed by everything it depends on.

numba's own cache is keyed by the source file of a function. So it does not notice changes of called
functions and of global values, and it recompiles all functions of a file when a comment changes.
Here, the key is a digest of the byte code of a function and of all functions that it can call, and
of the values of their globals. So several checkouts and environments can use the same cache.

Only this module uses numba's cache classes, which are not documented as public.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from errno import ENOENT
from functools import cache
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

import llvmlite
import numba
import numpy as np
from numba.core import caching
from numba.core.types import BaseNamedTuple, BaseTuple
from platformdirs import user_cache_path

from scenarios.private_places import (
    check_private,
    note,
    private_directory,
    temporary_directory,
)

MOST_BYTES = 500_000_000
"""The largest size of the cache in bytes; the least recently used files are deleted first."""

VERSIONS = (sys.version_info[:2], numba.__version__, llvmlite.__version__, np.__version__)


VERSIONED = ("builtins", "llvmlite", "math", "numba", "numpy", "typing")
"""Packages whose version represents their content in the digest."""


VARIABLE = "NUMBA_CACHE_DIR"
"""Environment variable with the directory of the cache."""


@cache
def home() -> Path | None:
    """Return the directory of the cache; None if there is no place for one.

    The first choice is the directory in `VARIABLE`, or else that of the user's caches. If others
    can change it, or it cannot be used, a temporary directory of this process takes its place,
    which processes that this one starts use too.
    """
    # numba's own value can also come from a file in the current directory.
    given = os.environ.get(VARIABLE)
    place = Path(given) if given else user_cache_path("compass-sim", appauthor=False)
    name = f"{VARIABLE}={given}" if given else str(place)
    try:
        if not (given or place.is_absolute()):  # no home directory
            raise FileNotFoundError(ENOENT, "no home directory")
        found = private_directory(place if given else place / "machine_code")
        if os.access(found, os.W_OK | os.X_OK) or any(found.glob("*/*.nbi")):
            return found
        reason = "Read-only, and empty"
    except OSError as error:
        reason = error.strerror or str(error)
    note(
        f"machine code is not kept, so every start compiles: {name}: {reason}; set {VARIABLE} to "
        "a directory that only you can write"
    )
    try:
        aside = temporary_directory()
    except OSError:
        return None
    os.environ[VARIABLE] = str(aside)
    return aside


def digest(function: Callable[..., Any]) -> str:
    """Return a digest of everything that a function's machine code depends on.

    Args:
        function: a Python function, or a compiled function, whose options are included.

    Line numbers, comments and docstrings are not included. `MachineCode` adds the types of
    arguments to the key, and numba adds the processor.

    Raises:
        TypeError: a global is of a type whose content cannot be read.
    """
    found: dict[str, list[Any]] = {}
    waiting: list[Any] = [function]
    while waiting:
        plain = _plain(each := waiting.pop())
        name = _name(plain)
        if name in found:
            continue
        content = found[name] = list(_code(plain.__code__, plain.__doc__))
        content.append(repr(getattr(each, "targetoptions", "")))
        for key, value in sorted(_globals_of(plain), key=itemgetter(0)):
            if callee := _plain(value):
                content.append((key, _name(callee)))
                waiting.append(value)
            else:
                content.append((key, _value(value)))
    return _digest((VERSIONS, sorted(found.items())))


def _digest(content: Any) -> str:
    return blake2b(repr(content).encode(), digest_size=12).hexdigest()


def _name(function: FunctionType) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _plain(value: Any) -> Any:
    """Return the Python function of a compiled function, an intrinsic or a function; else None."""
    for attribute in ("py_func", "_defn"):
        value = getattr(value, attribute, value)
    return value if isinstance(value, FunctionType) else None


def _code(code: CodeType, docstring: str | None) -> Iterator[Any]:
    """Yield the content of a code object, without its position in the source file."""
    yield code.co_code, code.co_names, code.co_varnames, code.co_freevars
    yield code.co_flags, code.co_argcount, code.co_kwonlyargcount
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant, None)
        elif docstring is None or constant != docstring:
            yield _value(constant)


def _globals_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the globals and closure values of a function, and the module members that it uses."""
    names = set(_names(function.__code__))
    for cell, name in zip(function.__closure__ or (), function.__code__.co_freevars, strict=True):
        yield f"closure {name}", cell.cell_contents
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        yield name, value
        if isinstance(value, ModuleType) and value.__name__.partition(".")[0] not in VERSIONED:
            for attribute in names & vars(value).keys():
                yield f"{name}.{attribute}", getattr(value, attribute)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _value(value: Any) -> Any:  # noqa: PLR0911 -- one for each kind
    """Return a representation of a global value; equal representations give equal machine code."""
    kind = type(value)
    match value:
        case Enum():
            return kind.__qualname__, value.name, repr(value.value)
        case np.ndarray():
            return value.dtype.descr, value.shape, value.tobytes()
        case type():
            members = (
                [(each.name, repr(each.value)) for each in value] if issubclass(value, Enum) else ()
            )
            return value.__module__, value.__qualname__, getattr(value, "_fields", ()), members
        case tuple() | list():
            return kind.__qualname__, [_value(item) for item in value]
        case frozenset() | set():
            return sorted(repr(_value(item)) for item in value)
        case dict():
            return [(_value(key), _value(item)) for key, item in value.items()]
        case ModuleType():
            return value.__name__
    if kind.__module__.partition(".")[0] in VERSIONED:
        return kind.__qualname__, repr(value)
    raise TypeError(f"a compiled function depends on {value!r}, whose content cannot be hashed")


class _Locator(caching._CacheLocator):
    """The place of a function's machine code: its module's directory and its own digest."""

    def __init__(self, dispatcher: Any) -> None:
        self._py_file = dispatcher.py_func.__code__.co_filename
        self._directory = (home() or Path()) / dispatcher.py_func.__module__
        self._digest = digest(dispatcher)

    def get_cache_path(self) -> str:
        return str(self._directory)

    def ensure_cache_path(self) -> None:
        """Create the directory; numba calls this before it writes."""
        private_directory(self._directory)

    def get_source_stamp(self) -> str:
        return self._digest

    def get_disambiguator(self) -> str:
        return self._digest

    def from_function(self, py_func: Any, py_file: str) -> "_Locator":
        """Return this locator; numba calls this to create one from a class."""
        return self


class _Content(caching.CompileResultCacheImpl):
    def __init__(self, dispatcher: Any) -> None:
        self._locator_classes = (_Locator(dispatcher),)  # type: ignore[assignment]
        super().__init__(dispatcher.py_func)


class _Files(caching.IndexDataCacheFile):
    """The files of one function and its types; those that others can change are not read."""

    def _load_index(self) -> Any:
        try:
            check_private(Path(self._cache_path))
            check_private(Path(self._index_path))
            return super()._load_index()
        except Exception:  # Reading a damaged file can raise any exception.
            return {}

    def _load_data(self, name: str) -> Any:
        check_private(Path(self._data_path(name)))
        return super()._load_data(name)

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[Any]:
        with super()._open_for_write(filepath) as file:
            Path(file.name).chmod(0o600)  # The user's mask can let others write.
            yield file


class MachineCode(caching.FunctionCache):
    """The stored machine code of one function, for all argument types of its compilations.

    The digest is computed at the first call, because a function can call others that are defined
    after it.
    """

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher
        self._opened = False

    def _impl_class(self, py_func: Any) -> _Content:
        return _Content(self._dispatcher)

    def _open(self) -> None:
        if not self._opened:
            super().__init__(self._dispatcher.py_func)
            self._opened = True

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        if home() is None:
            return None
        self._open()
        self._use_file_of(sig)
        try:
            return super()._load_overload(sig, target_context)
        except Exception:  # as for a damaged index
            return None

    def _save_overload(self, sig: Any, data: Any) -> None:
        if home() is None:
            return
        self._open()
        self._use_file_of(sig)
        try:
            super()._save_overload(sig, data)
        except OSError:
            return  # The next process compiles it again.
        _make_room()

    def _use_file_of(self, sig: Any) -> None:
        """Use a separate file for these types of arguments.

        By itself, numba stores all argument types of a function in one file. Once the class of a
        named tuple among these types no longer exists, the file cannot be read. numba also ignores
        the fields of named tuples.
        """
        named = list(_named_tuples(sig))
        classes = [each.instance_class for each in named]
        layouts = [(each.__module__, each.__qualname__, each._fields) for each in classes]
        types = _digest((sig, layouts))
        self._cache_file = _Files(self._cache_path, f"{self._impl.filename_base}-{types}", types)


def _named_tuples(types: Iterable[Any]) -> Iterator[Any]:
    """Yield the types that are named tuples, including those nested in tuples."""
    for each in types:
        if isinstance(each, BaseNamedTuple):
            yield each
        if isinstance(each, BaseTuple):
            yield from _named_tuples(getattr(each, "types", ()))


def _make_room() -> None:
    """Delete the least recently used files until the cache is within `MOST_BYTES`.

    This is safe: a process that has loaded machine code no longer needs its file, and a process
    that does not find a file compiles again.
    """
    files = []
    for path in cast("Path", home()).glob("*/*.nb[ic]"):
        with suppress(FileNotFoundError):  # Another process can make room at the same time.
            files.append((path, path.stat()))
    excess = sum(status.st_size for _, status in files) - MOST_BYTES
    for path, status in sorted(files, key=lambda each: max(each[1].st_mtime, each[1].st_atime)):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= status.st_size
