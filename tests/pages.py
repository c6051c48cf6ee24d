"""The blocks of code on pages of the documentation, and the commands in them."""

import re
import shlex
import sys


def blocks(page, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.S | re.M)
    return [text for kind, text in found if kind == language]


def commands(page):
    """Return the command lines of a page; lines that go on are joined."""
    text = "".join(blocks(page, "")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.startswith("compass-")]


def call(monkeypatch, command):
    """Run a command line in this process; it must succeed."""
    from lab.cli import simulate, tools

    words = shlex.split(command)
    monkeypatch.setattr(sys, "argv", words)
    try:
        status = (simulate if words[0] == "compass-sim" else tools).main()
    except SystemExit as end:  # argparse leaves this way after --help
        status = end.code
    assert not status, command
