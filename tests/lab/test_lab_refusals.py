"""The tools refuse bad input before they import heavy packages."""

import subprocess
import sys

import pytest

HEAVY = ("numba", "numpy", "polars", "scipy", "sim")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain", "no_such_run", "3"], "RUN=no_such_run: no such directory"),
        (["explain", ".", "x"], "QUERY=x: must be a whole number of 0 or more"),
        (["explain", ".", "9" * 5000], ": must be a whole number of 0 or more"),
        (["trace", "no_such_run"], "DIR=no_such_run: no such directory"),
    ],
)
def test_refusals_are_quick(words, said, tmp_path):
    code = (
        "import sys; from lab.cli.tools import main; "
        f"assert main({words}) == 2; print([each for each in {HEAVY} if each in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "[]\n", done.stderr
    assert said in done.stderr
