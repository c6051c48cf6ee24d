"""Keeps values of the environment out of files and messages.

An override such as ``+planner.token=${oc.env:TOKEN}`` gives a run a value of the environment. Files
that people share have the override's text, not the value: `Environment` remembers which keys have
such values, directly or by reference.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from lab.common.errors import InputError
from lab.config.references import Path
from lab.config.references import texts as texts_of
from lab.config.trust import OTHER_INTERPOLATION

VARIABLE = re.compile(r"oc\.env\s*:\s*")
HIDDEN_RESOLVER = re.compile(r"\$\{[\w.\s]*\$\{[^:,]*\}[\w.\s]*:")
"""A resolver whose name comes from another key."""
NAME = re.compile(r"(['\"]?)([A-Za-z_]\w*)\1\s*[,}]")
LONG = 8
"""Values with so many characters are hidden in a message also within a longer word."""
SHORT = 4
"""Values with fewer characters are hidden in a message only if they follow an equals sign."""
PROBE = "\0from the environment\0"


@dataclass(frozen=True)
class Environment:
    """The values that a configuration takes from the environment or computes by a resolver."""

    texts: Mapping[Path, str] = field(default_factory=dict)  # unresolved, by path in the tree
    variables: Sequence[str] = ()  # names of environment variables in the overrides

    def hidden(self, message: str) -> str:
        """Return a message in which values of the environment are replaced by their variables."""
        for name in self.variables:
            if value := os.environ.get(name):
                before = r"(?<==)" if len(value) < SHORT else r"(?<![\w.])"
                pattern = rf"{before}{re.escape(value)}(?![\w.])"
                if len(value) >= LONG:
                    pattern = re.escape(value)
                message = re.sub(pattern, f"${{oc.env:{name}}}", message)
        return message

    def unresolved(self, config: DictConfig) -> DictConfig:
        """Return a resolved configuration with the texts in place of values; else the same one."""
        if not self.texts:
            return config
        tree: Any = OmegaConf.to_container(config)
        for path, text in self.texts.items():
            node = tree
            try:
                for name in path[:-1]:
                    node = node[name]
                _ = node[path[-1]]
            except (IndexError, KeyError, TypeError):
                continue  # The key is not part of the run's configuration.
            node[path[-1]] = text
        made: DictConfig = OmegaConf.create(tree)
        return made


def environment(config: DictConfig, overrides: Sequence[str]) -> Environment:
    """Return what an unresolved configuration takes from the environment.

    Args:
        config: the composed configuration.
        overrides: all overrides; files cannot use the environment (see `lab.config.trust`).

    Raises:
        InputError: a variable is not named directly.
    """
    if not any("$" in one for one in overrides):
        return Environment()
    return Environment(_texts(config), list(dict.fromkeys(_variables(overrides))))


def literal(config: DictConfig | ListConfig) -> DictConfig | ListConfig:
    """Return a configuration in which each ``${...}`` is a text, so that reading resolves nothing.

    A file of results can be a stranger's, and its texts can name variables of the environment.
    """
    made: DictConfig | ListConfig = OmegaConf.create(_escaped(OmegaConf.to_container(config)))
    return made


def _escaped(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _escaped(one) for name, one in node.items()}
    if isinstance(node, list):
        return list(map(_escaped, node))
    return node.replace("${", "\\${") if isinstance(node, str) else node


def hidden(message: str, overrides: Sequence[str]) -> str:
    """Return a message without values of the environment that overrides name."""
    found = [
        match[2]
        for one in map(_plain, overrides)
        for at in VARIABLE.finditer(one)
        if (match := NAME.match(one, at.end()))
    ]
    return Environment(variables=found).hidden(message)


def _plain(override: str) -> str:
    """Return an override without the backslashes that a sweep adds to it."""
    return override.replace("\\", "")


def _variables(overrides: Sequence[str]) -> Iterator[str]:
    for override in map(_plain, overrides):
        if HIDDEN_RESOLVER.search(override):
            raise InputError(f"{override}: name the resolver directly, as in ${{oc.env:NAME}}")
        for at in VARIABLE.finditer(override):
            if (named := NAME.match(override, at.end())) is None:
                raise InputError(f"{override}: name the variable directly, as in ${{oc.env:NAME}}")
            yield named[2]


def _texts(config: DictConfig) -> dict[Path, str]:
    """Return the unresolved texts of all values that depend on a resolver other than ``half``.

    Each resolver's text is replaced by a probe. A value depends on it if the probe arrives there,
    or if the value can no longer be computed.
    """
    tree: Any = OmegaConf.to_container(config)
    texts = {path: text for path, text in texts_of(tree, ()) if "${" in text}
    for path, text in texts.items():
        if OTHER_INTERPOLATION.search(text):
            _at(tree, path[:-1])[path[-1]] = PROBE
    probed = OmegaConf.create(tree)
    return {path: text for path, text in texts.items() if _has_probe(probed, path)}


def _has_probe(probed: DictConfig, path: Path) -> bool:
    try:
        value = _at(probed, path)
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
    except Exception:  # A resolver can raise any exception for a text that it does not expect.
        return True
    return repr(PROBE)[1:-1] in repr(value)


def _at(node: Any, path: Path) -> Any:
    for name in path:
        node = node[name]
    return node
