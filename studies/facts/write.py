"""Write facts into the pages, or find what is not up to date."""

import io
from collections.abc import Iterator
from pathlib import Path

from cogapp import Cog
from cogapp.cogapp import CogError, CogUserException

from lab.common.atomic_write import written_aside
from lab.common.errors import InputError
from studies.facts.record import ROOT

PROLOGUE = "from studies.facts.pages import f, percent, say, show, table"
MARK = "[[[cog"


def pages() -> list[Path]:
    """Return the pages that have facts."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        path for path in found if "_build" not in path.parts and MARK in path.read_text("utf-8")
    ]


def written(path: Path) -> str:
    """Return the text of a page with the present facts.

    Raises:
        InputError: a fact is unknown, or a claim is false.
    """
    cog = Cog()
    cog.options.prologue = PROLOGUE
    cog.options.print_output = True
    errors = io.StringIO()
    cog.set_output(stdout=errors, stderr=errors)
    place = path.relative_to(ROOT)
    try:
        return str(cog.process_string(path.read_text("utf-8"), str(place)))
    except CogUserException as error:
        reason = str(error).strip().splitlines()[-1].partition("Error: ")[2]
        raise InputError(f"{place}: {reason}") from None
    except CogError as error:
        raise InputError(f"{place}: {error}") from None


def write(path: Path) -> bool:
    """Write the present facts into a page; return whether it changed."""
    new = written(path)
    if new == path.read_text("utf-8"):
        return False
    with written_aside(path) as aside:
        aside.write_text(new, encoding="utf-8")
    return True


def differences() -> Iterator[str]:
    """Yield a sentence for each page that has not the present facts, or claims what is false."""
    for path in pages():
        try:
            if written(path) != path.read_text("utf-8"):
                yield f"{path.relative_to(ROOT)}: its facts are not those of docs/facts.json"
        except InputError as error:
            yield str(error)
