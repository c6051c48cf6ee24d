"""Notebooks executed, and shown as pages of the documentation."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat import NotebookNode
from traitlets.config import Config

from notebooks import _pairs

PAGES = Path(__file__).parents[1] / "docs" / "notebooks"
SMOKE = "COMPASS_SMOKE"
"""The environment variable that makes notebooks short."""

NO_OUTPUT = "no-page-output"
"""Tag of cells whose output needs a browser."""

MOST_S = 900
"""Most seconds for a cell. The first simulation compiles, which takes minutes on a slow core."""

_SHOWN = ["text/markdown", "image/png", "text/plain"]


def execute(name: str, smoke: bool = False) -> NotebookNode:
    """Execute a notebook from top to bottom, in a new process and an empty directory.

    Args:
        name: the notebook.
        smoke: whether to make it short.

    Returns:
        The notebook with its outputs.

    Raises:
        CellExecutionError: a cell raised.
    """
    made = _pairs.notebook(name)
    with _environment(SMOKE, "1" if smoke else None):
        execute_notebook(made)
    return made


def execute_notebook(notebook: NotebookNode) -> None:
    """Execute a notebook in place, in a new process and an empty directory.

    Raises:
        CellExecutionError: a cell raised, and is not tagged ``raises-exception``.
    """
    with TemporaryDirectory() as empty:
        NotebookClient(
            notebook,
            timeout=MOST_S,
            kernel_name="python3",
            resources={"metadata": {"path": empty}},
            coalesce_streams=True,  # The kernel flushes what is printed at random times.
        ).execute()


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Set or unset an environment variable within the context."""
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def write(name: str, executed: NotebookNode) -> Path:
    """Write the page of an executed notebook, with its figures in a directory next to it.

    Returns:
        The page.
    """
    source = f"*The notebook `notebooks/{name}.ipynb`, executed by `python -m notebooks {name}`.*"
    return write_to(PAGES, name, executed, source)


def write_to(pages: Path, name: str, executed: NotebookNode, source: str) -> Path:
    """Write the page of an executed notebook into a directory; `source` says where it is from."""
    config = Config()
    config.NbConvertBase.display_data_priority = _SHOWN
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_all_outputs_tags = {NO_OUTPUT}
    exporter = MarkdownExporter(config=config)
    folder = pages / f"{name}_files"
    body, resources = exporter.from_notebook_node(
        executed, {"unique_key": name, "output_files_dir": folder.name}
    )
    pages.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for file, data in resources["outputs"].items():
        path = pages / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    page = pages / f"{name}.md"
    page.write_text(_for_site(body, source), encoding="utf-8")
    return page


def _for_site(body: str, source: str) -> str:
    """Let the links of a notebook lead to pages, and name its source."""
    body = re.sub(r"\]\((\d+_\w+)\.ipynb\)", r"](\1.md)", body)
    body = body.replace("](../docs/", "](../").replace("![png](", "![figure](")
    body = re.sub(r"[ \t]+$", "", body, flags=re.M)
    title, _, rest = body.strip("\n").partition("\n")
    return f"{title}\n\n{source}\n{rest}\n"
