"""Numbers with units that are typed into pages, where facts should be.

A number is typed if it stands in the prose of a page, so neither in code nor in what cog wrote.
``given.toml`` lists, by page, the typed numbers that no run of the simulator measures: settings,
definitions, cited values and sizes of files. Evidence pages are records of results, and are not
read.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from studies.facts.record import ROOT

GIVEN = Path(__file__).with_name("given.toml")
UNITS = (
    r"%|points?|s|ms|minutes?|hours?|seconds?|queries|users|requests|times|[GM]B|runs?|windows|"
    r"configurations|device-hours|W|[MG]bit/s"
)
NUMBER = r"\d(?:[\d,.]*\d)?"
TYPED = re.compile(
    rf"(?<![\w.\-/])(?:\${NUMBER}|{NUMBER}(?: (?:to|and|or) {NUMBER})? (?:{UNITS})(?!\w))"
)
NOT_PROSE = re.compile(r"<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->|^```.*?^```$|`[^`]*`", re.S | re.M)
MARKDOWN = re.compile(r"^# %% \[markdown\]\n((?:#.*\n)+)", re.M)


def numbers() -> Iterator[str]:
    """Yield a sentence for each number that is typed into a page and not given."""
    given = _given()
    for name, found in _found().items():
        for number in found - given.get(name, Counter()):
            yield (
                f"{name}: {number!r} is typed: make it a fact, or list it in "
                f"{GIVEN.relative_to(ROOT)} if no run measures it"
            )


def superfluous() -> Iterator[str]:
    """Yield a sentence for each number that is given and not on its page."""
    found = _found()
    for name, given in _given().items():
        for number in given - found.get(name, Counter()):
            yield f"{GIVEN.relative_to(ROOT)}: {number!r} is not on {name}"


def _given() -> dict[str, Counter[str]]:
    kept = tomllib.loads(GIVEN.read_text(encoding="utf-8"))
    return {name: Counter(numbers) for name, numbers in kept.items()}


def _found() -> dict[str, Counter[str]]:
    return {
        name: Counter(" ".join(each.split()) for each in TYPED.findall(NOT_PROSE.sub("", text)))
        for name, text in pages()
    }


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the prose of each page and notebook, generated and evidence pages less."""
    written = [*(ROOT / "docs").rglob("*.md")]
    kept = [
        path
        for path in sorted(written)
        if not {"_build", "evidence", "notebooks"} & {*path.parts}
        and not re.match(r"\d_", path.name)
    ]
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *kept):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").rglob("*.py")):
        cells = MARKDOWN.findall(path.read_text(encoding="utf-8"))
        yield str(path.relative_to(ROOT)), "\n\n".join(cells).replace("\n# ", "\n")
