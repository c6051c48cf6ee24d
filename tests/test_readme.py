"""The README's examples: they run, and print what the README says."""

import re
from pathlib import Path

import pytest
from pages import blocks, call, commands

from lab import run

PATH = Path(__file__).parent.parent / "README.md"
README = PATH.read_text(encoding="utf-8")
PYTHON, OUTPUTS = blocks(README, "python"), blocks(README, "text")
COMMANDS = [line.partition("#")[0].strip() for line in commands(README)]


def test_the_small_experiment_prints_the_table(folder, shows, monkeypatch, capsys):
    call(monkeypatch, "compass-sim experiment=speech_small figures=false")
    shows(PATH, OUTPUTS[0], capsys.readouterr().out.partition("results:")[0])


@pytest.mark.slow
def test_the_planner_example_runs_and_keeps_the_contract(folder, monkeypatch, capsys):
    assert len(PYTHON[0].splitlines()) < 20
    (folder / "my_pkg.py").write_text(PYTHON[0], encoding="utf-8")
    own = [command for command in COMMANDS if "my_pkg" in command]
    assert len(own) == 2
    for command in own:
        quiet = " figures=false" if command.startswith("compass-sim") else ""
        call(monkeypatch, command + quiet)
    printed = capsys.readouterr().out
    assert "Offload" in printed
    [goodput] = re.findall(r"beats `cheapest_feasible`, ([\d.]+) queries", README)
    assert f"│ {goodput} of " in printed


@pytest.mark.slow
def test_links_of_speed_tests_help_as_it_says():
    result = run(["experiment=speech_small", "planner=compass", "network.capacity=speed_tests"])
    [share] = re.findall(r"Compass meets SLOs for (\d+) % of the time", README)
    assert share == f"{100 * result.summary['slo_met_fraction']:.0f}"


@pytest.mark.slow
def test_every_other_command_runs(folder, monkeypatch, capsys):
    quick = "horizon_s=60 figures=false"
    for command in COMMANDS:
        if "my_pkg" in command:
            continue
        heavy = "--help" not in command and command.startswith("compass-sim")
        call(monkeypatch, f"{command} {quick}" if heavy else command)
