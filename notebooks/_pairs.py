"""Notebooks made from their texts."""

from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

HERE = Path(__file__).parent
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def names() -> list[str]:
    """Return the names of all notebooks, in their order."""
    return sorted(path.stem for path in HERE.glob("[0-9]*.py"))


def notebook(name: str) -> NotebookNode:
    """Return the notebook of a text, without outputs.

    Cell identifiers are numbers, because random ones would differ each time.
    """
    read = jupytext.reads((HERE / f"{name}.py").read_text(encoding="utf-8"), fmt="py:percent")
    for number, cell in enumerate(read.cells):
        cell["id"] = f"cell-{number}"
    read.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    read["nbformat"], read["nbformat_minor"] = 4, 5
    return read


def text(name: str) -> str:
    """Return the notebook of a text as it is written to its file."""
    written: str = nbformat.writes(notebook(name), indent=1, sort_keys=True)
    return written.rstrip("\n") + "\n"


def pair(name: str) -> Path:
    """Write the notebook of a text next to it."""
    path = HERE / f"{name}.ipynb"
    path.write_text(text(name), encoding="utf-8")
    return path
