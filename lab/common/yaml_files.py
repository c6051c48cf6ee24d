"""Reads YAML of users within bounds, so that a small file cannot become a huge tree.

An alias repeats a part of a file: six levels of nine aliases each are half a million values. The
events of YAML's parser show this before any value is built.
"""

import re
from pathlib import Path
from typing import Any

from yaml import AliasEvent, CSafeLoader, ScalarNode, YAMLError, load, parse
from yaml.constructor import SafeConstructor
from yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)

from lab.common.errors import InputError, one_line, short

MOST_BYTES = 10_000_000
MOST_DEPTH = 50
MOST_VALUES = 20_000
"""Values that a file may have, aliases included; OmegaConf takes a second to read so many."""
MANY_VALUES = 5_000_000
"""The same for files that OmegaConf does not read."""

MOST_LETTERS = 2_000
"""Characters of a text with ``${...}`` that OmegaConf reads; its parser is slow."""

OF_YAML = "tag:yaml.org,2002:"
NUMBERS = ("!!int", "!!float")
SCALARS = ("!!str", "!!bool", *NUMBERS)
OTHER_BASE = re.compile(
    r"[-+]?(0[0-7_]+|[1-9][0-9_]*(:[0-5]?[0-9])+|[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*)"
)
"""What YAML 1.1 takes for numbers of base 8 and 60, and people for decimal numbers or texts."""


def read_text(path: Path) -> str:
    """Read a text file of UTF-8; raise InputError if it is too large, or OSError."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: is larger than {MOST_BYTES:,} bytes")
    return content.decode("utf-8")


def check_yaml(text: str, path: Path, most: int = MOST_VALUES) -> None:
    """Raise InputError if a text nests too deeply, or has more than `most` values.

    In a file for OmegaConf, each character of a text with ``${...}`` counts as a value. A text that
    is not valid YAML is left to its reader.
    """
    included = "aliases"
    sizes: dict[str, int] = {}  # number of values, by anchor
    open_anchors: list[str | None] = []
    starts: list[int] = []
    count = 0
    try:
        for event in parse(text, CSafeLoader):
            _check_notation(event, path)
            if isinstance(event, AliasEvent):
                if event.anchor in open_anchors:
                    raise InputError(f"{path}: the alias *{event.anchor} refers to itself")
                count += sizes.get(str(event.anchor), 0)
            elif isinstance(event, CollectionStartEvent):
                open_anchors.append(event.anchor)
                starts.append(count)
            elif isinstance(event, CollectionEndEvent):
                anchor, size = open_anchors.pop(), count - starts.pop() + 1
                count += 1
                if anchor is not None:
                    sizes[anchor] = size
            elif isinstance(event, ScalarEvent):
                size = _size(event.value, path) if most <= MOST_VALUES else 1
                if size > 1:
                    included = "aliases and characters of texts with ${...}"
                count += size
                if event.anchor is not None:
                    sizes[event.anchor] = size
            if len(starts) > MOST_DEPTH:
                raise InputError(f"{path}: is nested more than {MOST_DEPTH} levels deep")
            if count > most:
                raise InputError(f"{path}: has more than {most:,} values, {included} included")
    except YAMLError:
        return


def _check_notation(event: Event, path: Path) -> None:
    """Raise InputError for a value that its tag does not suit, or a number of an unusual base."""
    if not isinstance(event, ScalarEvent | CollectionStartEvent):
        return
    tag = (event.tag or "").replace(OF_YAML, "!!")
    where = f"{path}, line {event.start_mark.line + 1}"
    scalar = isinstance(event, ScalarEvent)
    if scalar and (event.implicit[0] or tag in NUMBERS) and OTHER_BASE.fullmatch(event.value):
        raise InputError(
            f"{where}: {short(event.value)}: YAML takes this for a number of base "
            f"{60 if ':' in event.value else 8}; write a decimal number, or a text in quotes"
        )
    if tag in ("", "!"):
        return
    collection = "!!map" if isinstance(event, MappingStartEvent) else "!!seq"
    if tag not in (SCALARS if scalar else (collection,)):
        raise InputError(f"{where}: must not have the tag {short(tag)}; write the value without it")
    try:
        if scalar:
            SafeConstructor().construct_document(ScalarNode(event.tag, event.value))
    except Exception:  # PyYAML raises many kinds.
        raise InputError(f"{where}: {short(event.value)!r} is no value of the tag {tag}") from None


def _size(text: str, path: Path) -> int:
    """Return how many values a text counts as; raise InputError if OmegaConf must not read it."""
    if "${" not in text:
        return 1
    if len(text) > MOST_LETTERS:
        raise InputError(
            f"{path}: a text with ${{...}} has more than {MOST_LETTERS:,} characters: {short(text)}"
        )
    return 1 + len(text)


def parsed(text: str, path: Path) -> Any:
    """Return the content of a text of plain YAML; raise InputError or YAMLError."""
    if "*" in text or len(text) > MANY_VALUES:  # Without aliases, a text is no smaller than that.
        check_yaml(text, path, MANY_VALUES)
    return load(text, CSafeLoader)


def why_not_yaml(error: Exception) -> str:
    """Return why a text cannot be read as YAML, in one line, without the parser's excerpt."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or not problem:
        return one_line(error)
    return f"{one_line(problem)} in line {mark.line + 1}, column {mark.column + 1}"
