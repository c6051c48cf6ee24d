"""Notebook 04 with Panel: the app's page is shown, and answers moves without a server."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.browser

MOVED = """
from time import monotonic, sleep

def until(is_so):
    until_s = monotonic() + 300
    while not all(map(is_so, app.sides)):
        assert monotonic() < until_s
        sleep(0.1)

def final(words):
    until(lambda side: all(one in side.figures.object for one in (words, 'data-state="final"')))
    until(lambda side: side.animation.scene and side.animation.scene not in before)

before = []
app = page("planner=greedy&against=cheapest_feasible&horizon_s=300", seeds=1)
final("horizon_s=300 seed=0")
before = [side.animation.scene for side in app.sides]
[arrivals] = [one for one in app.controls.view if one.name.startswith("arrivals")]
arrivals.value = 0.07
final("workload.rate=0.07 horizon_s=300 seed=0")
app.sides[0].animation.chosen = 0
told = app.sides[0].details.view[2].object
assert "Query 0: " in told, told
app
"""


def test_the_page_in_the_notebook_answers_moves(tmp_path):
    made = jupytext.read(ROOT / "notebooks" / "04_what_if.py")
    [shows] = [one for one in made.cells if "from lab.app.notebook import page" in one.source]
    page = (ROOT / "docs" / "how_to" / "the_app.md").read_text(encoding="utf-8")
    [documented] = re.findall(r"^```python\n(.*?)^```$", page, re.S | re.M)
    shown = [shows, *(nbformat.v4.new_code_cell(code) for code in (documented, MOVED))]
    made.cells = [made.cells[1], *shown]
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(made, timeout=900, resources=resources, coalesce_streams=True).execute()
    for one in shown:
        assert not [each for each in one.outputs if each.output_type == "stream"]
        kinds = {kind for each in one.outputs for kind in each.get("data", {})}
        assert "application/vnd.holoviews_exec.v0+json" in kinds
