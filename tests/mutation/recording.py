"""Which tests execute which lines of the modules under test, and how long each test takes."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

SETUP = "setup of "
"""Before a file's name: the context of lines that the set-up of some test of the file executes.

A fixture of a module or a cached run executes lines for all tests of a file, but only once.
"""


class _Contexts:
    """A pytest plugin that names coverage's context after the running test, and measures it."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        self._measured.switch_context(SETUP + item.nodeid.partition("::")[0])
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        self._measured.switch_context(item.nodeid)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        started_s = _cpu_s()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] += _cpu_s() - started_s

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)


def _cpu_s() -> float:
    """Return the processor's time of this process and its children, whatever else runs."""
    return sum(os.times()[:4])


class Recorded:
    """Tests by line, and their durations.

    Args:
        file: what `record` wrote.
    """

    def __init__(self, file: Path) -> None:
        content = json.loads(file.read_text())
        self.seconds: dict[str, float] = content["seconds"]
        self._lines: dict[str, dict[str, list[int]]] = content["lines"]
        self._names: list[str] = content["names"]
        self._of_file: dict[str, list[str]] = defaultdict(list)
        for name in self.seconds:
            self._of_file[name.partition("::")[0]].append(name)

    def executed(self) -> Iterator[tuple[tuple[str, str], set[str]]]:
        """Yield (module, line), and the contexts that execute the line."""
        for module, by_line in self._lines.items():
            for line, some in by_line.items():
                yield (module, line), {self._names[at] for at in some}

    def tests(self, module: str, lines: range) -> list[str]:
        """Return tests that execute a line of a module, the fastest first; then their neighbours.

        A neighbour is a test of the same file as another of the tests, or of a file whose fixtures
        execute a line. Lines without a test run at import only: then these are all tests that
        execute the module or, without any, all tests.
        """
        by_line = self._lines.get(module, {})
        numbers = {at for line in lines for at in by_line.get(str(line), ())}
        if not numbers:
            numbers = {at for some in by_line.values() for at in some}
        names = {self._names[at] for at in numbers} or {*self.seconds}
        direct = {name for name in names if not name.startswith(SETUP)}
        files = {name.removeprefix(SETUP).partition("::")[0] for name in names}
        near = {each for file in files for each in self._of_file[file]} - direct
        return [*self._sorted(direct), *self._sorted(near)]

    def _sorted(self, names: set[str]) -> list[str]:
        return sorted(names, key=lambda name: (self.seconds.get(name, 0.0), name))


def record(modules: list[str], directory: Path, arguments: list[str]) -> int:
    """Run tests under coverage; add them to the recording, or replace them in it.

    ``arguments`` are those of pytest, by default none, for all tests. Returns pytest's exit status.
    """
    directory.mkdir(parents=True, exist_ok=True)
    measured = coverage.Coverage(data_file=None, include=modules)
    contexts = _Contexts(measured)
    measured.start()
    status = pytest.main(["-p", "no:cacheprovider", "-p", "no:xdist", *arguments], [contexts])
    measured.stop()
    data, root = measured.get_data(), Path.cwd()
    found: dict[tuple[str, str], set[str]] = {}
    for file in data.measured_files():
        module = str(Path(file).relative_to(root))
        for line, names in data.contexts_by_lineno(file).items():
            found[module, str(line)] = set(filter(None, names))
    file = directory / "recording.json"
    if file.exists():
        before = Recorded(file)
        ran = {*contexts.seconds, *(SETUP + name.partition("::")[0] for name in contexts.seconds)}
        contexts.seconds = {**before.seconds, **contexts.seconds}
        for place, names in before.executed():
            found[place] = found.get(place, set()) | (names - ran)
    number: dict[str, int] = {}
    lines: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for (module, line), names in found.items():
        lines[module][line] = [number.setdefault(name, len(number)) for name in sorted(names)]
    content = {"seconds": contexts.seconds, "names": list(number), "lines": lines}
    file.write_text(json.dumps(content))
    print(*(f"failed: {name}" for name in contexts.failed), sep="\n")
    return int(status)
