"""The README's examples run."""

from pathlib import Path

import pytest
from pages import blocks, call, commands

PATH = Path(__file__).parent.parent / "README.md"
README = PATH.read_text(encoding="utf-8")
PYTHON = blocks(README, "python")
COMMANDS = [line.partition("#")[0].strip() for line in commands(README)]


@pytest.mark.slow
def test_the_planner_example_runs_and_keeps_the_contract(folder, monkeypatch, capsys):
    assert len(PYTHON[0].splitlines()) < 20
    (folder / "my_pkg.py").write_text(PYTHON[0], encoding="utf-8")
    own = [command for command in COMMANDS if "my_pkg" in command]
    assert len(own) == 2
    for command in own:
        quiet = " figures=false" if command.startswith("compass-sim") else ""
        call(monkeypatch, command + quiet)
    assert "Offload" in capsys.readouterr().out


@pytest.mark.slow
def test_every_other_command_runs(folder, monkeypatch, capsys):
    quick = "horizon_s=60 figures=false"
    for command in COMMANDS:
        if "my_pkg" in command:
            continue
        heavy = "--help" not in command and command.startswith("compass-sim")
        call(monkeypatch, f"{command} {quick}" if heavy else command)
