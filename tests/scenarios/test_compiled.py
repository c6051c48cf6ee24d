"""Machine code is kept on disk, and reused while what it was compiled from stays the same."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTICE = "compiling code at its first use"
COUNT = """
from numba.core.event import install_recorder
with install_recorder("numba:compile") as recorder:
    {code}
print(len(recorder.buffer) // 2)
"""
CALLER = """
import callee
from callee import LIMIT
from scenarios.compiled import compiled

@compiled
def caller(x):
    return callee.step(x) + LIMIT
"""
CALLEE = '''
from scenarios.compiled import compiled

LIMIT = 10

@compiled
def step(x):
    """Add."""
    return x + FACTOR

FACTOR = 1
'''


PAIRS = """
from typing import NamedTuple
from scenarios.compiled import compiled

class Pair(NamedTuple):
    one: int
    two: int

@compiled
def difference(pair):
    return pair.one - pair.two
"""
CALLS = "\n".join(
    COUNT.format(code=code)
    for code in (
        "from caller import caller; print(caller(7))",
        "import pairs; print(pairs.difference(pairs.NAME(one=5, two=3)))",
    )
)


def output(directory, code):
    """Run code in a new process that compiles into a directory: its words, and its notices."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join((str(directory), str(ROOT))),
            "NUMBA_CACHE_DIR": str(directory / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",  # Python tells sources apart by seconds
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr.count(NOTICE)


@pytest.fixture
def python(tmp_path):
    """Return a function that runs code in a new process with a cache of its own."""
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "callee.py").write_text(CALLEE)
    return partial(output, tmp_path)


def test_a_process_that_compiles_says_so_once_and_the_next_one_compiles_nothing(python):
    code = """
from contextlib import redirect_stderr
from io import StringIO

with redirect_stderr(StringIO()) as said:
    import planners, sim
from sim.dataplane.base.request_rows import line_of

print(len(said.getvalue()), line_of(1))
"""
    assert python(code) == (["0", "16"], 1), "imports compile nothing"
    assert python(code) == (["0", "16"], 0)


@pytest.mark.slow
def test_the_clock_of_runs_stands_still_while_functions_are_compiled(python):
    code = """
from time import perf_counter
from caller import caller
from scenarios.compiled import working_s

caller(7)  # The first compilation also loads the compiler.
started, started_working = perf_counter(), working_s()
caller(7.0)
print(working_s() - started_working < (perf_counter() - started) / 2)
"""
    assert python(code) == (["True"], 1)


def callee(*changes):
    """Return the text of the callee with some changes."""
    text = CALLEE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


CALLEES = (
    callee(),
    callee(("x + FACTOR", "x * 2 + FACTOR")),  # a callee in another module
    callee(("FACTOR = 1", "FACTOR = 7")),  # a global of that callee, defined below it
    callee(("LIMIT = 10", "LIMIT = 20")),  # a global that the caller imports
    callee(("@compiled", "# A comment.\n\n@compiled"), ("Add.", "Add a number.\n")),
)
TUPLES = (
    PAIRS,
    PAIRS.replace("Pair", "Couple"),
    PAIRS.replace("    one: int\n    two: int", "    two: int\n    one: int"),
    PAIRS,
    PAIRS,
)


@pytest.fixture(
    scope="module", params=[(0, 2, 4), pytest.param((0, 1, 2, 3, 4), marks=pytest.mark.slow)]
)
def processes(request, tmp_path_factory):
    """What one process after another prints, each with a later text of both modules, by its number.

    Each prints the result of the caller and the number of compilations, and the same for pairs.
    """
    directory = tmp_path_factory.mktemp("changes")
    (directory / "caller.py").write_text(CALLER)
    printed = {}
    for number in request.param:
        (directory / "callee.py").write_text(CALLEES[number])
        (directory / "pairs.py").write_text(TUPLES[number])
        name = "Couple" if "Couple" in TUPLES[number] else "Pair"
        printed[number] = output(directory, CALLS.replace("NAME", name))[0]
    return printed


def test_a_change_compiles_just_what_depends_on_it(processes):
    """The last change is none to the compiler, so that what was compiled first is used again."""
    expected = [(18, 2), (25, 2), (24, 2), (28, 1), (18, 0)]
    for number, (value, compilations, *_) in processes.items():
        assert (int(value), int(compilations)) == expected[number]


def test_a_named_tuple_that_is_renamed_or_reordered_is_compiled_anew(processes):
    for number, (*_, value, compilations) in processes.items():
        assert (value, int(compilations)) == ("2", [1, 1, 1, 0, 0][number])
