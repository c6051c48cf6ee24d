"""The notebooks are listed, and use words that the glossary explains."""

import re
from pathlib import Path

import jupytext

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


def test_there_are_seven():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{number:02}" for number in range(1, 8)]
    index = (ROOT / "docs" / "notebooks" / "index.md").read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        assert f"]({path.stem}.md)" in index
        assert re.search(rf"^{path.stem}$", index, re.M), "not in the table of contents"


EMPHASIS = {"italics", "waiting", "on the same seed", "within a bound on latency", "before"}
"""What is in italics for its weight in a sentence, and no word of the field."""


def emphasised(path):
    """Return what is in italics in a notebook, without mathematics and code."""
    texts = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "markdown"]
    text = re.sub(r"`[^`]*`|\$[^$]*\$", "", "\n\n".join(texts))
    found = re.findall(r"(?<![*\w])\*(?![*\s])([^*]+)\*(?![*\w])", text)
    return {" ".join(each.split()) for each in found}


def test_words_in_italics_are_in_the_glossary():
    glossary = (ROOT / "docs" / "concepts" / "glossary.md").read_text(encoding="utf-8")
    listed = re.search(r"^```{glossary}\n(.*?)^```$", glossary, re.S | re.M)[1]
    terms = re.findall(r"^\S.*$", listed, re.M)
    assert terms == sorted(terms, key=str.lower)
    explained = {term.lower() for term in terms} | set(re.findall(r"\*(\w+)\*", listed))
    found = set().union(*map(emphasised, NOTEBOOKS))
    assert found >= EMPHASIS
    for word in found - EMPHASIS:
        assert {word.lower(), word.lower().removesuffix("s")} & explained, word


def test_outcomes_of_requests_are_in_the_glossary():
    from sim.dataplane.base.interface import OUTCOMES

    glossary = (ROOT / "docs" / "concepts" / "glossary.md").read_text(encoding="utf-8")
    for outcome in OUTCOMES:
        assert f"\n{outcome.replace('_', ' ').capitalize()}\n  Said of a request that" in glossary
