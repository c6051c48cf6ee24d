"""Instructor's and students' notebooks, made from one text each.

Both carry the cell metadata of nbgrader (schema 3). The students' notebook is what nbgrader's
``generate_assignment`` makes of the instructor's: without solutions, and without hidden tests.
"""

import ast
import re
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

import lab.course

HERE = Path(__file__).parent
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
RELEASED = Path(lab.course.__file__).parent / "released"
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
DRIFT = "drift_and_replanning"
"""The notebook of the project that notebook 7 of the course works on; students get it, too."""
DRIFT_TEXT = "06_drift_and_replanning"
"""Its name in the project."""

HIDDEN_SEED = 43
"""What the hidden tests draw their inputs from; students see the checks of seed 0."""


def names() -> list[str]:
    """Return the names of the course's notebooks, in their order."""
    return sorted(path.stem for path in HERE.glob("[0-9]*.py"))


def source(name: str) -> NotebookNode:
    """Return the instructor's notebook of a text: with solutions and hidden tests."""
    cells: list[NotebookNode] = []
    for cell in jupytext.read(HERE / f"{name}.py", fmt="py:percent").cells:
        step = cell.metadata.pop("step", None)
        if step is None:
            cells += _sections(cell)
            continue
        cell.metadata["nbgrader"] = _metadata(f"answer-{step}", solution=True)
        cells += [cell, _hint_cell(step), _grade_cell(step, _defined(cell.source))]
    made = _numbered(cells)
    for cell in made.cells:
        cell.metadata["slideshow"] = {"slide_type": _slide(cell)}
    return made


def released(name: str) -> NotebookNode:
    """Return the students' notebook of a text: without solutions and hidden tests."""
    made = source(name)
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.source = _without(cell.source, "SOLUTION", STUB)
            cell.source = _without(cell.source, "HIDDEN TESTS", "").rstrip("\n")
    return made


def page(name: str) -> NotebookNode:
    """Return the students' notebook such that it runs: checks only tell that there is no answer."""
    made = released(name)
    for cell in made.cells:
        cell.source = cell.source.replace("\nassert feedback", "")
    return made


def solved(name: str) -> NotebookNode:
    """Return the notebook that a student with the model solutions would submit."""
    made = source(name)
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.source = re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", cell.source, flags=re.M)
            cell.source = _without(cell.source, "HIDDEN TESTS", "").rstrip("\n")
    return made


def drift() -> NotebookNode:
    """Return the notebook `DRIFT`, without links to files that students do not have."""
    made = _numbered(jupytext.read(HERE.parent / f"{DRIFT_TEXT}.py", fmt="py:percent").cells)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\[([^]]*)\]\((?:\d\d_|\.\./)[^)]*\)", r"\1", cell.source)
    return made


def written(notebook: NotebookNode) -> str:
    """Return a notebook as it is written to its file."""
    return str(nbformat.writes(notebook, indent=1, sort_keys=True)).rstrip("\n") + "\n"


def write(notebook: NotebookNode, path: Path) -> Path:
    """Write a notebook to its file, and return that."""
    path.write_text(written(notebook), encoding="utf-8")
    return path


def _numbered(cells: list[NotebookNode]) -> NotebookNode:
    """Return a notebook whose cells have numbers as identifiers; random ones would change."""
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": dict(KERNEL)})


def _without(code: str, region: str, instead: str) -> str:
    """Replace the lines between the marks of a region, keeping their indentation."""

    def replaced(found: re.Match[str]) -> str:
        return "".join(f"{found[1]}{line}\n" for line in instead.splitlines())

    pattern = rf"^( *)### BEGIN {region}\n.*?^ *### END {region}(?:\n|\Z)"
    return re.sub(pattern, replaced, code + "\n", flags=re.M | re.S).rstrip("\n")


def _sections(cell: NotebookNode) -> list[NotebookNode]:
    """Split a cell of Markdown before its headings, each of which begins a slide."""
    if cell.cell_type != "markdown":
        return [cell]
    parts = re.split(r"\n+(?=## )", cell.source)
    return [nbformat.v4.new_markdown_cell(part) for part in parts]


def _metadata(grade_id: str, solution: bool = False, points: int | None = None) -> NotebookNode:
    """Return the metadata of a cell of nbgrader: of an answer, or of a test that gives points."""
    made = {
        "schema_version": 3,
        "grade_id": grade_id.replace(".", "-"),  # no dots are allowed
        "grade": points is not None,
        "locked": not solution,
        "solution": solution,
        "task": False,
    }
    if points is not None:
        made["points"] = points
    return nbformat.from_dict(made)


def _hint_cell(step: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(f'# print(hint("{step}", 1))  # then 2, then 3')


def _grade_cell(step: str, answer: str) -> NotebookNode:
    lines = [
        f'feedback = check("{step}", {answer})',
        "print(feedback)",
        "assert feedback",
        "### BEGIN HIDDEN TESTS",
        f'assert check("{step}", {answer}, seed={HIDDEN_SEED})',
        "### END HIDDEN TESTS",
    ]
    points = lab.course.steps()[step].points
    metadata = {"nbgrader": _metadata(f"check-{step}", points=points)}
    return nbformat.v4.new_code_cell("\n".join(lines), metadata=metadata)


def _defined(code: str) -> str:
    """Return the name of the last function or class that a cell defines, which is the answer."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [each.name for each in ast.parse(code).body if isinstance(each, kinds)][-1]


def _slide(cell: NotebookNode) -> str:
    """Return where a cell is on the slides: headings begin slides.

    Answers, tests, hints and imports are on none.
    """
    if "nbgrader" in cell.metadata or cell.source.startswith(("# print(hint(", "import ", "from ")):
        return "skip"
    heading = cell.cell_type == "markdown" and cell.source.startswith("#")
    return "slide" if heading else "-"
