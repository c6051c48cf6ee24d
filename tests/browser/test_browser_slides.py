"""Slides of the course in a browser: keys lead from one to the next, and nothing is loaded."""

import pytest

from notebooks.course import build, shown

pytestmark = pytest.mark.browser

AT_TOP = """(number) => {
    const slide = document.querySelectorAll("h1, h2")[number].closest("section");
    return Math.abs(slide.getBoundingClientRect().top) < 2;
}"""
"""Whether the slide of a heading begins where the window does."""


def test_arrow_keys_lead_through_the_slides(opened, tmp_path):
    path = tmp_path / "slides.html"
    path.write_text(shown.slides(build.released("1_station"), "1_station"), encoding="utf-8")
    page = opened(path.as_uri(), width=1280, height=720)
    slides = page.locator("h1, h2").count()
    assert slides > 3
    for number in [*range(slides), slides - 1, slides - 1]:  # the last has none after it
        page.wait_for_function(AT_TOP, arg=number)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(AT_TOP, arg=slides - 2)
