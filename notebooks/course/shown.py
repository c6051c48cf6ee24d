"""The course's notebooks as slides."""

from pathlib import Path
from tempfile import TemporaryDirectory

from nbclient import NotebookClient
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from traitlets.config import Config

from notebooks.course import build


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
    made = build.page(name)
    with TemporaryDirectory() as empty:
        resources = {"metadata": {"path": empty}}
        NotebookClient(made, timeout=900, resources=resources, coalesce_streams=True).execute()
    path = folder / f"{name}.slides.html"
    path.write_text(slides(made, name), encoding="utf-8")
    return path
