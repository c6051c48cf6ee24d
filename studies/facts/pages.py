"""What cog writes into pages: sentences with facts, and what commands printed.

A page has the code in a comment, and cog writes what it outputs below it. In an f-string, a fact
stands as its name, with all its recorded digits: ``f"{f.compass_goodput:.2f} queries"``. A sentence
that compares comes with what it claims: ``say(text, f.a > f.b)``.
"""

import textwrap

from lab.common.errors import InputError, choices
from studies.facts import record

WIDTH = 118


class Facts:
    """The recorded facts, as attributes by name."""

    def __getattr__(self, name: str) -> float:
        """Return a fact; raises InputError if there is none of this name."""
        known = {key: value for kept in record.read().values() for key, value in kept.facts.items()}
        if name not in known:
            raise InputError(f"{name}: there is no such fact; {choices(name, known)}")
        return known[name]


f = Facts()


def text(template: str, *claims: bool) -> str:
    """Return a paragraph, wrapped.

    Raises:
        InputError: one of the claims is false.
    """
    paragraph = " ".join(template.split())
    if not all(claims):
        number = claims.index(False) + 1
        raise InputError(f"claim {number} is false of {paragraph!r}; change the sentence")
    wrapped = textwrap.wrap(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapped)


def block(name: str, language: str = "text") -> str:
    """Return what a command printed, as a block of code.

    Raises:
        InputError: there is no output of this name.
    """
    known = {key: value for kept in record.read().values() for key, value in kept.printed.items()}
    if name not in known:
        raise InputError(f"{name}: there is no such output; {choices(name, known)}")
    return f"```{language}\n{known[name].rstrip()}\n```"


def percent(share: float, digits: int = 0) -> str:
    """Return a share as text, such as "35.7 %"."""
    return f"{100 * share:.{digits}f} %"


def say(template: str, *claims: bool) -> None:
    """Write a paragraph; see `text`."""
    print(text(template, *claims))


def show(name: str, language: str = "text") -> None:
    """Write what a command printed; see `block`."""
    print(block(name, language))


def table(*rows: tuple[str, ...]) -> None:
    """Write a table of Markdown; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    print("\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]))
