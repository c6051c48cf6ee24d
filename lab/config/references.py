"""Bounds what ``${...}`` in configuration files can grow to, before anything is resolved.

A reference repeats what it refers to: six levels of nine references each are half a million values.
"""

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import OmegaConf

from lab.common.errors import InputError, short
from lab.common.yaml_files import MOST_VALUES

REFERENCE = re.compile(r"\$\{(\.*)([\w.\[\]-]+)\}")
CHARACTERS = 500
"""So many characters of a text count as one value."""

Path = tuple[str | int, ...]


def check_references(content: Any, file: str) -> None:
    """Raise InputError if references repeat more than `MOST_VALUES` values, or refer to themselves.

    Args:
        content: a configuration from its root, with nothing resolved.
        file: the name of the file that was added last, for the message.
    """
    sizes = _Sizes(OmegaConf.to_container(content, resolve=False))
    try:
        size = sizes.of((), sizes.tree)
    except RecursionError:
        path, text = [one for one in sizes.entered.items() if one[0] not in sizes.known][-1]
        raise InputError(
            f"{file}: {_key(path)}={short(text)}: refers to itself, or to a chain of too many "
            "references"
        ) from None
    if size - len(sizes.known) > MOST_VALUES:
        path, text = max(sizes.entered.items(), key=lambda one: sizes.known[one[0]])
        raise InputError(
            f"{file}: {_key(path)}={short(text)}: ${{...}} repeats too much; all references "
            f"together can repeat {MOST_VALUES:,} values"
        )


def check_resolved(config: Any) -> None:
    """Raise InputError if a resolved text has ``${...}``, which OmegaConf would resolve again."""
    for path, text in texts(OmegaConf.to_container(config, resolve=False), ()):
        if "${" in text:
            raise InputError(f"{_key(path)}={short(text)}: a value must not become ${{...}} itself")


def texts(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of each text in nested mappings and lists."""
    if isinstance(node, dict):
        for name, one in node.items():
            yield from texts(one, (*path, name))
    elif isinstance(node, list):
        for at, one in enumerate(node):
            yield from texts(one, (*path, at))
    elif isinstance(node, str):
        yield path, node


class _Sizes:
    """Number of values of each node of a tree after all references are resolved."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.known: dict[Path, int] = {}
        self.entered: dict[Path, str] = {}  # texts with references

    def of(self, path: Path, node: Any) -> int:
        """Return the size of a node; raise RecursionError if it refers to itself."""
        if (size := self.known.get(path)) is not None:
            return size
        size = 1
        if isinstance(node, dict):
            size += sum(self.of((*path, name), one) for name, one in node.items())
        elif isinstance(node, list):
            size += sum(self.of((*path, at), one) for at, one in enumerate(node))
        elif isinstance(node, str):
            size += len(node) // CHARACTERS
            if found := REFERENCE.findall(node):
                if path in self.entered:
                    raise RecursionError
                self.entered[path] = node
                size += sum(self.of(*self.target(path, *one)) for one in found)
        self.known[path] = size
        return size

    def target(self, path: Path, dots: str, name: str) -> tuple[Path, Any]:
        """Return the path and the node that a text at a path refers to; the node can be None."""
        parts = [*path[: -len(dots)]] if dots else []
        parts += [one for one in re.split(r"[.\[\]]+", name) if one]
        at, node = (), self.tree  # type: Path, Any
        for part in parts:
            while isinstance(node, str) and (one := REFERENCE.fullmatch(node)):
                at, node = self.target(at, *one.groups())
            if isinstance(node, list) and re.fullmatch("[0-9]+", str(part)):
                index = int(part)
                at, node = (*at, index), node[index] if index < len(node) else None
            else:
                at = (*at, part)
                node = node.get(part) if isinstance(node, dict) else None
        return at, node


def _key(path: Path) -> str:
    return "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path).lstrip(".")
