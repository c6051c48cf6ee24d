"""Renders pages from Jinja templates: Markdown without escaping, HTML with escaping."""

from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lab.reporting import markdown

TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def render(template: str, package: str = "lab.reporting", **data: Any) -> str:
    """Return a page from a file in a package's ``templates``.

    ``.html.jinja`` files escape the data. Templates can call `table` and `data_uri`.
    """
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=template.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=template.endswith(".md.jinja"),
        lstrip_blocks=template.endswith(".md.jinja"),
        keep_trailing_newline=True,
    )
    environment.globals |= {"table": table, "data_uri": data_uri}
    return environment.get_template(template).render(data)


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(markdown.table(heads, rows))


def data_uri(picture: Path) -> str:
    """Return a PNG or SVG as a data URI, so that a page needs no other file."""
    return f"data:{TYPES[picture.suffix]};base64,{b64encode(picture.read_bytes()).decode()}"
