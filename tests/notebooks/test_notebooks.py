"""The notebooks: they run, pairs and pages say what their texts say, and no figure is blank."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
from PIL import Image

from notebooks import _pages, _pairs
from notebooks.__main__ import main

NAMES = _pairs.names()
SOLUTIONS = "09_course_solutions"


def test_there_are_eight_and_the_solutions():
    assert [name[:2] for name in NAMES] == [f"{number:02}" for number in range(1, 10)]
    index = (_pages.PAGES / "index.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"]({name}.md)" in index
        assert re.search(rf"^{name}$", index, re.M), "not in the table of contents"


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_that_of_its_text_and_holds_no_outputs(name):
    """If this fails, run ``python -m notebooks --pair``."""
    written = (_pairs.HERE / f"{name}.ipynb").read_text(encoding="utf-8")
    assert written == _pairs.text(name)
    read = nbformat.reads(written, as_version=4)
    nbformat.validate(read)
    for cell in read.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def code(name):
    return [cell.source for cell in _pairs.notebook(name).cells if cell.cell_type == "code"]


def blank(png):
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float)
    return pixels.std() < 5 or min(pixels.shape) < 100


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_of_this_code_and_shows_figures(name):
    """If this fails, run ``python -m notebooks NAME`` and look at its figures."""
    page = (_pages.PAGES / f"{name}.md").read_text(encoding="utf-8")
    blocks = [
        block.strip("\n") for block in re.findall(r"^```python\n(.*?)^```$", page, re.S | re.M)
    ]
    assert blocks == code(name)
    shown = re.findall(r"!\[figure\]\((.*?)\)", page)
    assert shown
    there = sorted(path.relative_to(_pages.PAGES).as_posix() for path in folder(name).glob("*"))
    assert sorted(shown) == there
    for figure in shown:
        assert not blank((_pages.PAGES / figure).read_bytes()), figure


def folder(name):
    return _pages.PAGES / f"{name}_files"


QUICK = ("01", "08")
"""What the others do, the longer checks do."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name[:2] in QUICK else pytest.mark.slow) for name in NAMES],
)
def test_it_runs_from_top_to_bottom(name):
    executed = _pages.execute(name, smoke=True)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    figures = [
        base64.b64decode(output.data["image/png"])
        for output in outputs
        if "data" in output and "image/png" in output.data
    ]
    assert figures
    assert not any(map(blank, figures))
    if name == SOLUTIONS:
        printed = "".join(output.get("text", "") for output in outputs)
        assert len(re.findall(r"^right$", printed, re.M)) == 7


def test_graders_refuse_what_is_wrong():
    from hardware_models import gpu_latency
    from notebooks import course
    from planners import CheapestFeasible

    assert course.requests_under_way(None) == course.UNANSWERED
    assert "too large" in course.requests_under_way(1e6)
    assert "too many are late" in course.highest_utilisation(0.9)
    assert "busier" in course.highest_utilisation(0.2)
    assert "no 3g.40gb" in course.crowded_layout([("7g.80gb", 0)])
    assert "more instances" in course.crowded_layout([("3g.40gb", 0), ("3g.40gb", 4)])
    assert "not yet" in course.crowded_layout([("3g.40gb", 0), ("1g.10gb", 1)])
    assert "an instance has" in course.allocation((5, 1))
    assert gpu_latency.batch_latency("bert", 1, 64).seconds > 0.04
    assert "too long" in course.allocation((1, 64))
    assert "too small" in course.slow_devices(0.0)
    assert "better on 0 of 1" in course.planner(CheapestFeasible(), seeds=1)
    assert "wider" in course.seeds_needed(2, [1.0, 2.0, 3.0], 0.1)
    assert "fewer" in course.seeds_needed(100, [1.0, 2.0, 3.0], 1.0)


def test_an_unknown_name_gets_one_sentence(capsys):
    assert main(["03_your_own_planer"]) == 2
    assert "nearest is '03_your_own_planner'" in capsys.readouterr().err
