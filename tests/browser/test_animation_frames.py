"""The animation inside a report, and inside slides that are made from a notebook."""

import nbformat
import pytest
from nbconvert import SlidesExporter

from lab import run
from lab.cli.tools import main
from lab.reporting.animation.export import animated

pytestmark = pytest.mark.browser

WORDS = ["experiment=speech_small", "planner=greedy", "horizon_s=120"]


def plays(frame):
    """Check that the animation in a frame is drawn, and tells of a query that is chosen."""
    frame.locator("canvas").wait_for()
    frame.locator("select.query").select_option("0")
    assert frame.locator(".about").inner_text().startswith("Query 0 (")
    before = frame.locator("output").inner_text()
    frame.locator("button.play", has_text="pause").wait_for()
    frame.get_by_text(before, exact=True).wait_for(state="detached")


def test_a_report_shows_the_animation_when_it_is_opened(opened, tmp_path):
    run(WORDS, directory=tmp_path / "run")
    assert main(["report", str(tmp_path / "run")]) == 0
    page = opened((tmp_path / "run" / "report" / "index.html").as_uri())
    page.locator("summary", has_text="Greedy").click()
    plays(page.frame_locator("iframe"))


def test_slides_show_the_animation(opened, tmp_path):
    shown = animated(run(WORDS))._repr_html_()
    output = nbformat.v4.new_output("execute_result", {"text/html": shown})
    cell = nbformat.v4.new_code_cell("animated(result)", outputs=[output])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    text, _ = SlidesExporter().from_notebook_node(notebook)
    frame = text[text.index("<iframe") : text.index("</iframe>")]  # reveal.js is elsewhere
    (tmp_path / "slides.html").write_text(f"<!doctype html>{frame}</iframe>", encoding="utf-8")
    plays(opened((tmp_path / "slides.html").as_uri()).frame_locator("iframe"))
