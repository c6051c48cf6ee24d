"""The course's notebooks as pages of the documentation, and as slides."""

from pathlib import Path

from nbconvert import SlidesExporter
from nbformat import NotebookNode
from traitlets.config import Config

from notebooks import _pages
from notebooks.course import build

PAGES = _pages.PAGES.parent / "course"


def executed(name: str) -> NotebookNode:
    """Return the students' notebook, executed; checks find that there is no answer yet."""
    made = build.released(name)
    for cell in made.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata["tags"] = ["raises-exception"]
    _pages.execute_notebook(made)
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.output_type != "error"]
    return made


def write_page(name: str) -> Path:
    """Write the page of a notebook, with its figures in a directory next to it."""
    source = f"*The notebook `{name}.ipynb`, which `python -m lab.course DIRECTORY` copies.*"
    made = executed(name)
    for cell in made.cells:  # the notebook of the project has its page elsewhere
        cell.source = cell.source.replace(
            f"]({build.DRIFT}.ipynb)", f"](../notebooks/{build.DRIFT_TEXT}.md)"
        )
    return _pages.write_to(PAGES, name, made, source)


def slides(notebook: NotebookNode, title: str) -> str:
    """Return the slides of a notebook as one HTML page, without answers and checks.

    The page is whole: it loads nothing from elsewhere.
    """
    config = Config()
    config.SlidesExporter.extra_template_basedirs = [str(build.HERE)]
    config.SlidesExporter.template_name = "slides"
    exporter = SlidesExporter(config=config)
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return str(body)


def write_slides(name: str, folder: Path) -> Path:
    """Write the slides of a notebook, executed: its text, code and figures."""
    path = folder / f"{name}.slides.html"
    path.write_text(slides(executed(name), name), encoding="utf-8")
    return path
