"""What the commands answer to bad input is as recorded, and never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
from golden.bad_inputs import groups, recorded

ROOT = Path(__file__).resolve().parents[1]


def test_every_command_has_its_record():
    titles = [f"[{group.name}] {command}" for group in groups() for command in group.commands]
    assert list(recorded()) == titles
    assert len(titles) >= 300


def test_no_message_is_a_traceback():
    assert [title for title, said in recorded().items() if "TRACEBACK" in said] == []


@pytest.mark.slow
def test_messages_are_as_recorded():
    """Other tests make classes and options known to this process, so it takes one of its own."""
    command = [sys.executable, "-m", "tests.golden.bad_inputs"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
