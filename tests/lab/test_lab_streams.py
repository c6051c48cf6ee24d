"""A stream that fails or lacks characters costs its text, never a result or a sentence."""

import io
import os
import subprocess
import sys

import pytest
from rich.table import Table

from lab.common.command import run_command
from lab.common.console import console

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs /dev/full and pipes")
SNOWMAN = "☃ \ud800"


@pytest.fixture
def stream(monkeypatch):
    """Return a function that makes a file the standard output or error of the process."""

    def replace(name, file):
        for each in (name, f"__{name}__"):
            monkeypatch.setattr(sys, each, file)

    return replace


def full():
    return open("/dev/full", "w")


def closed_pipe():
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


@pytest.mark.parametrize(
    ("opened", "reason"),
    [
        (full, "No space left on device"),
        (lambda: None, "Bad file descriptor"),
    ],
)
def test_lost_output_is_told_once_and_fails_the_command(stream, capsys, opened, reason):
    done = []

    def work():
        for _ in range(3):
            print("x" * 10_000, flush=True)
        done.append(True)
        return 0

    stream("stdout", opened())
    assert run_command("compass-sim", work) == 1
    expected = f"compass-sim: standard output cannot be written: {reason}\n"
    assert capsys.readouterr().err == expected
    assert done, "the work goes on"


@pytest.mark.parametrize(("status", "expected"), [(0, 141), (2, 2)])
def test_a_reader_that_ends_early_ends_the_command_quietly(stream, capsys, status, expected):
    def work():
        print("x" * 10_000, flush=True)
        return status

    stream("stdout", closed_pipe())
    assert run_command("compass-lab", work) == expected
    assert capsys.readouterr().err == ""


def test_a_status_stays_as_it_is_if_both_streams_are_lost(stream):
    stream("stdout", None)
    stream("stderr", full())

    def work():
        print("lost")
        print("lost", file=sys.stderr)
        return 2

    assert run_command("compass-sim", work) == 2


def test_a_stream_that_a_planner_closes_stays_open(stream, tmp_path):
    with open(tmp_path / "out", "w") as out:
        stream("stdout", out)

        def work():
            sys.stdout.close()
            sys.stdout.buffer.close()
            print("kept")
            return 0

        assert run_command("compass-sim", work) == 0
    assert (tmp_path / "out").read_text() == "kept\n"


ENDLESS = """
import atexit, sys, time
from lab.common import command
from sim.planning.guard import refuse_c_endings
command.GRACE_S = 0.1
refuse_c_endings()
atexit.register(time.sleep, 60)
sys.exit(command.run_command("compass-sim", lambda: 3))
"""


@pytest.mark.slow
def test_what_a_planner_leaves_for_the_end_does_not_keep_the_program():
    command = [sys.executable, "-c", ENDLESS]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("compass-sim: a planner left something that runs at the end")


def test_a_closed_stream_that_nobody_writes_to_is_no_failure(stream):
    stream("stdout", None)
    stream("stderr", None)
    assert run_command("compass-sim", lambda: 0) == 0


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_a_terminal_without_the_characters_gets_escapes(stream, encoding):
    raw = io.BytesIO()
    stream("stdout", io.TextIOWrapper(raw, encoding=encoding))

    def work():
        print(SNOWMAN)
        table = Table(title=SNOWMAN)
        table.add_column(SNOWMAN)
        console().print(table)
        return 0

    assert run_command("compass-sim", work) == 0
    assert "\\ud800" in raw.getvalue().decode(encoding)
