"""The notebooks: they run, their pairs and pages agree with their texts, and no figure is blank."""

import base64
import io
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from PIL import Image

from notebooks import _pages, _pairs
from notebooks.__main__ import main

NAMES = _pairs.names()


def test_there_are_seven():
    assert [name[:2] for name in NAMES] == [f"{number:02}" for number in range(1, 8)]
    index = (_pages.PAGES / "index.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"]({name}.md)" in index
        assert re.search(rf"^{name}$", index, re.M), "not in the table of contents"


def test_without_the_extra_the_command_names_it(tmp_path):
    """The help needs nothing of the extra, and the command says what to install."""
    (tmp_path / "jupytext.py").write_text("raise ModuleNotFoundError(name='jupytext')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import notebooks.__main__ as made; "
    for words, status in (["--help"], 0), ([], 2):
        command = [sys.executable, "-c", f"{code}sys.exit(made.main({words}))"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert "pip install '.[test]'" in " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in done.stderr


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


EMPHASIS = {"italics", "waiting", "on the same seed", "within a bound on latency", "before"}
"""What is in italics for its weight in a sentence, and no word of the field."""


def emphasised(name):
    """Return what is in italics in a notebook, without mathematics and code."""
    texts = [cell.source for cell in _pairs.notebook(name).cells if cell.cell_type == "markdown"]
    text = re.sub(r"`[^`]*`|\$[^$]*\$", "", "\n\n".join(texts))
    found = re.findall(r"(?<![*\w])\*(?![*\s])([^*]+)\*(?![*\w])", text)
    return {" ".join(each.split()) for each in found}


def test_words_in_italics_are_in_the_glossary():
    glossary = (_pages.PAGES.parent / "concepts" / "glossary.md").read_text(encoding="utf-8")
    listed = re.search(r"^```{glossary}\n(.*?)^```$", glossary, re.S | re.M)[1]
    terms = re.findall(r"^\S.*$", listed, re.M)
    assert terms == sorted(terms, key=str.lower)
    explained = {term.lower() for term in terms} | set(re.findall(r"\*(\w+)\*", listed))
    found = set().union(*map(emphasised, NAMES))
    assert found >= EMPHASIS
    for word in found - EMPHASIS:
        assert {word.lower(), word.lower().removesuffix("s")} & explained, word


def test_outcomes_of_requests_are_in_the_glossary():
    from sim.dataplane.base.interface import OUTCOMES

    glossary = (_pages.PAGES.parent / "concepts" / "glossary.md").read_text(encoding="utf-8")
    for outcome in OUTCOMES:
        assert f"\n{outcome.replace('_', ' ').capitalize()}\n  Said of a request that" in glossary


def test_the_notebook_on_mps_says_what_its_tables_say():
    from hardware_models.gpu import gpu_latency

    page = (_pages.PAGES / "05_mig_and_mps.md").read_text(encoding="utf-8")
    text = " ".join(page.partition("leaves idle.")[2].split())

    def more(model, slices, processes):
        alone_s, shared_s = (
            gpu_latency.batch_latency(model, slices, 4, n).seconds for n in (1, processes)
        )
        return processes * alone_s / shared_s - 1, shared_s / alone_s

    for model, said in (
        ("resnet50", "Two processes serve {} more than one, and five serve {} more"),
        ("bert", "Two processes serve {} more, and five serve {} more"),
    ):
        assert said.format(*(f"{100 * more(model, 1, n)[0]:.0f} %" for n in (2, 5))) in text
    assert "three times as long" in text
    assert round(more("bert", 1, 5)[1]) == 3
    for model in ("resnet50", "bert"):
        assert more(model, 7, 2) == pytest.approx((1, 1), abs=0.1)


def folder(name):
    return _pages.PAGES / f"{name}_files"


QUICK = ("01",)
"""Notebooks that are executed here; the longer checks execute the others."""


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


def test_an_unknown_name_gets_one_sentence(capsys):
    assert main(["03_your_own_planer"]) == 2
    assert "did you mean '03_your_own_planner'" in capsys.readouterr().err
