"""Commands and Python in the texts of the course: they run, and show what the texts say."""

import os
import re
import shlex
import subprocess
import sys

import nbformat
import pytest

from lab.app.scenario import state_of
from lab.cli.tools import main, parser
from lab.course import matching
from notebooks.course import build
from tests.test_docs_snippets import compose_command

PROGRAMS = {"compass-sim": "lab.cli.simulate", "compass-lab": "lab.cli.tools"}
ROOT = build.HERE.parents[1]


def blocks(name, language):
    """Return the blocks of code in the texts of a notebook."""
    cells = nbformat.read(build.RELEASED / f"{name}.ipynb", 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return [
        each for kind, each in re.findall(r"```(.*)\n((?:.|\n)*?)```", text) if kind == language
    ]


def commands(name):
    """Return the commands in the texts of a notebook, as words."""
    return [shlex.split(line) for block in blocks(name, "") for line in block.splitlines()]


ALL = [(name, words) for name in build.names() for words in commands(name)]


def test_exercises_use_the_tools():
    used = {name: [words[1] for words in commands(name)] for name in build.names()}
    assert used["5_matching"][1:] == ["regret", "explain"]
    assert used["7_drift"] == ["explain"]
    assert used["8_capacity"] == ["app", "capacity"]


@pytest.mark.parametrize(("name", "words"), ALL)
def test_commands_can_be_composed_or_parsed(name, words, tmp_path, monkeypatch):
    if words[0] == "compass-sim":
        assert compose_command(words[1:])
        return
    assert words[0] == "compass-lab"
    options = parser().parse_args(["7" if each == "QUERY" else each for each in words[1:]])
    if options.tool == "app":
        state = state_of(options.state)
        assert len(state.values) == 2  # so that each is a control of the page


def run(words, folder):
    """Run a command as a student would, in a folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", PROGRAMS[words[0]], *words[1:]],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def planner_file():
    """Return the text of a file with the model planner, as notebook 5 asks for it."""
    [cell] = [
        each
        for each in build.solved("5_matching").cells
        if each.metadata.get("nbgrader", {}).get("grade_id") == "answer-5-3"
    ]
    return f"import math\nfrom sim import Planner\n\n\n{cell.source}\n"


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """Return a folder with a planner and its run, as notebook 5 asks for them."""
    folder = tmp_path_factory.mktemp("student")
    (folder / "my_planner.py").write_text(planner_file())
    simulate = commands("5_matching")[0]
    assert set(matching.WORLD[1:]) < set(simulate)
    assert f"seed={matching.SEEDS[0]}" in simulate
    assert "MyPlanner" in run([*simulate, "figures=false"], folder)
    return folder


@pytest.mark.slow
def test_a_students_planner_runs_and_is_explained(own_run, monkeypatch, capsys):
    monkeypatch.chdir(own_run)
    _, *explain = commands("5_matching")[2]
    assert main([each.replace("QUERY", "0") for each in explain]) == 0
    said = capsys.readouterr().out
    for section in ("Profiled", "Believed and observed", "Windows"):
        assert section in said


@pytest.mark.slow
def test_regret_names_a_decision_of_a_students_planner(own_run):
    _, regret, explain = commands("5_matching")
    said = run(regret, own_run)
    number = r"^ +\d\S* +\d\S* +(\d+) "
    query = re.search(number, said, re.M)[1]
    assert "sum of regrets" in said
    explained = run([each.replace("QUERY", query) for each in explain], own_run)
    assert "egret" in explained.partition("Windows")[2]


@pytest.mark.slow
def test_the_planner_that_looks_back_reacts(tmp_path, monkeypatch, capsys):
    """What notebook 7 asks to add to the drift notebook, without the cells that draw there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "drift_notebook", type(sys)("drift_notebook"))
    scope = vars(sys.modules["drift_notebook"])
    for cell in [*build.drift().cells, *build.solved("7_drift").cells]:
        if cell.cell_type == "code" and re.search(r"^(import|class|def reaction_s)\b", cell.source):
            exec(cell.source.partition("\n\n\ncheck_planner")[0], scope)
        elif cell.source.startswith("SCENARIO"):
            exec(cell.source.partition("\n\n\n")[0], scope)
    [code] = blocks("7_drift", "python")
    *statements, last = code.strip().splitlines()
    exec("\n".join(statements), scope)
    reaction_s = float(capsys.readouterr().out)
    assert 0 < reaction_s < scope["HORIZON_S"]
    queries = eval(last, scope)["query"].unique().to_list()
    assert queries
    [explain] = commands("7_drift")
    said = run([each.replace("QUERY", str(queries[0])) for each in explain], tmp_path)
    for section in ("Believed and observed", "Windows", "Where the latency went"):
        assert section in said


@pytest.mark.slow
def test_the_capacity_command_needs_few_machines(tmp_path):
    said = run(commands("8_capacity")[1], tmp_path)
    assert "cluster.nodes.cloud.count=1" in said
    assert "suffices" in said
