"""The site: its sections, the size of its pages, its links, and the addresses of moved pages."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if "_build" not in path.parts
}
SECTIONS = {
    caption: pages.split()
    for caption, pages in re.findall(
        r"^```{toctree}\n:caption: ([^\n]*)\n:maxdepth: \d\n\n(.*?)^```$",
        PAGES["index"],
        re.S | re.M,
    )
}
MOST_WORDS = 2_500
COMMENT = re.compile(r"<!--.*?-->\n", re.S)


@pytest.fixture(scope="module")
def conf():
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_five_sections_and_every_page_is_in_one():
    assert list(SECTIONS) == ["Start here", "How to", "Concepts", "Reference", "Evidence"]
    listed = [page for pages in SECTIONS.values() for page in pages]
    assert len(listed) == len(set(listed))
    below = {page for page in PAGES if page.startswith(("notebooks/", "course/"))}
    assert PAGES.keys() - below - {"index"} == {*listed} - {"notebooks/index", "course/index"}


def test_start_here_has_five_pages_each_with_a_picture():
    pages = SECTIONS["Start here"]
    assert len(pages) == 5
    for page in pages:
        pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGES[page])
        assert pictures, page
        for picture in pictures:
            assert (DOCS / page).parent.joinpath(picture).is_file(), picture


@pytest.mark.parametrize("page", [page for page in PAGES if page not in SECTIONS["Evidence"]])
def test_a_page_outside_evidence_is_no_longer_than_can_be_read(page):
    assert len(COMMENT.sub("", PAGES[page]).split()) <= MOST_WORDS


def test_the_readme_and_the_changelog_are_short():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(COMMENT.sub("", readme).splitlines()) <= 150
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[0\.1\.0\].*?(?=^## |\Z)", changelog, re.S | re.M)[0]
    assert len(first.splitlines()) <= 60


TEXTS = PAGES | {
    name: (ROOT / f"{name}.md").read_text(encoding="utf-8") for name in ("README", "CONTRIBUTING")
}


@pytest.mark.parametrize("page", TEXTS)
def test_links_to_pages_have_titles(page):
    for text, target in re.findall(r"(?<!!)\[([^]]*)\]\(([^)]+)\)", TEXTS[page]):
        if "://" not in target:
            assert text.strip(), target
            assert not re.fullmatch(r"`?[\w/.]+\.md`?", text) or text == "CONTRIBUTING.md", text


def test_old_addresses_lead_to_pages(conf):
    for old, new in conf.MOVED.items():
        assert old not in PAGES, "the page would be hidden"
        assert new in PAGES, new
        at = (DOCS / old).parent / conf.redirects[old]
        assert at.resolve() == (DOCS / f"{new}.html").resolve()
