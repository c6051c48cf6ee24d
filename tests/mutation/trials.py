"""Try the tests on mutants, each in a process of its own that is forked from a warm one.

The parent has imported all libraries, but no module under test. A child imports the mutated module
in place of the real one and runs the tests that execute the changed line, until one fails.
"""

import importlib
import importlib.abc
import importlib.util
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

from tests.mutation.mutants import Mutant, modules
from tests.mutation.recording import Recorded

LIBRARIES = (
    *("hydra.core.hydra_config", "hypothesis", "jinja2", "joblib", "matplotlib.figure", "numba"),
    *("omegaconf", "polars.testing", "pydantic", "rich.table", "scipy.interpolate"),
    *("scipy.linalg", "scipy.optimize", "scipy.sparse", "scipy.stats", "seaborn", "simpy"),
    *("sklearn.ensemble", "sklearn.gaussian_process", "threadpoolctl"),
)
BELOW = ("scenarios.declaration", "scenarios.requests", "scenarios.scenario")
"""Modules of ours that import none under test."""

MOST_BYTES = 8 << 30
PATIENCE, LEAST_S = 2.0, 10.0
"""A trial may use the processor for so many times the expected seconds, and so many more."""
WALL = 20.0
"""The same factor for the clock, because other processes may run at the same time."""


class _Loader(SourceFileLoader):
    """Loads one module from a changed source."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.module.removesuffix(".py").replace("/", ".")
        self._source = mutant.source

    def find_spec(self, fullname, path, target=None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        assert found is not None
        assert found.origin is not None
        loader = _Loader(fullname, found.origin, self._source)
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


class _Chosen:
    """A pytest plugin that runs the chosen tests in their order, and keeps the first failure."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {name: at for at, name in enumerate(tests)}
        self.ran = 0
        self.failure = ""

    def pytest_collection_modifyitems(self, items):
        items[:] = [each for each in items if each.nodeid in self._order]
        items.sort(key=lambda each: self._order[each.nodeid])

    def pytest_runtest_logreport(self, report):
        self.ran += report.when == "call"
        if report.failed and not self.failure:
            self.failure = report.nodeid

    def pytest_collectreport(self, report):
        if report.failed and not self.failure:
            self.failure = f"import of {report.nodeid}"


def warm_up() -> None:
    """Import what children need and no mutant changes."""
    for name in (*LIBRARIES, *BELOW):
        importlib.import_module(name)
    early = {path.removesuffix(".py").replace("/", ".") for path in modules()} & sys.modules.keys()
    assert not early, f"imported before it is mutated: {early}"


def choose(mutant: Mutant, recorded: Recorded, most_s: float) -> tuple[list[str], float]:
    """Return the tests to run on a mutant, the fastest first, and their expected seconds.

    Tests are added until they take ``most_s`` together; there is at least one.
    """
    chosen: list[str] = []
    total_s = 0.0
    for name in recorded.tests(mutant.module, mutant.lines):
        took_s = recorded.seconds.get(name, 0.0)
        if chosen and total_s + took_s > most_s:
            break
        chosen.append(name)
        total_s += took_s
    return chosen, total_s


def trial(mutant: Mutant, tests: Sequence[str], expected_s: float) -> dict[str, object]:
    """Run tests on a mutant; return the outcome, the test that failed, and the seconds it took.

    The outcome is ``killed``, ``timeout`` (which counts as killed), ``survived`` or ``untested``.
    """
    if not tests:
        return {"outcome": "untested", "by": "", "tests": 0, "seconds": 0.0}
    scratch = tempfile.mkdtemp(prefix="mutant-")
    started_s, limit_s = time.monotonic(), LEAST_S + PATIENCE * expected_s
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _child(mutant, tests, Path(scratch), int(limit_s))
    outcome = _await(child, started_s + WALL * limit_s)
    said = Path(scratch, "said")
    ran, _, failure = (said.read_text() if said.exists() else "0 crash").partition(" ")
    shutil.rmtree(scratch, ignore_errors=True)
    return {
        "outcome": outcome,
        "by": "" if outcome != "killed" else failure,
        "tests": int(ran),
        "seconds": round(time.monotonic() - started_s, 1),
    }


def _await(child: int, until_s: float) -> str:
    """Return the outcome of a child; end it and what it started, whatever happens here."""
    status = None
    try:
        while time.monotonic() < until_s:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            status = None
            time.sleep(0.02)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if status is None:
            os.waitpid(child, 0)
    if status is None:
        return "timeout"
    code = os.waitstatus_to_exitcode(status)
    return {0: "survived", -signal.SIGXCPU: "timeout"}.get(code, "killed")


def _child(mutant: Mutant, tests: Sequence[str], scratch: Path, limit_s: int) -> None:
    status = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 5))
        output = os.open(scratch / "output", os.O_CREAT | os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.meta_path.insert(0, _Finder(mutant))
        chosen = _Chosen(tests)
        files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
        quiet = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
        status = int(pytest.main([*quiet, f"--basetemp={scratch / 'tmp'}", *files], [chosen]))
        (scratch / "said").write_text(f"{chosen.ran} {chosen.failure}")
    finally:
        os._exit(status)
