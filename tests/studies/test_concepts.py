"""The pictures of the pages on concepts: each page has one, and its command draws it."""

import re
from pathlib import Path

import pytest

from sim.dataplane.base.interface import SHED
from studies import atlas
from studies.concepts import __main__ as command
from studies.concepts import stations
from studies.concepts.pictures import DIRECTORY, PICTURES, QUICK

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "concepts").glob("*.md")}
WITHOUT = {"glossary", "architecture", "assumptions"}
"""Pages of words and tables; the one on architecture has a diagram of text."""

MOST_BYTES = 150_000


def pictures(page):
    """Return the alternative text and the file of each picture of a page."""
    found = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", PAGES[page])
    return [(alt, (DOCS / "concepts" / path).resolve()) for alt, path in found]


@pytest.mark.parametrize("page", sorted(PAGES.keys() - WITHOUT))
def test_every_page_has_a_picture_with_a_text_and_the_command_that_draws_it(page):
    [(alt, path), *_] = pictures(page)
    assert len(alt.split()) >= 5
    assert path.is_file()
    assert path.stat().st_size < MOST_BYTES
    drawn_by = (
        "python -m studies.atlas" if page == "planners" else f"python -m studies.concepts {page}"
    )
    assert f"`{drawn_by}`" in PAGES[page]


def test_the_command_draws_exactly_the_pictures_that_the_pages_show():
    shown = {path for page in PAGES for _, path in pictures(page)}
    drawn = {DIRECTORY / f"{name}.png" for name in PICTURES}
    assert shown == drawn | {atlas.PICTURES / "shares.png"}
    assert {*DIRECTORY.iterdir()} == drawn


@pytest.mark.parametrize(
    "name", ["queues", *(pytest.param(each, marks=pytest.mark.slow) for each in QUICK)]
)
def test_a_picture_without_a_run_is_drawn_alike_each_time(name, tmp_path):
    one, other = (PICTURES[name](tmp_path / f"{each}.png") for each in range(2))
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_size > 10_000


@pytest.mark.slow
def test_the_pictures_of_runs_are_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "DIRECTORY", tmp_path)
    assert command.main([*PICTURES.keys() - QUICK.keys()]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(PICTURES) - len(QUICK)
    assert all(path.stat().st_size > 10_000 for path in tmp_path.iterdir())


def test_a_page_without_a_picture_is_refused(capsys):
    assert command.main(["wrold"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("studies.concepts: wrold: has no picture here; choose one of world,")
    assert error.endswith("did you mean 'world'?\n")


def test_the_picture_of_queues_shows_what_its_caption_says():
    late, shed = {}, {}
    for name, rule in stations.RULES.items():
        found = stations.waiting(rule)
        bound_s = [each.bound_s for each in stations.WAITING]
        late[name] = sum(
            each.outcome != SHED
            and each.ended_ns - each.arrival_ns > bound_s[each.query] * stations.S
            for each in found
        )
        shed[name] = sum(each.outcome == SHED for each in found)
    assert [*late.values()] == [1, 0, 2, 0]
    assert [*shed.values()] == [0, 0, 0, 1]
