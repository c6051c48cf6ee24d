"""Slides of the course: one page for each notebook, which loads nothing from elsewhere."""

import re
from html.parser import HTMLParser

import nbformat
import pytest

from notebooks.course import build, shown

FIGURE = "iVBORw0KGgo="
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Reader(HTMLParser):
    """Collects what a page loads, and how many headings and slides it has."""

    def __init__(self):
        super().__init__()
        self.loaded, self.slides, self.headings, self.depth = [], 0, 0, 0

    def handle_starttag(self, tag, attributes):
        self.loaded += [value for name, value in attributes if name == LOADED.get(tag)]
        if tag == "section":
            self.depth += 1
            self.slides += self.depth == 2
        self.headings += tag in ("h1", "h2")

    def handle_endtag(self, tag):
        self.depth -= tag == "section"


def with_figure(name):
    """Return a notebook in which the cell that draws has a figure, as after an execution."""
    notebook = build.released(name)
    drawing = [cell for cell in notebook.cells if "plt.show()" in cell.source]
    for cell in drawing:
        data = {"image/png": FIGURE}
        cell.outputs = [nbformat.v4.new_output("display_data", data=data)]
    assert drawing
    return notebook


@pytest.mark.parametrize("name", build.names())
def test_a_notebook_gives_slides_that_load_nothing(name):
    page = shown.slides(with_figure(name), name)
    reader = Reader()
    reader.feed(page)
    assert reader.depth == 0
    assert reader.slides == reader.headings > 3
    assert f"data:image/png;base64,{FIGURE}" in reader.loaded
    assert all(each.startswith("data:") for each in reader.loaded)
    styles = "".join(re.findall(r"<style[^>]*>(.*?)</style>", page, re.S))
    assert "scroll-snap-align" in styles
    assert "@import" not in styles
    assert all(each.startswith("data:") for each in re.findall(r"url\([\s'\"]*([^)]*)\)", styles))
    scripts = "".join(re.findall(r"<script[^>]*>(.*?)</script>", page, re.S))
    assert "ArrowRight" in scripts
    assert not re.search(r"https?:|\bimport\b|fetch|XMLHttpRequest", scripts)


@pytest.mark.parametrize("name", build.names())
def test_slides_have_neither_answers_nor_checks(name):
    page = shown.slides(build.released(name), name)
    for hidden in (
        "YOUR CODE HERE",
        "NotImplementedError",
        "feedback",
        "# print(hint(",
        "import numpy",
    ):
        assert hidden not in re.sub(r"<(style|script).*?</\1>|<[^>]*>", "", page, flags=re.S)
